"""A guard against the one kind of damage that HDF5 loops over for ever, with the interpreter's lock held.

Text attributes of any length lie in HDF5's global heap, the one part of a file without checksums. HDF5 walks through a
collection object by object (H5HG__cache_heap_deserialize), each as long as its header says: 0 bytes, and it stays where
it is. Read through a Python file, each collection is walked through here first.
"""

from __future__ import annotations

import io
import math
import os
from pathlib import Path
from typing import Any, NoReturn

import h5py

from sar_h5 import schema

MOST_NBYTES = 64 << 20
"""How long a collection may be; HDF5 takes memory for all of it. Those of text attributes take 4 KiB."""
MOST_TEXTS_NBYTES = 256 << 20
"""How much memory the texts of one attribute may take. Its elements can all stand for the same text of 64 MiB, so that
a file of 65 MB would otherwise take terabytes: their number times the longest object must stay below this."""

_SIGNATURE = b"GCOL\x01\0\0\0"
_HEADER_NBYTES = 16
"""Of a collection (signature, version, size) and of each object in it: HDF5 File Format Specification 3.0, III.E."""


class GuardedFile(io.FileIO):
    """A file for ``h5py.File`` to read; reading a collection that HDF5 would never come back from is an OSError.

    Args:
        path: the file.

    Attributes:
        damage: what was refused, once something was.
    """

    _longest = 0
    _most_nbytes = MOST_NBYTES

    def __init__(self, path: str | Path) -> None:
        super().__init__(path, "rb")
        self.damage: str | None = None

    def __repr__(self) -> str:
        """Return the path: h5py takes this as the name of the file."""
        return str(self.name)

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer from where the file is, as any file does.

        Raises:
            OSError: where that holds the start of a damaged collection.
        """
        start = self.tell()
        count = super().readinto(buffer) or 0
        before = self._at(max(0, start - len(_SIGNATURE) + 1), min(start, len(_SIGNATURE) - 1))
        content = before + bytes(memoryview(buffer)[:count])
        found = content.find(_SIGNATURE)
        while found >= 0:
            self._check(start - len(before) + found)
            found = content.find(_SIGNATURE, found + 1)
        return count

    def expect_texts(self, count: int) -> None:
        """Refuse objects from now on, those read before too, of which ``count`` would take too much memory.

        Raises:
            OSError: where one was read before.
        """
        self._most_nbytes = MOST_TEXTS_NBYTES // max(count, 1)
        self._check_object(self._longest)

    def _at(self, place: int, nbytes: int) -> bytes:
        position = self.tell()
        self.seek(place)
        content = self.read(nbytes)
        self.seek(position)
        return content

    def _check(self, place: int) -> None:
        size = int.from_bytes(self._at(place + 8, 8), "little")
        if size > os.fstat(self.fileno()).st_size - place:
            return  # HDF5 sees that itself
        if size > MOST_NBYTES:
            self._refuse(f"a collection of {size} bytes at byte {place} of its global heap")
        step = _HEADER_NBYTES
        while step + _HEADER_NBYTES <= size:
            header = self._at(place + step, _HEADER_NBYTES)
            number, nbytes = int.from_bytes(header[:2], "little"), int.from_bytes(header[8:], "little")
            taken = (nbytes + 7) // 8 * 8 + _HEADER_NBYTES if number else nbytes
            if taken == 0 or step + taken > size:
                self._refuse(f"an object of {nbytes} bytes at byte {place + step} of its global heap")
            self._longest = max(self._longest, nbytes if number else 0)
            step += taken
        self._check_object(self._longest)

    def _check_object(self, nbytes: int) -> None:
        if nbytes > self._most_nbytes:
            self._refuse(
                f"an attribute whose texts of up to {nbytes:,} bytes take more than {MOST_TEXTS_NBYTES:,} bytes"
            )

    def _refuse(self, damage: str) -> NoReturn:
        self.damage = damage
        raise OSError(damage)


def find_heap_damage(path: str | Path) -> str | None:
    """Read the texts of any length that readers look at; return the damage that HDF5 would loop over, or None.

    Anything else that is wrong with the file is left for its reader to say.
    """
    try:
        raw = GuardedFile(path)
    except OSError:
        return None
    with raw:
        try:
            with h5py.File(raw, "r") as file:
                splits = file.get(schema.SPLITS)
                methods = splits.values() if isinstance(splits, h5py.Group) else ()
                pixels = [item for item in map(file.get, schema.PIXELS.values()) if item is not None]
                for holder in (file, *pixels, *methods):
                    _read_attributes(raw, holder)
        except (
            OSError,
            RuntimeError,
            ValueError,
            KeyError,
            TypeError,
            OverflowError,
        ):  # ValueError: of a link to another file, too
            return raw.damage
    return raw.damage


def _read_attributes(raw: GuardedFile, holder: h5py.HLObject) -> None:
    for name in holder.attrs:
        attribute = holder.attrs.get_id(name)
        kind = attribute.get_type()
        if kind.detect_class(h5py.h5t.VLEN) or (isinstance(kind, h5py.h5t.TypeStringID) and kind.is_variable_str()):
            raw.expect_texts(math.prod(attribute.shape or (1,)))
            holder.attrs[name]
