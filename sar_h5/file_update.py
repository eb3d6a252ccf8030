"""Changes to an HDF5 file, however large, that are as good as atomic: in memory first, then at its end, then inside.

HDF5 marks a file as open when it opens it for writing, and refuses it for ever where the process was killed meanwhile;
a copy of tens of gigabytes is no way out. So HDF5 writes into memory here (``overlay``). What it has put beyond the
file's old end is written first: nothing points there yet, and a full disk shows. Only then come the bytes that it has
changed inside, which are few: the header that says where the file ends, those of groups with a new member, and the
history. A kill in the microseconds of these writes may spoil the history or what is new, and no patch.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import h5py

from sar_h5 import schema
from sar_h5.errors import FormatError, OutputError, SourceError
from sar_h5.file_objects import check_objects
from sar_h5.opening import name_damage
from sar_h5.overlay import Overlay
from sar_h5.pending import OutputLock
from sar_h5.superblock import read_superblock

if sys.platform != "win32":
    import fcntl


class FileUpdate:
    """The right to change one HDF5 file, and the open file to change.

    Leaving without :meth:`commit` leaves the file as it was. Several files change together where all are staged
    before the first is committed.

    Args:
        path: an HDF5 file.

    Attributes:
        file: the file, open for reading and writing; what is written stays in memory.

    Raises:
        SourceError: on entering, where there is no such file.
        FormatError: on entering, where HDF5 cannot open it, or it leads to other files.
        OutputError: on entering, where it may not be written to, or somebody else is writing to it.
    """

    file: h5py.File

    def __init__(self, path: Path) -> None:
        self.path = path
        self._staged = self._committed = False
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> FileUpdate:
        if not self.path.is_file():
            found = "a directory" if self.path.is_dir() else "no such file"
            raise SourceError(f"{self.path}: expected an HDF5 file to change, found {found}")
        with self._stack:
            self._stack.enter_context(OutputLock(self.path, "make its directory writable, or copy the file elsewhere"))
            self._raw = self._stack.enter_context(self._open())
            self._overlay = Overlay(self._raw)
            self._old_nbytes = self._overlay.nbytes
            self.file = self._stack.enter_context(self._open_overlay())
            with name_damage(self.path):
                check_objects(self.file)
            self._stack = self._stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._stack:
            with contextlib.suppress(OSError, RuntimeError):  # nothing of it is wanted any more
                self.file.close()
            if self._staged and not self._committed:
                self._shorten()

    def stage(self) -> None:
        """Write what lies beyond the file's old end, durably; nothing points there yet.

        Raises:
            OutputError: where that fails; the file is as it was.
        """
        with self._errors():
            self.file.close()
            self._end = self._old_end()
            self._staged = True
            self._write(self._end, self._overlay.content(self._end, max(self._overlay.nbytes - self._end, 0)))
            os.fsync(self._raw.fileno())

    def commit(self) -> None:
        """Write the changed bytes inside, after which the file is the new one.

        Raises:
            OutputError: where that fails; the file is as it was.
        """
        changes = list(self._overlay.changes(self._end))  # from the front: where the file ends comes first
        with self._errors():
            try:
                for place, _, new in changes:
                    self._write(place, new)
                os.fsync(self._raw.fileno())
                # Where HDF5 has made the file shorter, what lies behind its end stays: harmless, and nothing is lost.
                self._committed = True
            finally:
                if not self._committed:
                    for place, old, _ in changes:
                        self._write(place, old)

    def _old_end(self) -> int:
        """Return where the file ended: a killed run may have left bytes behind that."""
        used = read_superblock(self._raw).nbytes
        return self._old_nbytes if used is None else min(used, self._old_nbytes)

    def _open(self) -> io.FileIO:
        try:
            raw = self.path.open("r+b", buffering=0)
        except OSError as error:
            raise OutputError(f"{self.path}: expected a file to change, cannot: {error.strerror or error}") from error
        if sys.platform != "win32":
            try:
                # HDF5 locks a file exclusively to write, and shares the lock to read: so readers stay welcome.
                fcntl.flock(raw, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raw.close()
                raise OutputError(
                    f"{self.path}: another process has the file open for writing; wait until it is done"
                ) from error
            except OSError:
                pass  # file systems without locks
        return raw

    def _open_overlay(self) -> h5py.File:
        if read_superblock(self._raw).in_use:
            raise OutputError(
                f"{self.path}: expected a complete file that nobody writes to, found one that is open for writing: "
                "wait until the process that writes it is done. Where there is none, it was killed: make the file again"
            )
        try:
            return h5py.File(self._overlay, "r+", libver=schema.LIBVER)
        except (OSError, OverflowError) as error:
            raise FormatError(
                f"{self.path}: expected an HDF5 file, found one that HDF5 cannot open: {error}"
            ) from error

    def _write(self, place: int, data: bytes) -> None:
        view = memoryview(data)
        self._raw.seek(place)
        while view:
            view = view[self._raw.write(view) :]

    def _shorten(self) -> None:
        with contextlib.suppress(OSError):  # the error that led here matters more
            self._raw.truncate(self._old_nbytes)
            os.fsync(self._raw.fileno())

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (OSError, RuntimeError) as error:  # h5py raises either, depending on where HDF5 noticed
            raise OutputError(f"{self.path}: cannot be changed (disk full?): {error}; the file is as it was") from error
