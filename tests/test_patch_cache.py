"""The cache keeps to its limit at any time, gives back what it was given, and is of use in training's order."""

from __future__ import annotations

import math
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sar_h5.stores.patch_cache import ENTRY_NBYTES, PatchCache

Operation = tuple[bool, int]


def patch_of(number: int, nbytes: int = 100) -> np.ndarray:
    return np.full(nbytes, number % 251, dtype=np.uint8)


@given(
    st.integers(0, 3000),
    st.lists(st.tuples(st.integers(0, 12), st.integers(0, 600)), max_size=120),
)
def test_whatever_is_put_the_limit_holds_and_hits_are_what_was_put(limit: int, puts: list[tuple[int, int]]) -> None:
    cache = PatchCache(limit)
    sizes: dict[int, int] = {}
    for number, nbytes in puts:
        found = cache.get(number)
        if found is None:
            sizes[number] = nbytes
            cache.put(number, patch_of(number, nbytes))
        else:
            np.testing.assert_array_equal(found, patch_of(number, sizes[number]))
        assert cache.nbytes <= limit
        here = [number for number in range(13) if number in sizes and cache.get(number) is not None]
        assert len(here) == len(cache)
        assert cache.nbytes == sum(sizes[number] + ENTRY_NBYTES for number in here)


def test_hits_misses_and_evictions_are_counted() -> None:
    cache = PatchCache(2 * (100 + ENTRY_NBYTES))
    assert cache.get(1) is None
    for number in range(500):
        cache.put(number % 5, patch_of(number % 5))
    kept = [number for number in range(5) if cache.get(number) is not None]
    assert len(kept) == len(cache) == 2
    assert (cache.hits, cache.misses) == (2, 4)
    assert cache.evictions > 5


def test_what_is_kept_is_a_copy_that_nobody_can_write() -> None:
    cache, patch = PatchCache(10_000), patch_of(3)
    cache.put(3, patch)
    patch[:] = 9
    kept = cache.get(3)
    assert kept is not None
    np.testing.assert_array_equal(kept, patch_of(3))
    with pytest.raises(ValueError, match="read-only"):
        kept[0] = 1


@pytest.mark.parametrize("limit", [0, 1, 100, 100 + ENTRY_NBYTES - 1])
def test_a_limit_smaller_than_a_patch_keeps_nothing(limit: int) -> None:
    cache = PatchCache(limit)
    for number in range(100):
        cache.put(number, patch_of(number))
    assert (len(cache), cache.nbytes, cache.evictions) == (0, 0, 0)


def hit_rates(cache: PatchCache, count: int, epochs: int, start: int = 0, seed: int = 0) -> list[float]:
    generator, rates = np.random.default_rng(seed), []
    for _ in range(epochs):
        before = cache.hits
        for number in (start + generator.permutation(count)).tolist():
            if cache.get(number) is None:
                cache.put(number, patch_of(number))
        rates.append((cache.hits - before) / count)
    return rates


@pytest.mark.parametrize(("fraction", "expected"), [(0.25, 0.23), (0.5, 0.48), (0.9, 0.90)])
def test_in_shuffled_epochs_almost_as_many_reads_are_hits_as_there_is_room_for(
    fraction: float, expected: float
) -> None:
    count = 2000
    cache = PatchCache(int(fraction * count) * (100 + ENTRY_NBYTES))
    first, *later = hit_rates(cache, count, epochs=9)
    assert first == 0
    assert sum(later) / len(later) == pytest.approx(expected, abs=0.01)
    least_recently_used = fraction + (1 - fraction) * math.log(1 - fraction)
    assert min(later) > least_recently_used + 0.15


def test_room_for_all_finds_all() -> None:
    cache = PatchCache(300 * (100 + ENTRY_NBYTES))
    assert hit_rates(cache, 300, epochs=3) == [0, 1, 1]
    assert cache.evictions == 0


def test_it_follows_when_other_patches_are_read() -> None:
    cache = PatchCache(500 * (100 + ENTRY_NBYTES))
    hit_rates(cache, 1000, epochs=3)
    before = cache.evictions
    moved = hit_rates(cache, 1000, epochs=60, start=5000)
    assert moved[0] == 0
    assert cache.evictions > before
    assert min(moved[50:]) > 0.4
    assert cache.get(0) is None or len(cache) == 500


def test_threads_keep_the_books_together() -> None:
    cache = PatchCache(50 * (100 + ENTRY_NBYTES))
    wrong: list[int] = []

    def work(seed: int) -> None:
        for number in np.random.default_rng(seed).integers(0, 200, 3000).tolist():
            found = cache.get(number)
            if found is None:
                cache.put(number, patch_of(number))
            elif not np.array_equal(found, patch_of(number)):
                wrong.append(number)
            if cache.nbytes > cache.limit_nbytes:
                wrong.append(-1)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert cache.hits + cache.misses == 4 * 3000
    assert cache.nbytes == len(cache) * (100 + ENTRY_NBYTES)
