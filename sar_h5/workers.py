"""Threads that work on a bounded number of bytes at once, and hand out results in the order of submission."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Generic, TypeVar

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")


class Workers(Generic[ResultT]):
    """Runs functions in threads, in order for those who wait; a context manager that leaves no thread behind.

    What a function raises comes out where its result would have. Leaving discards what is not finished.

    Args:
        jobs: number of threads.
        most_nbytes: how many bytes the functions not yet handed out may work on; one may always.
    """

    def __init__(self, jobs: int, most_nbytes: int) -> None:
        self._pool = ThreadPoolExecutor(jobs, thread_name_prefix="sar-h5")
        self._most_nbytes = most_nbytes
        self._nbytes = 0
        self._pending: deque[tuple[Future[ResultT], int]] = deque()

    def __enter__(self) -> Workers[ResultT]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._pending.clear()

    def submit(self, work: Callable[[], ResultT], nbytes: int) -> Iterator[ResultT]:
        """Have work done.

        Args:
            work: what to call in a thread.
            nbytes: how many bytes it holds on to until its result is handed out.

        Yields:
            Earlier results: those that are ready, and those to wait for until the bytes are within bounds. The work
            is submitted once all of them have been taken.
        """
        while self._pending and (self._pending[0][0].done() or self._nbytes + nbytes > self._most_nbytes):
            yield self._take()
        self._pending.append((self._pool.submit(work), nbytes))
        self._nbytes += nbytes

    def drain(self) -> Iterator[ResultT]:
        """Wait for all that is left, and yield its results."""
        while self._pending:
            yield self._take()

    def discard(self) -> None:
        """Drop what has not been handed out, results and errors; what is running is waited for."""
        for future, _ in self._pending:
            future.cancel()
        for future, _ in self._pending:
            if not future.cancelled():
                future.exception()
        self._pending.clear()
        self._nbytes = 0

    def _take(self) -> ResultT:
        future, nbytes = self._pending.popleft()
        self._nbytes -= nbytes
        return future.result()


def in_order(
    work: Callable[[ItemT], ResultT],
    items: Iterable[ItemT],
    nbytes: Callable[[ItemT], int],
    jobs: int,
    most_nbytes: int,
) -> Iterator[ResultT]:
    """Apply a function to items in threads, ahead of whoever takes the results, and yield them in order.

    Args:
        work: the function.
        items: taken in this thread, each when its turn has come.
        nbytes: how many bytes an item and its result hold on to.
        jobs: number of threads.
        most_nbytes: how many bytes may be held at once; one item always may.
    """
    with Workers[ResultT](jobs, most_nbytes) as workers:
        for item in items:
            yield from workers.submit(lambda item=item: work(item), nbytes(item))  # type: ignore[misc]
        yield from workers.drain()
