"""What a user sees while work goes on: one bar on standard error, only where that is a terminal."""

from __future__ import annotations

import os
import sys
import threading
from types import TracebackType

from tqdm import tqdm


class Progress:
    """A progress bar over the bytes of the source; a context manager.

    Args:
        shown: True or False to force it, None for a terminal only.
    """

    def __init__(self, shown: bool | None = None) -> None:
        self._disable = None if shown is None else not shown
        self._bar: tqdm[None] | None = None
        self._patches = 0
        self._scene = ""
        self._lock = threading.Lock()

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def start(self, label: str, nbytes: int) -> None:
        """Begin a stage that reads ``nbytes`` of source."""
        self.close()
        self._patches = 0
        size = _assumed_size()
        self._bar = tqdm(
            total=nbytes,
            desc=label,
            unit="B",
            unit_scale=True,
            disable=self._disable,
            leave=False,
            ncols=size and size[0],
            nrows=size and size[1],
            dynamic_ncols=size is None,
        )

    def scene(self, number: int, total: int) -> None:
        """Say which scene is being worked on, counted from 1."""
        self._scene = f"scene {number}/{total}"
        self._show()

    def advance(self, nbytes: int, patches: int = 0) -> None:
        """Note that so many bytes were read, and so many patches kept; any thread may."""
        with self._lock:
            if self._bar is not None:
                self._patches += patches
                self._show()
                self._bar.update(nbytes)

    def close(self) -> None:
        """End the stage; the bar vanishes."""
        if self._bar is not None:
            self._bar.close()
        self._bar = None

    def _show(self) -> None:
        if self._bar is not None:
            patches = f", {self._patches:,} patches" if self._patches else ""
            self._bar.set_postfix_str(f"{self._scene}{patches}", refresh=False)


def _assumed_size() -> tuple[int, int] | None:
    """Return (columns, rows) for terminals that do not know theirs, as under job systems; tqdm would show nothing."""
    try:
        known = os.get_terminal_size(sys.stderr.fileno()).columns
    except (OSError, ValueError, AttributeError):  # no terminal, or a stand-in for standard error
        return None
    return None if known else (80, 24)
