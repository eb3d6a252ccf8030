"""HDF5 files opened for reading, beside whoever else has them open, with one error for whatever may be wrong."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import h5py
import hdf5plugin  # noqa: F401 - registers the Blosc filter with HDF5

from sar_h5.errors import FormatError, SarH5Error, SourceError
from sar_h5.file_objects import check_objects
from sar_h5.heap_guard import GuardedFile, find_heap_damage
from sar_h5.superblock import read_superblock, tell_cut, tell_foreign


def open_file(path: str | Path, *, kept: bool = False) -> h5py.File:
    """Open an HDF5 file for reading, without locks, so that any number of processes may read and one may write.

    Args:
        path: the file.
        kept: whether it stays open: then as h5py does by default, so that users may open it beside this handle.

    Raises:
        SourceError: where it is not there.
        FormatError: where it is not an HDF5 file, or an incomplete one, or leads to other files; see
            :func:`sar_h5.file_objects.check_objects`.
    """
    if not Path(path).is_file():
        found = "a directory" if Path(path).is_dir() else "no such file"
        raise SourceError(f"{path}: expected an HDF5 file, found {found}")
    _check_heap(path)
    # HDF5 refuses to open a file twice in one process with different locking; whoever has it open now has opened it
    # with h5py's default, most likely, or with locks.
    reason: Exception | None = None
    for locking in (None, False, True, "best-effort") if kept else (False, None, True, "best-effort"):
        try:
            return _checked(h5py.File(path, "r", locking=locking), path)
        except (OSError, OverflowError) as error:
            reason = error
            if not any(words in str(error) for words in _RETRIED):
                break
    if _BEING_WRITTEN in str(reason):
        return _open_while_written(path)
    raise FormatError(f"{path}: expected an HDF5 file, found {_tell_found(path, reason)}") from reason


@contextlib.contextmanager
def open_as_it_is(path: str | Path) -> Iterator[h5py.File]:
    """Open an HDF5 file for reading as it is now, even where this process has had it open since before it was changed.

    HDF5 shares what it knows of a file between all handles of a process, so that none sees what another process, or
    :mod:`sar_h5.file_update`, has added. A Python file is another file to it.

    Args:
        path: the file.

    Raises:
        SourceError: where it is not there.
        FormatError: where it is not an HDF5 file, or an incomplete one, or leads to other files.
    """
    with contextlib.ExitStack() as stack:
        try:
            _check_heap(path)
            raw = stack.enter_context(GuardedFile(path))
            # HDF5 itself does not look at the mark of a writer in Python files.
            file = open_file(path) if read_superblock(raw).in_use else _checked(h5py.File(raw, "r"), path)
        except (OSError, OverflowError):
            file = open_file(path)  # which says what is wrong
        yield stack.enter_context(file)


@contextlib.contextmanager
def name_damage(path: str | Path, what: str = "a sound file") -> Iterator[None]:
    """Turn whatever h5py raises while it reads a file into one error; damaged metadata make it fail anywhere.

    Args:
        path: the file.
        what: what was expected of it, for the message.

    Raises:
        FormatError: where something else than an error of this package is raised.
    """
    try:
        yield
    except SarH5Error:
        raise
    except DAMAGE as error:
        raise FormatError(
            f"{path}: expected {what}, found damage: {error}; run `sar-h5 verify {path}` for all of it"
        ) from error


def _checked(file: h5py.File, path: str | Path) -> h5py.File:
    """Return a file that leads to no other one; close it where it does."""
    with contextlib.ExitStack() as stack:
        stack.callback(file.close)
        with name_damage(path):
            check_objects(file)
        stack.pop_all()
    return file


def _check_heap(path: str | Path) -> None:
    damage = find_heap_damage(path)
    if damage is not None:
        raise FormatError(
            f"{path}: expected a sound file, found {damage}, which HDF5 would never come back from; copy or make it "
            "again"
        )


def _tell_found(path: str | Path, reason: Exception | None) -> str:
    """Say what a file is that HDF5 cannot open."""
    with contextlib.suppress(OSError):
        if foreign := tell_foreign(path):
            return foreign
        # Only where HDF5 says so, too: it has proved by its checksum what is said of the end.
        if _CUT in str(reason) and (cut := tell_cut(path)):
            return f"one that is cut short: {cut}"
    return f"one that HDF5 cannot open: {reason}"


def _open_while_written(path: str | Path) -> h5py.File:
    """Open a file that a process in SWMR mode writes to; HDF5 lets nobody read along with others."""
    try:
        return _checked(h5py.File(path, "r", locking=False, swmr=True), path)
    except OSError as error:
        raise FormatError(
            f"{path}: expected a complete file, found one that is open for writing: wait until the process that writes "
            "it is done. Where there is none, it was killed: make the file again, or try `h5clear -s` on a copy"
        ) from error


DAMAGE = (
    *(OSError, RuntimeError, ValueError, KeyError, IndexError, MemoryError),
    *(AttributeError, TypeError),  # where a group stands for a column, or numbers for text
    OverflowError,  # of addresses beyond 63 bits, in a Python file
)
"""What h5py raises, anywhere, where a file is damaged."""

_RETRIED = ("flag values don't match", "unable to lock file")
"""How HDF5 refuses a way of locking where another one may do."""

_CUT = "truncated file"
"""How HDF5 refuses a file that ends before it should."""

_BEING_WRITTEN = "already open for write"
"""How HDF5 refuses a file whose writer has not closed it, in the file's own words."""
