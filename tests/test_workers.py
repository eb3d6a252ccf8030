"""``Workers``: results in order, bounded bytes, errors where their results would be, no thread left behind."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from sar_h5.workers import Workers, in_order


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before


def delayed(number: int) -> Callable[[], int]:
    def work() -> int:
        time.sleep(0.002 * (number % 3))
        return number

    return work


@pytest.mark.parametrize("jobs", [1, 2, 5, 50])
@pytest.mark.parametrize("most_nbytes", [0, 1, 7, 1000])
def test_results_come_in_the_order_of_submission(jobs: int, most_nbytes: int) -> None:
    results = []
    with Workers[int](jobs, most_nbytes) as workers:
        for number in range(20):
            results += workers.submit(delayed(number), 3)
        results += workers.drain()
        assert list(workers.drain()) == []
    assert results == list(range(20))
    assert list(in_order(lambda item: delayed(item)(), range(20), lambda _: 3, jobs, most_nbytes)) == list(range(20))


@pytest.mark.parametrize(("most_nbytes", "at_once"), [(0, 1), (10, 1), (29, 2), (30, 3), (1000, 30)])
def test_no_more_bytes_are_worked_on_than_allowed_but_one_piece_always_is(most_nbytes: int, at_once: int) -> None:
    held = peak = 0
    gate = threading.Event()

    def items() -> Iterator[int]:
        nonlocal held, peak
        for number in range(30):
            yield number
            held += 1
            peak = max(peak, held)
            if held == at_once:
                gate.set()

    for _ in in_order(lambda _: gate.wait(10), items(), lambda _: 10, 2, most_nbytes):
        held -= 1
    assert peak <= at_once + 1  # the one that waits for its turn


def test_several_functions_run_at_once() -> None:
    barrier = threading.Barrier(4, timeout=20)
    with Workers[int](4, 100) as workers:
        for _ in range(4):
            list(workers.submit(barrier.wait, 1))
        assert sorted(workers.drain()) == [0, 1, 2, 3]


def test_an_error_comes_out_where_its_result_would_have() -> None:
    def work(number: int) -> int:
        if number == 3:
            raise ZeroDivisionError("three")
        return number

    results = []
    with pytest.raises(ZeroDivisionError, match="three"):
        results.extend(in_order(work, range(10), lambda _: 1, 2, 3))
    taken = in_order(work, range(10), lambda _: 1, 2, 3)
    assert [next(taken) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ZeroDivisionError):
        next(taken)


def test_discarding_drops_results_and_errors_and_waits_for_what_runs() -> None:
    running, finished = threading.Event(), threading.Event()

    def slow() -> int:
        running.set()
        time.sleep(0.05)
        finished.set()
        return 1

    with Workers[int](1, 100) as workers:
        list(workers.submit(slow, 1))
        for _ in range(5):
            list(workers.submit(lambda: 1 // 0, 1))
        running.wait(10)
        workers.discard()
        assert finished.is_set()
        assert list(workers.submit(delayed(7), 1)) == []
        assert list(workers.drain()) == [7]


def test_an_error_outside_ends_the_threads_and_is_the_one_that_is_raised() -> None:
    started: list[int] = []

    def work() -> int:
        started.append(1)
        time.sleep(0.02)
        return 0

    with pytest.raises(KeyboardInterrupt), Workers[int](2, 1000) as workers:  # noqa: PT012
        for _ in range(50):
            list(workers.submit(work, 1))
        raise KeyboardInterrupt
    assert len(started) < 50


def test_whoever_stops_early_leaves_no_thread() -> None:
    results = in_order(lambda item: delayed(item)(), range(1000), lambda _: 1, 3, 5)
    assert next(results) == 0
    results.close()  # type: ignore[attr-defined]


def test_an_error_of_the_items_comes_out() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        list(in_order(lambda item: item, items(), lambda _: 1, 2, 5))
