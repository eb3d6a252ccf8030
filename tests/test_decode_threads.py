"""Slices shared out to threads: each item once, errors by their place, and what a fork and a job system change."""

from __future__ import annotations

import os
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sar_h5.decode_threads import DecodeThreads

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


@settings(deadline=None, max_examples=60)
@given(count=st.integers(0, 200), threads=st.integers(1, 9))
def test_slices_cover_every_item_exactly_once(count: int, threads: int) -> None:
    done: list[int] = []
    DecodeThreads().run(lambda start, stop: done.extend(range(start, stop)), count, threads)
    assert sorted(done) == list(range(count))


@pytest.mark.parametrize("threads", [2, 3, 5])
def test_that_many_threads_work_at_once_and_one_of_them_is_the_caller(threads: int) -> None:
    together = threading.Barrier(threads, timeout=20)
    seen = []

    def task(_start: int, _stop: int) -> None:
        if len(seen) < threads:
            seen.append(threading.current_thread())
            together.wait()

    DecodeThreads().run(task, 4 * threads, threads)
    assert len(set(seen)) == threads
    assert threading.current_thread() in seen


def test_one_thread_or_one_item_starts_no_thread() -> None:
    seen = []
    pool = DecodeThreads()
    pool.run(lambda start, stop: seen.append((start, stop, threading.current_thread())), 8, 1)
    pool.run(lambda start, stop: seen.append((start, stop, threading.current_thread())), 1, 8)
    assert seen == [(0, 8, threading.current_thread()), (0, 1, threading.current_thread())]


def test_more_threads_than_items_take_one_each() -> None:
    done = []
    DecodeThreads().run(lambda start, stop: done.append((start, stop)), 3, 50)
    assert sorted(done) == [(0, 1), (1, 2), (2, 3)]


def test_the_error_is_that_of_the_first_slice_that_failed_whichever_came_first() -> None:
    together = threading.Barrier(2, timeout=20)

    def task(start: int, _stop: int) -> None:
        together.wait()  # both threads have a slice now
        if start == 0:
            time.sleep(0.1)
        raise ValueError(f"slice from {start}")

    for _ in range(5):
        with pytest.raises(ValueError, match="slice from 0"):
            DecodeThreads().run(task, 2, 2)


@pytest.mark.parametrize("bad", [0, 5, 11])
def test_nobody_works_on_a_batch_that_has_been_given_up(bad: int) -> None:
    working = [0]
    lock = threading.Lock()

    def task(start: int, stop: int) -> None:
        with lock:
            working[0] += 1
        if start <= bad < stop:
            with lock:
                working[0] -= 1
            raise ValueError("bad")
        time.sleep(0.02)
        with lock:
            working[0] -= 1

    pool = DecodeThreads()
    for _ in range(3):
        with pytest.raises(ValueError, match="bad"):
            pool.run(task, 12, 4)
        assert working == [0]


def test_an_interrupt_in_the_caller_waits_for_the_others_too() -> None:
    main, together, ended = threading.current_thread(), threading.Barrier(2, timeout=20), []

    def task(start: int, _stop: int) -> None:
        together.wait()
        if threading.current_thread() is main:
            raise KeyboardInterrupt
        time.sleep(0.1)
        ended.append(start)

    with pytest.raises(KeyboardInterrupt):
        DecodeThreads().run(task, 2, 2)
    assert len(ended) == 1


def test_it_can_be_used_again_after_an_error_and_by_many_threads_at_once() -> None:
    pool = DecodeThreads()

    def fail(_start: int, _stop: int) -> None:
        raise ValueError("bad")

    with pytest.raises(ValueError, match="bad"):
        pool.run(fail, 10, 3)
    wrong = []

    def work(threads: int) -> None:
        for count in range(1, 60):
            done: list[int] = []
            try:
                pool.run(lambda start, stop, done=done: done.extend(range(start, stop)), count, threads)  # type: ignore[misc]
            except Exception as error:  # noqa: BLE001 - whatever it is
                wrong.append(error)
            if sorted(done) != list(range(count)):
                wrong.append((threads, count))

    users = [threading.Thread(target=work, args=(threads,)) for threads in (2, 3, 4, 5)]
    for user in users:
        user.start()
    for user in users:
        user.join()
    assert wrong == []


def decode_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("sar-h5-decode")]


def test_threads_are_kept_for_the_next_batch_and_end_with_their_owner() -> None:
    before = decode_threads()
    pool = DecodeThreads()
    barrier = threading.Barrier(3, timeout=20)
    for _ in range(3):
        pool.run(lambda *_: barrier.wait() and None, 3, 3)
        mine = [thread for thread in decode_threads() if thread not in before]
        assert len(mine) == 2
    del pool
    for thread in mine:
        thread.join(timeout=20)
        assert not thread.is_alive()


@needs_fork
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_copy_starts_threads_of_its_own() -> None:
    pool = DecodeThreads()
    together = threading.Barrier(3, timeout=20)
    pool.run(lambda *_: together.wait() and None, 3, 3)  # so that both threads of the pool are there
    time.sleep(0.1)  # and idle
    child = os.fork()
    if child == 0:  # without pytest around it
        done: list[int] = []
        worker = threading.Thread(
            target=pool.run, args=(lambda start, stop: done.extend(range(start, stop)), 8, 3), daemon=True
        )
        worker.start()
        worker.join(timeout=10)
        os._exit(0 if not worker.is_alive() and sorted(done) == list(range(8)) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    done = []
    pool.run(lambda start, stop: done.extend(range(start, stop)), 8, 3)
    assert sorted(done) == list(range(8))
