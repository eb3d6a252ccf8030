"""The hash table: every number comes back under its hash, in order, whatever collides, grows or is forgotten."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from sar_h5.shared_blocks.table import MOST_NBYTES_PER_BLOCK, HashTable


def keys(numbers: list[tuple[int, int]]) -> np.ndarray:
    return np.array(numbers, np.uint64).reshape(-1, 2)


HASH = st.tuples(st.sampled_from([0, 1, 2**64 - 1]), st.sampled_from([0, 1, 2047, 2048, 2**63, 2**64 - 1]))


@settings(deadline=None)
@given(st.lists(st.one_of(st.lists(HASH, max_size=12), st.integers(0, 30)), max_size=12))
def test_it_does_what_a_dictionary_does(steps: list[list[tuple[int, int]] | int]) -> None:
    table, held = HashTable(), list[tuple[int, int]]()
    for step in steps:
        if isinstance(step, int):
            table.forget(step)
            del held[step:]
        else:
            table.add(keys(step))
            held += step
        assert len(table) == len(held)
        for one in {*held, (5, 5)}:
            assert list(table.find(keys([one])[0])) == [number for number, key in enumerate(held) if key == one]


def test_it_stays_within_the_stated_memory_and_finds_everything_while_it_grows() -> None:
    table, generator = HashTable(), np.random.default_rng(0)
    held = generator.integers(0, 2**64, (100_000, 2), dtype=np.uint64)
    for start in range(0, len(held), 777):
        table.add(held[start : start + 777])
        assert table.nbytes <= max(MOST_NBYTES_PER_BLOCK * len(table), 25_000)
    for number in generator.integers(0, len(held), 200).tolist():
        assert list(table.find(held[number])) == [number]
    table.forget(50_000)
    assert [len(list(table.find(held[number]))) for number in (0, 49_999, 50_000, 99_999)] == [1, 1, 0, 0]
    table.add(held[50_000:])
    assert list(table.find(held[-1])) == [99_999]
