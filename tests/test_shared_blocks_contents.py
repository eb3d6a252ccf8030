"""Blocks by content: equal ones get one number over all calls, different ones never, whatever the hashes say."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sar_h5.shared_blocks.contents import BlockContents, hash_blocks


@settings(deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 5), max_size=4).map(lambda kinds: [*kinds, *kinds]), max_size=6), st.integers(1, 3)
)
def test_equal_blocks_share_a_number_even_where_all_hashes_collide(calls: list[list[int]], spread: int) -> None:
    stored: list[np.ndarray] = []
    search = BlockContents(stored.__getitem__)
    numbers: dict[int, int] = {}
    for kinds in calls:
        blocks = np.array([np.full((2, 2), kind, np.uint16) for kind in kinds], np.uint16).reshape(-1, 2, 2)
        hashes = np.array([(0, kind % spread) for kind in kinds], np.uint64).reshape(-1, 2)
        found = search.number(blocks, hashes, 2, len(stored))
        stored += [blocks[position] for position in found.new]
        for kind in kinds:
            numbers.setdefault(kind, len(numbers))
        assert found.numbers.reshape(-1).tolist() == [numbers[kind] for kind in kinds]
    assert [int(block[0, 0]) for block in stored] == list(numbers)


def test_what_is_forgotten_is_new_again_and_what_is_taken_over_is_known() -> None:
    blocks = np.arange(24, dtype=np.float32).reshape(6, 2, 2)
    hashes = hash_blocks(blocks)
    search = BlockContents(blocks.__getitem__)
    assert search.number(blocks, hashes, 2, 0).new == [0, 1, 2, 3, 4, 5]
    search.forget(4)
    assert search.number(blocks[::-1], hashes[::-1], 2, 4).numbers.tolist() == [[4, 5], [3, 2], [1, 0]]
    other = BlockContents(blocks.__getitem__)
    other.take_over(hashes[:5])
    assert other.number(blocks[4:], hashes[4:], 2, 5).numbers.tolist() == [[4, 5]]


def test_blocks_between_those_of_scenes_with_places_have_numbers_of_their_own() -> None:
    blocks = np.arange(24, dtype=np.float32).reshape(6, 2, 2)
    hashes = hash_blocks(blocks)
    stored = dict(enumerate(blocks[:2], start=10)) | dict(enumerate(blocks[2:], start=20))
    for forgotten, kept in ((30, 6), (23, 5), (20, 2), (15, 2), (11, 1), (3, 0)):
        search = BlockContents(stored.__getitem__)
        assert search.number(blocks[:2], hashes[:2], 2, 10).numbers.tolist() == [[10, 11]]
        search.take_over(hashes[2:], 20)
        known = [10, 11, 20, 21, 22, 23]
        assert search.number(blocks, hashes, 6, 24).numbers.tolist() == [known]
        search.forget(forgotten)
        expected = [*known[:kept], *range(forgotten, forgotten + 6 - kept)]
        stored |= dict(zip(range(forgotten, forgotten + 6 - kept), blocks[kept:], strict=True))
        assert search.number(blocks, hashes, 6, forgotten).numbers.tolist() == [expected]


@pytest.mark.parametrize("count", [0, 3])
def test_the_hash_is_half_a_sha_256_on_any_machine(count: int) -> None:
    blocks = np.random.default_rng(0).integers(0, 255, (count, 4, 4)).astype(np.uint8)
    expected = b"".join(hashlib.sha256(block.tobytes()).digest()[:16] for block in blocks)
    assert hash_blocks(blocks).astype("<u8").tobytes() == expected
    assert hash_blocks(blocks).shape == (count, 2)
