"""Open files are bounded in number, kept for the next use, and each lent to one thread at a time."""

from __future__ import annotations

import gc
import os
import threading
import time

import pytest

from sar_h5.errors import SettingError
from sar_h5.stores.handle_pool import HandlePool


class Files:
    """Counts what is open."""

    def __init__(self) -> None:
        self.open: list[str] = []
        self.opened: list[int] = []
        self.most = 0
        self._serials = iter(range(10_000))

    def open_one(self, number: int) -> str:
        if number == 13:
            raise FileNotFoundError("no file 13")
        handle = f"{number}.{next(self._serials)}"
        self.open.append(handle)
        self.opened.append(number)
        self.most = max(self.most, len(self.open))
        return handle

    def close_one(self, handle: str) -> None:
        self.open.remove(handle)

    def pool(self, most: int) -> HandlePool[str]:
        return HandlePool(self.open_one, self.close_one, most)


@pytest.fixture
def files() -> Files:
    return Files()


def use(pool: HandlePool[str], *numbers: int) -> None:
    for number in numbers:
        with pool.lend(number) as handle:
            assert handle.startswith(f"{number}.")


def test_the_file_used_longest_ago_is_closed_for_another(files: Files) -> None:
    pool = files.pool(2)
    use(pool, 0, 1, 0, 2)
    assert [handle[0] for handle in files.open] == ["0", "2"]
    use(pool, 0, 1)
    assert files.opened == [0, 1, 2, 1]
    assert files.most == 2


def test_threads_never_have_more_files_open_and_never_the_same_handle(files: Files) -> None:
    pool, lent, wrong = files.pool(3), set[str](), list[str]()

    def work(seed: int) -> None:
        for step in range(60):
            with pool.lend((seed * 7 + step * 5) % 11) as handle:
                if handle in lent:
                    wrong.append(handle)
                lent.add(handle)
                time.sleep(0)
                lent.discard(handle)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not any(thread.is_alive() for thread in threads)
    assert wrong == []
    assert 1 <= files.most <= 3


def test_a_file_that_cannot_be_opened_takes_no_place(files: Files) -> None:
    pool = files.pool(1)
    for _ in range(3):
        with pytest.raises(FileNotFoundError), pool.lend(13):
            pass
        use(pool, 4)
    with pytest.raises(ZeroDivisionError), pool.lend(4):
        1 / 0  # noqa: B018 - an error of whoever uses it
    use(pool, 4, 5)
    assert [handle[0] for handle in files.open] == ["5"]


def test_close_closes_all_and_the_next_use_opens_again(files: Files) -> None:
    pool = files.pool(4)
    use(pool, 0, 1, 2)
    pool.close()
    pool.close()
    assert files.open == []
    use(pool, 1)
    assert len(files.open) == 1


def test_a_pool_that_nobody_holds_closes_its_files(files: Files) -> None:
    pool = files.pool(4)
    use(pool, 0, 1)
    del pool
    gc.collect()
    assert files.open == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_process_opens_its_own_even_if_a_thread_held_the_lock(files: Files) -> None:
    pool = files.pool(1)
    with pool.lend(0), pool._processes[os.getpid()].changed:
        child = os.fork()
        if child == 0:
            with pool.lend(0):
                os._exit(len(files.opened))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 2


def test_no_file_at_all_is_refused(files: Files) -> None:
    with pytest.raises(SettingError, match="at least 1 open file; found 0"):
        files.pool(0)
