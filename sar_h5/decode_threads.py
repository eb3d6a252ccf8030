"""One batch shared out to threads, each of which fills a slice of it."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise


def usable_cores() -> int:
    """Return how many cores this process may use: those it may run on, shared with the other ranks of a job here."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    ranks = os.environ.get("LOCAL_WORLD_SIZE", "1")  # set by torchrun: processes of the job on this machine
    return max(1, cores // int(ranks)) if ranks.isdecimal() and int(ranks) else cores


class DecodeThreads:
    """Runs slices of a batch in threads, which are kept; a forked copy starts its own."""

    def __init__(self) -> None:
        self._pools: dict[tuple[int, int], ThreadPoolExecutor] = {}

    def run(self, task: Callable[[int, int], None], count: int, threads: int) -> None:
        """Call ``task(start, stop)`` for slices that cover ``range(count)``, and wait for all of them.

        Args:
            task: fills items ``start`` to ``stop`` (exclusive).
            count: of all items.
            threads: how many slices to make; one of them runs in the calling thread.

        Raises:
            Exception: the first one of the slices, in their order.
        """
        slices = min(threads, count)
        if slices <= 1:
            task(0, count)
            return
        edges = [count * part // slices for part in range(slices + 1)]
        pool = self._pool(slices - 1)
        others = [pool.submit(task, start, stop) for start, stop in pairwise(edges[1:])]
        try:
            task(edges[0], edges[1])
        finally:
            # Also where this slice failed: nobody may write into a batch that has been given up.
            for other in others:
                other.exception()
        for other in others:
            other.result()

    def _pool(self, threads: int) -> ThreadPoolExecutor:
        key = os.getpid(), threads
        if key not in self._pools:
            self._pools = {key: ThreadPoolExecutor(threads, thread_name_prefix="sar-h5-decode")}
        return self._pools[key]
