"""A bounded number of open files, each lent to one thread at a time, in whichever process asks."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from sar_h5.errors import SettingError

HandleT = TypeVar("HandleT")


@dataclass
class _Open(Generic[HandleT]):
    """What is open in one process.

    Attributes:
        count: of all open handles, lent or idle.
        idle: those that nobody uses, by the number of their file; the file used longest ago comes first.
        changed: to wait for one that is given back.
    """

    count: int = 0
    idle: dict[int, list[HandleT]] = field(default_factory=dict)
    changed: threading.Condition = field(default_factory=threading.Condition)


class HandlePool(Generic[HandleT]):
    """Opens files when they are needed and closes those used longest ago, so that never more than ``most`` are open.

    A forked process opens its own and leaves those of its parent alone.

    Args:
        open_one: opens file number i; it and ``close_one`` must not hold on to the pool.
        close_one: closes what ``open_one`` returned.
        most: how many may be open at once, at least 1. Threads wait where more are asked for.

    Raises:
        SettingError: where ``most`` is below 1.
    """

    def __init__(self, open_one: Callable[[int], HandleT], close_one: Callable[[HandleT], None], most: int) -> None:
        if most < 1:
            raise SettingError(f"expected at least 1 open file; found {most}")
        self._open_one, self._close_one, self._most = open_one, close_one, most
        self._processes: dict[int, _Open[HandleT]] = {}
        self._finalizer = weakref.finalize(self, _close_idle, self._processes, close_one)

    @contextmanager
    def lend(self, number: int) -> Iterator[HandleT]:
        """Lend a handle of file ``number`` to this thread; a thread may hold one at a time.

        Raises:
            OSError: whatever opening the file raises.
        """
        files = self._processes.setdefault(os.getpid(), _Open())
        handle = self._take(files, number)
        try:
            yield handle
        finally:
            with files.changed:
                # To the end of the order: the file used last.
                files.idle[number] = [*files.idle.pop(number, []), handle]
                files.changed.notify()

    def close(self) -> None:
        """Close the handles of this process that nobody uses; the next use opens them again."""
        _close_idle(self._processes, self._close_one)

    def _take(self, files: _Open[HandleT], number: int) -> HandleT:
        oldest: list[HandleT] = []
        with files.changed:
            while number not in files.idle and not files.idle and files.count >= self._most:
                files.changed.wait()
            if number in files.idle:
                return _pop_idle(files, number)
            if files.count < self._most:
                files.count += 1
            else:
                oldest.append(_pop_idle(files, next(iter(files.idle))))
        try:
            for handle in oldest:
                self._close_one(handle)
            return self._open_one(number)
        except BaseException:
            with files.changed:
                files.count -= 1
                files.changed.notify()
            raise


def _pop_idle(files: _Open[HandleT], number: int) -> HandleT:
    handles = files.idle[number]
    handle = handles.pop()
    if not handles:
        del files.idle[number]
    return handle


def _close_idle(processes: dict[int, _Open[HandleT]], close_one: Callable[[HandleT], None]) -> None:
    """Close what this process has open and does not use; what it inherited over a fork belongs to its parent."""
    files = processes.get(os.getpid())
    if files is None:
        return
    with files.changed:
        handles = [handle for number in list(files.idle) for handle in files.idle.pop(number)]
        files.count -= len(handles)
        files.changed.notify_all()
    for handle in handles:
        close_one(handle)
