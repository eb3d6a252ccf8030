"""A directory of results under a temporary name until it is complete: the whole of it appears at once, or nothing."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from sar_h5.errors import OutputError, OutputExistsError
from sar_h5.pending import PARTIAL_SUFFIX, OutputLock

MARK = "sar-h5-export.json"
"""The file by which a directory is known as a result of this package, which alone may be replaced."""

REPLACED_SUFFIX = ".replaced"


class PendingDirectory:
    """The right to make one directory, and the place to make it at. A context manager.

    Entering takes a lock that ends with the process; what a killed run left is removed. Leaving without :meth:`commit`
    removes what was made.

    Args:
        path: the final name; the directory that it lies in must exist.
        overwrite: whether a directory of that name may be replaced: one of this package's results, or an empty one.
        option: the one that names the directory on the command line, for messages.

    Attributes:
        path: the final name.
        partial: the directory to fill.

    Raises:
        OutputExistsError: on entering, where something of that name is there and may not be replaced.
        OutputError: on entering, where another run is making it, or the place cannot be written to.
    """

    def __init__(self, path: Path, *, overwrite: bool, option: str) -> None:
        self.path = Path(os.path.abspath(path))  # noqa: PTH100 - resolve() would follow a link of that name
        self.partial = self.path.with_name(self.path.name + PARTIAL_SUFFIX)
        self._replaced = self.path.with_name(f".{self.path.name}{REPLACED_SUFFIX}")
        self._overwrite, self._option = overwrite, option
        self._lock = OutputLock(self.path, f"choose another {option}")

    def __enter__(self) -> PendingDirectory:
        self._lock.__enter__()
        try:
            self._go_back()
            self._check_absent()
            _remove(self.partial)
            self.partial.mkdir()
        except OutputError:
            self._lock.release()
            raise
        except OSError as error:
            self._lock.release()
            raise OutputError(
                f"{self.partial}: expected to make this directory anew, cannot: {error.strerror or error}; remove what "
                f"is there, or choose another {self._option}"
            ) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):  # the error that led here matters more than one from cleaning up
            self._go_back()
            _remove(self.partial)
        self._lock.release()

    def commit(self, content: Mapping[str, object]) -> None:
        """Mark the complete directory as ours, make it durable and give it its final name.

        Args:
            content: what the mark says, as plain data for JSON.

        Raises:
            OutputExistsError: where something of that name has appeared meanwhile and may not be replaced.
            OutputError: where it cannot be given that name.
        """
        self._check_absent()
        try:
            text = json.dumps(content, indent=2)
            (self.partial / MARK).write_text(f"{text}\n", encoding="utf-8")
            if hasattr(os, "sync"):
                os.sync()  # of many small files one after the other would take far longer
            # No system exchanges two directories in one step for everybody; what a kill between these two steps
            # leaves is put right by the next run.
            if self.path.exists():
                self.path.rename(self._replaced)
            self.partial.rename(self.path)
            _remove(self._replaced)
        except OSError as error:
            raise OutputError(
                f"{self.path}: cannot be completed (disk full?), or not be given this name: "
                f"{error.strerror or error}; choose another {self._option}"
            ) from error

    def _go_back(self) -> None:
        """Put back what was about to be replaced, by this run or one that was killed; take away what is replaced."""
        if self._replaced.is_dir() and not self.path.exists():
            self._replaced.rename(self.path)
        elif (self._replaced / MARK).is_file():
            _remove(self._replaced)

    def _check_absent(self) -> None:
        if not os.path.lexists(self.path):
            return
        if not self._overwrite:
            raise OutputExistsError(
                f"{self.path}: is there already; pass --overwrite to replace it, or choose another {self._option}"
            )
        if self.path.is_symlink() or not self.path.is_dir():
            raise OutputError(f"{self.path}: expected a directory to replace, found something else")
        if not (self.path / MARK).is_file() and any(self.path.iterdir()):
            raise OutputExistsError(
                f"{self.path}: expected an earlier export to replace (known by {MARK}), found a directory of something "
                f"else; remove it yourself, or choose another {self._option}"
            )


def _remove(path: Path) -> None:
    """Remove a directory tree; of a link, the link."""
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.exists():
        shutil.rmtree(path)
