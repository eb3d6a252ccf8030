"""One batch shared out to threads, each of which fills a slice of it."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

_SLICES_PER_THREAD = 4


class DecodeThreads:
    """Runs slices of a batch in threads, which are kept; a forked copy starts its own."""

    def __init__(self) -> None:
        self._pools: dict[tuple[int, int], ThreadPoolExecutor] = {}

    def run(self, task: Callable[[int, int], None], count: int, threads: int) -> None:
        """Call ``task(start, stop)`` for slices that cover ``range(count)``, and wait for all of them.

        Each thread takes the next slice when it is done with one, so that a core that is busy with other work does not
        hold up the batch.

        Args:
            task: fills items ``start`` to ``stop`` (exclusive).
            count: of all items.
            threads: how many work at once; one of them is the calling thread.

        Raises:
            Exception: of the first slice that failed, in their order. Slices not begun by then are left out.
        """
        threads = min(threads, count)
        if threads <= 1:
            task(0, count)
            return
        work = _SharedWork(task, count, max(1, count // (threads * _SLICES_PER_THREAD)))
        pool = self._pool(threads - 1)
        others = [pool.submit(work.take_part) for _ in range(threads - 1)]
        try:
            work.take_part()
        finally:
            # Also where this thread was interrupted: nobody may write into a batch that has been given up.
            for other in others:
                other.result()
        if work.errors:
            raise work.errors[min(work.errors)]

    def _pool(self, threads: int) -> ThreadPoolExecutor:
        key = os.getpid(), threads
        pool = self._pools.get(key)
        if pool is None:
            pool = ThreadPoolExecutor(threads, thread_name_prefix="sar-h5-decode")
            self._pools = {key: pool}  # another thread may be putting one of another size there
        return pool


class _SharedWork:
    """Slices that threads take one after the other, until none is left or one has failed."""

    def __init__(self, task: Callable[[int, int], None], count: int, step: int) -> None:
        self._task, self._count, self._step = task, count, step
        self._starts = iter(range(0, count, step))  # next() of it is one step under the GIL, so each goes to one thread
        self.errors: dict[int, Exception] = {}

    def take_part(self) -> None:
        for start in self._starts:
            if self.errors:
                return
            try:
                self._task(start, min(start + self._step, self._count))
            except Exception as error:  # noqa: BLE001 - raised again where the batch was asked for
                self.errors[start] = error
