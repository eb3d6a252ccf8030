"""A result under a temporary name until it is complete: nothing half-made ever stands under the final one."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from types import TracebackType

from filelock import FileLock, Timeout

from sar_h5.errors import OutputError, OutputExistsError

PARTIAL_SUFFIX = ".partial"
JOURNAL_SUFFIX = ".journal"
LOCK_SUFFIX = ".lock"


def journal_path(partial: Path) -> Path:
    """Return where the journal of an unfinished file lies, if it has one."""
    return partial.with_name(partial.name + JOURNAL_SUFFIX)


def tell_unfinished(path: Path) -> str | None:
    """Say that a file is what a conversion has left with its journal, or is making just now; None where it is not."""
    if path.name.endswith(PARTIAL_SUFFIX) and journal_path(path).is_file():
        return "an unfinished conversion; sar-h5 convert ... --resume goes on with it"
    return None


class OutputLock:
    """The right to write one file, which ends with the process. A context manager.

    Args:
        path: the file; its directory must exist.
        advice: what to do where the lock cannot be had.

    Raises:
        OutputError: on entering, where another run has it, or the file's directory cannot be written to.
    """

    def __init__(self, path: Path, advice: str) -> None:
        self._path, self._advice = path, advice
        self._lock = FileLock(path.with_name(path.name + LOCK_SUFFIX), timeout=0)

    def __enter__(self) -> OutputLock:
        try:
            # FileLock takes some directories that cannot be written to for a lock that is held (/proc), so ask first.
            Path(self._lock.lock_file).touch()
            self._lock.acquire()
        except Timeout as error:
            raise OutputError(
                f"{self._path}: another run is writing this file; wait for it, or {self._advice}"
            ) from error
        except OSError as error:
            raise OutputError(
                f"{self._path.parent}: expected a directory to write to, cannot write here: {error.strerror or error}; "
                f"{self._advice}"
            ) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def release(self) -> None:
        """Give the right back."""
        # Windows cannot remove a locked file; the next line then leaves an empty one.
        with contextlib.suppress(OSError):
            Path(self._lock.lock_file).unlink(missing_ok=True)
        self._lock.release()


class PendingFile:
    """The right to make one file, and the place to make it at.

    Entering takes a lock that ends with the process, so that a second run at the same time is refused and what a
    killed run left is replaced. Leaving without :meth:`commit` removes what was made.

    Args:
        path: the final name; its directory must exist.
        overwrite: whether a file of that name may be replaced.
        option: the one that names the file on the command line, for messages.
        resume: whether what an earlier run left, with a journal, is to be gone on with: then it stays on entering, and
            on leaving. A file of the final name is no error on entering then.

    Attributes:
        path: the final name.
        partial: where to make the file.
        replaced_nbytes: size of what an earlier run left with a journal and this one removed on entering.

    Raises:
        OutputExistsError: on entering, where the file exists and may not be replaced.
        OutputError: on entering, where another run is making it, or its directory cannot be written to.
    """

    def __init__(self, path: Path, *, overwrite: bool, option: str = "--out", resume: bool = False) -> None:
        self.path = path
        self.partial = path.with_name(path.name + PARTIAL_SUFFIX)
        self.replaced_nbytes = 0
        self._overwrite, self._option, self._resume = overwrite, option, resume
        self._committed = False
        self._lock = OutputLock(path, f"choose another {option}")

    def __enter__(self) -> PendingFile:
        self._lock.__enter__()
        try:
            if not self._resume:
                self._check_absent()
            if not self.unfinished:
                self._remove()
        except OutputError:
            self._lock.release()
            raise
        except OSError as error:
            self._lock.release()
            raise OutputError(
                f"{self.partial}: expected to remove what an earlier run left, cannot: {error.strerror or error}; "
                f"remove it, or choose another {self._option}"
            ) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):  # the error that led here matters more than one from cleaning up
            if self._committed or not self.unfinished:
                self._remove()
        self._lock.release()

    @property
    def unfinished(self) -> bool:
        """Whether there is something to go on with, now or, once left, later."""
        return self._resume and self.partial.is_file() and journal_path(self.partial).is_file()

    def discard(self) -> None:
        """Remove what an earlier run has left unfinished.

        Raises:
            OutputError: where it cannot be removed.
        """
        try:
            self._remove()
        except OSError as error:
            raise OutputError(
                f"{self.partial}: expected to remove what an earlier run left, cannot: {error.strerror or error}"
            ) from error

    def commit(self) -> None:
        """Make the complete file durable and give it its final name, atomically.

        Raises:
            OutputExistsError: where a file of that name has appeared meanwhile and may not be replaced.
            OutputError: where it cannot be given that name.
        """
        self._check_absent()
        try:
            _sync(self.partial)
            self.partial.replace(self.path)
            self._committed = True
            if os.name == "posix":
                _sync(self.path.parent)
        except OSError as error:
            raise OutputError(
                f"{self.path}: the result is complete, but cannot be given this name: {error.strerror or error}; "
                f"choose another {self._option}"
            ) from error

    def _remove(self) -> None:
        journal = journal_path(self.partial)
        if self.partial.is_file() and journal.is_file() and not self._committed:
            self.replaced_nbytes = self.partial.stat().st_size
        self.partial.unlink(missing_ok=True)
        journal.unlink(missing_ok=True)

    def _check_absent(self) -> None:
        if self.path.exists() and not self._overwrite:
            raise OutputExistsError(
                f"{self.path}: is there already; pass --overwrite to replace it, or choose another {self._option}"
            )
        if self.path.is_dir():
            raise OutputError(f"{self.path}: expected a file to replace, found a directory")


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDWR if path.is_file() else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
