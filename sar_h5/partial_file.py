"""An HDF5 file in the making that is, at every moment, what its last commit made it; commits survive a power cut.

HDF5 writes into an :class:`Overlay`: what is new goes straight to the end of the file, where nothing points yet; the
few bytes that change inside what was committed stay in memory. To commit, HDF5 closes the file, what is new is made
durable, and one entry with the bytes changed inside, old and new, is added to a journal. That entry is the commit.
Only then are the bytes inside changed, and whoever opens the file later does so again, in case that was cut short. The
old bytes serve to take commits back.
"""

from __future__ import annotations

import contextlib
import io
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import h5py

from sar_h5 import schema
from sar_h5.errors import FormatError, OutputError
from sar_h5.journal import Entry, Journal
from sar_h5.overlay import Overlay
from sar_h5.pending import journal_path
from sar_h5.superblock import read_superblock

_CHANGE = struct.Struct("<QQ")
_END, _CHANGES = "partial_file_end", "partial_file_changes"


class PartialFile:
    """An HDF5 file that grows by commits. A context manager that leaves what was committed.

    Args:
        path: the file; it and its journal must exist, see :meth:`create`.

    Attributes:
        path: the file.
        about: the entry with which it was created.

    Raises:
        FormatError: where the journal or the file is damaged beyond what it can recover from.
        OutputError: where the file cannot be read or written (from any method).
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._stack = contextlib.ExitStack()
        self._opened: h5py.File | None = None
        self._end = 0
        with self._errors(), self._stack:
            self._journal = Journal(journal_path(path))
            self._stack.callback(self._journal.close)
            self._raw: io.FileIO = self._stack.enter_context(path.open("r+b", buffering=0))
            if not len(self._journal):
                raise FormatError(f"{journal_path(path)}: expected the journal of an unfinished file, found damage")
            self.about = self._journal[0]
            self._recover()
            self._overlay = Overlay(self._raw, self._end)
            self._stack = self._stack.pop_all()

    @classmethod
    def create(cls, path: Path, about: Entry) -> PartialFile:
        """Begin a file; what is there of that name, and its journal, are replaced.

        Args:
            path: the file.
            about: what whoever goes on with it must know.
        """
        with cls._errors_of(path):
            path.write_bytes(b"")
            journal = Journal.create(journal_path(path))
            try:
                journal.append(about)
            finally:
                journal.close()
            sync_directory(path.parent)
        return cls(path)

    def __enter__(self) -> PartialFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; what was not committed is dropped."""
        with self._stack:
            self._drop()

    @property
    def file(self) -> h5py.File:
        """The file, open for reading and writing, until the next commit."""
        if self._opened is None:
            with self._errors():
                mode = "r+" if self._end else "w"
                self._opened = h5py.File(self._overlay, mode, libver=schema.LIBVER)
        return self._opened

    @property
    def commits(self) -> int:
        """How many commits there are."""
        return len(self._journal) - 1

    def entry(self, number: int) -> Entry:
        """Return what a commit was given; they count from 0."""
        return self._journal[number + 1]

    def commit(self, entry: Entry) -> None:
        """Make everything written so far part of the file, durably.

        Args:
            entry: what whoever goes on with the file must know.
        """
        with self._errors():
            if self._opened is not None:
                self._opened.close()
                self._opened = None
            self._overlay.flush()
            self._overlay.check()
            end = max(self._end, self._overlay.nbytes)
            changes = list(self._overlay.changes(self._end))
            os.fsync(self._raw.fileno())
            blobs = {**entry.blobs, _CHANGES: _pack(changes)}
            self._journal.append(Entry({**entry.fields, _END: end}, blobs))
            for place, _, new in changes:
                self._write(place, new)
            self._end = end
            self._overlay = Overlay(self._raw, end)

    def check(self) -> None:
        """Raise OutputError where something that HDF5 has written since the last commit did not reach the disk."""
        with self._errors():
            self._overlay.check()

    def revert(self) -> None:
        """Drop what was written since the last commit."""
        self._drop()
        with self._errors():
            self._raw.truncate(self._end)
            self._overlay = Overlay(self._raw, self._end)

    def take_back(self, count: int) -> None:
        """Take all commits back but the first ``count``."""
        self._drop()
        with self._errors():
            for number in reversed(range(count, self.commits)):
                for place, old, _ in _unpack(self.entry(number).blobs[_CHANGES]):
                    self._write(place, old)
            os.fsync(self._raw.fileno())
            self._journal.cut(count + 1)
            self._end = self._committed_end(count)
            self.revert()

    def _recover(self) -> None:
        """Bring the file to its last commit, whatever was written since, or had not been written yet."""
        used = read_superblock(self._raw).nbytes
        ends = [self._committed_end(count) for count in range(self.commits + 1)]
        self._end = ends[-1]
        if self._nbytes() < self._end or (self._end and used is not None and used > self._end):
            # Never by a kill or a power cut: the end is durable before its entry is, and the entry before the change.
            raise FormatError(
                f"{self.path}: the unfinished file and its journal do not belong together, or are damaged"
            )
        for number in range(self.commits):
            for place, _, new in _unpack(self.entry(number).blobs[_CHANGES]):
                self._write(place, new)
        self._raw.truncate(self._end)

    def _committed_end(self, count: int) -> int:
        """Return where the file ends after ``count`` commits."""
        return int(self.entry(count - 1).fields[_END]) if count else 0

    def _drop(self) -> None:
        if self._opened is not None:
            self._overlay.forget()
            with contextlib.suppress(OSError, RuntimeError):  # nothing of it is wanted any more
                self._opened.close()
            self._opened = None

    def _nbytes(self) -> int:
        return os.fstat(self._raw.fileno()).st_size

    def _write(self, place: int, data: bytes) -> None:
        view = memoryview(data)
        self._raw.seek(place)
        while view:
            view = view[self._raw.write(view) :]

    def _errors(self) -> contextlib.AbstractContextManager[None]:
        return self._errors_of(self.path)

    @staticmethod
    @contextlib.contextmanager
    def _errors_of(path: Path) -> Iterator[None]:
        try:
            yield
        except (OutputError, FormatError):
            raise
        except (OSError, RuntimeError) as error:  # h5py raises either, depending on where HDF5 noticed
            raise OutputError(f"{path}: cannot be written (disk full, or no longer there?): {error}") from error


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable, where the system can."""
    if os.name == "posix":
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _pack(changes: list[tuple[int, bytes, bytes]]) -> bytes:
    return b"".join(_CHANGE.pack(place, len(old)) + old + new for place, old, new in changes)


def _unpack(content: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    start = 0
    while start < len(content):
        place, count = _CHANGE.unpack_from(content, start)
        start += _CHANGE.size
        yield place, content[start : start + count], content[start + count : start + 2 * count]
        start += 2 * count
