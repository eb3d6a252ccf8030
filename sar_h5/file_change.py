"""Has a file changed under those who read it? Told by what the system says of it, and settled by looking inside.

Patches are read by a table of where each lies, made when the file was opened. Who writes another file over it, in
place, leaves a table that points anywhere. Who adds splits to it, or patches at its end, does no harm.
"""

from __future__ import annotations

import io
import os
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import h5py

from sar_h5.errors import FormatError
from sar_h5.opening import name_damage, open_as_it_is
from sar_h5.superblock import read_superblock

PATIENCE_S = 1.0
"""How long a file may be unreadable, or another one: who changes it in place is done in microseconds, one hopes."""
_PAUSE_S = 0.05
_HEAD_NBYTES = 512
"""HDF5's superblock, which says where the file ends, and the header of its root group."""


@dataclass(frozen=True)
class FileState:
    """What the system says of a file, and how it starts.

    Attributes:
        nbytes: its size.
        written_ns, changed_ns: when its content, and anything about it at all, was last changed.
        head: CRC-32 of its first bytes.
        in_use: whether a process has it open for writing, by these bytes.
    """

    nbytes: int
    written_ns: int
    changed_ns: int
    head: int
    in_use: bool

    @classmethod
    def of(cls, path: str | Path) -> FileState:
        """Return the state of a file.

        Raises:
            OSError: where it cannot be read.
        """
        with Path(path).open("rb", buffering=0) as file:
            status = os.fstat(file.fileno())
            head = file.read(_HEAD_NBYTES)
            return cls(*_stamp(status), zlib.crc32(head), read_superblock(io.BytesIO(head)).in_use)

    def was_written(self, before: FileState) -> bool:
        """Whether anything but its name and its rights has changed since."""
        return (self.nbytes, self.written_ns) != (before.nbytes, before.written_ns)

    def was_cut(self, before: FileState) -> bool:
        """Whether it is the file that it was, but for what has been cut off its end."""
        return self.nbytes < before.nbytes and self.head == before.head


class _Verdict(Enum):
    """What a changed file turned out to be."""

    SAME = "it holds the same patches, or the first of them"
    OTHER = "the file has been replaced by a different one since it was opened; open it anew"
    UNREADABLE = "the file has been changed since it was opened, and is no sound HDF5 file any more"


class ChangeWatch:
    """Watches a file that is read; costs a microsecond where nothing has changed.

    A file that has been cut short passes: what is left of it is as it was, and the rest cannot be read. So does one
    that another process has open for writing with HDF5, until it is closed.

    Args:
        path: the file, for messages, and to look inside.
        state: of the file when what is known of it was read.
        is_same: whether the open file still holds the patches that are known, given also whether it was written to.
        descriptor: of the open file, where there is one: it may have another name by now, or none.
    """

    def __init__(
        self, path: str, state: FileState, is_same: Callable[[h5py.File, bool], bool], descriptor: int | None = None
    ) -> None:
        self._path, self._is_same, self._descriptor = path, is_same, descriptor
        self._target = path if descriptor is None else descriptor
        self._known = state
        self._judged = (state.nbytes, state.written_ns, state.changed_ns), _Verdict.SAME

    def check(self) -> None:
        """Make sure that what has been read so far was read from the file that is known.

        Raises:
            FormatError: where it is another file, or none that can be read.
        """
        if self._stamp() == self._judged[0] and self._judged[1] is _Verdict.SAME:
            return
        verdict = self._verdict()
        if verdict is not _Verdict.SAME:
            raise FormatError(f"{self._path}: {verdict.value}")

    def check_for_other(self) -> None:
        """Make sure that a patch that cannot be read is one of the file that is known.

        Raises:
            FormatError: where it has become another sound file, which is the reason then.
        """
        if self._verdict() is _Verdict.OTHER:
            raise FormatError(f"{self._path}: {_Verdict.OTHER.value}")

    def _verdict(self) -> _Verdict:
        judged, verdict = self._judged
        stamp = self._stamp()
        if stamp == judged:
            return verdict
        end = time.monotonic() + PATIENCE_S
        while (verdict := self._look()) is not _Verdict.SAME and time.monotonic() < end:
            time.sleep(_PAUSE_S)
            stamp = self._stamp()
        self._judged = stamp, verdict
        return verdict

    def _stamp(self) -> tuple[int, int, int]:
        try:
            return _stamp(os.stat(self._target))  # noqa: PTH116 - a descriptor, where there is one
        except FileNotFoundError:  # whoever has it open can still read it
            return self._judged[0]

    def _look(self) -> _Verdict:
        place, state = self._place(), self._known
        try:
            state = FileState.of(place)
            with name_damage(self._path), open_as_it_is(place) as file:
                return _Verdict.SAME if self._is_same(file, state.was_written(self._known)) else _Verdict.OTHER
        except FormatError:
            # Who writes to it with HDF5 lets nobody look before it is closed; then it has changed once more.
            return _Verdict.SAME if state.was_cut(self._known) or state.in_use else _Verdict.UNREADABLE
        except OSError:  # its name is gone, and there is no other way to it
            return _Verdict.SAME if self._stamp()[:2] == self._judged[0][:2] else _Verdict.UNREADABLE

    def _place(self) -> str:
        """Return where the open file is found, whatever its name is now."""
        place = f"/proc/self/fd/{self._descriptor}"
        return self._path if self._descriptor is None or not Path(place).exists() else place


def _stamp(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns
