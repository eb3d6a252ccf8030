"""An append-only file of checksummed entries: one counts once all of it is on the disk, and none before."""

from __future__ import annotations

import hashlib
import json
import os
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

_HEAD = struct.Struct("<8sQ32s")
_MAGIC = b"SARH5JNL"


@dataclass(frozen=True)
class Entry:
    """One entry of a journal.

    Attributes:
        fields: plain data, as JSON holds it.
        blobs: bytes by name.
    """

    fields: Mapping[str, Any]
    blobs: Mapping[str, bytes] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        """Return the entry in one piece; the inverse of :meth:`from_bytes`."""
        sizes = [[name, len(blob)] for name, blob in self.blobs.items()]
        text = json.dumps({"fields": self.fields, "blobs": sizes}).encode()
        return b"".join([struct.pack("<Q", len(text)), text, *self.blobs.values()])

    @classmethod
    def from_bytes(cls, content: bytes) -> Entry:
        """Take an entry apart."""
        (length,) = struct.unpack_from("<Q", content)
        place = 8 + length
        described = json.loads(content[8:place])
        blobs = {}
        for name, size in described["blobs"]:
            blobs[name] = content[place : place + size]
            place += size
        return cls(described["fields"], blobs)


class Journal:
    """An append-only file of entries. A context manager that closes it.

    Each entry carries a SHA-256 over itself and the one before, so that entries are read up to the first that is
    incomplete, damaged, or not of this journal. What comes after is cut off by the next :meth:`append`.

    Args:
        path: the file, which must exist; see :meth:`create`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("r+b", buffering=0)
        self._ends = [0]
        self._sums = [b""]
        for _ in self._scan():
            pass

    @classmethod
    def create(cls, path: Path) -> Journal:
        """Make an empty journal; a file of that name is replaced."""
        path.write_bytes(b"")
        return cls(path)

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, number: int) -> Entry:
        place = self._ends[number] + _HEAD.size
        self._file.seek(place)
        return Entry.from_bytes(_read(self._file, self._ends[number + 1] - place))

    def append(self, entry: Entry) -> None:
        """Add an entry, after which it is on the disk.

        Raises:
            OSError: where it cannot be written; it does not count then.
        """
        content = entry.to_bytes()
        checksum = _checksum(self._sums[-1], content)
        self._file.truncate(self._ends[-1])
        self._file.seek(self._ends[-1])
        for piece in (_HEAD.pack(_MAGIC, len(content), checksum), content):
            view = memoryview(piece)
            while view:
                view = view[self._file.write(view) :]
        os.fsync(self._file.fileno())
        self._ends.append(self._ends[-1] + _HEAD.size + len(content))
        self._sums.append(checksum)

    def cut(self, count: int) -> None:
        """Keep the first entries only, durably."""
        del self._ends[count + 1 :], self._sums[count + 1 :]
        self._file.truncate(self._ends[-1])
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _scan(self) -> Iterator[None]:
        """Find the entries that count."""
        self._file.seek(0)
        nbytes = os.fstat(self._file.fileno()).st_size
        while len(head := _read(self._file, _HEAD.size)) == _HEAD.size:
            magic, length, checksum = _HEAD.unpack(head)
            if magic != _MAGIC or length > nbytes - self._ends[-1] - _HEAD.size:
                return
            if _checksum(self._sums[-1], _read(self._file, length)) != checksum:
                return
            self._ends.append(self._ends[-1] + _HEAD.size + length)
            self._sums.append(checksum)
            yield


def _checksum(before: bytes, content: bytes) -> bytes:
    return hashlib.sha256(before + hashlib.sha256(content).digest()).digest()


def _read(file: BinaryIO | Any, count: int) -> bytes:
    """Read so many bytes, fewer only at the end of the file."""
    pieces = []
    while count and (piece := file.read(count)):
        pieces.append(piece)
        count -= len(piece)
    return b"".join(pieces)
