"""Blocks kept for a while: always the right ones, read once as long as they are kept, the broken ones once at all."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sar_h5.recent_blocks import RecentBlocks

COUNT, SHAPE, DTYPE = 40, (2, 3), np.dtype("<u2")
STORED = np.arange(COUNT * 6, dtype=DTYPE).reshape(COUNT, *SHAPE)
BROKEN = {5, 17}


class Source:
    """Reads of blocks, counted."""

    def __init__(self, slots: int) -> None:
        self.reads: Counter[int] = Counter()
        self.recent = RecentBlocks(self.read, COUNT, SHAPE, DTYPE, slots * STORED[0].nbytes)

    def read(self, numbers: np.ndarray, out: np.ndarray) -> dict[int, str]:
        self.reads.update(numbers.tolist())
        out[...] = STORED[numbers]
        return {place: f"no {number}" for place, number in enumerate(numbers.tolist()) if number in BROKEN}


def is_right(taken: tuple[np.ndarray, dict[int, str]], blocks: np.ndarray) -> bool:
    decoded, faults = taken
    wanted = {place: f"no {block}" for place, block in enumerate(blocks.tolist()) if block in BROKEN}
    sound = [place for place in range(len(blocks)) if place not in wanted]
    return faults == wanted and np.array_equal(decoded[sound], STORED[blocks[sound]])


@given(st.integers(0, 50), st.lists(st.sets(st.integers(0, COUNT - 1)), max_size=12))
def test_blocks_are_right_however_few_are_kept(slots: int, batches: list[set[int]]) -> None:
    source = Source(slots)
    for batch in batches:
        blocks = np.array(sorted(batch), np.int64)
        assert is_right(source.recent.take(blocks), blocks)
    assert all(source.reads[block] <= 1 for block in BROKEN)


def test_each_block_is_read_once_while_those_that_are_shared_are_kept() -> None:
    source = Source(8)
    for start in range(0, COUNT - 3, 2):  # windows of 4 that overlap by 2
        blocks = np.arange(start, start + 4)
        assert is_right(source.recent.take(blocks), blocks)
    assert source.reads == Counter(range(COUNT))


def test_no_block_at_all_is_fine() -> None:
    recent = RecentBlocks(Source(1).read, 0, SHAPE, DTYPE)
    decoded, faults = recent.take(np.empty(0, np.int64))
    assert (decoded.shape, faults) == ((0, *SHAPE), {})


def test_threads_share_it() -> None:
    source = Source(6)

    def takes(seed: int) -> bool:
        generator: Any = np.random.default_rng(seed)
        draws = (np.sort(generator.choice(COUNT, 7, replace=False)) for _ in range(50))
        return all(is_right(source.recent.take(blocks), blocks) for blocks in draws)

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(takes, range(8)))
