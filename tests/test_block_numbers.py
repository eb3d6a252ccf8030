"""Numbers of blocks in a new file: by first use, and one for equal blocks, which are compared and not believed."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sar_h5.derivation.block_numbers import BlockNumbers
from sar_h5.derivation.taken_patch import TakenPatch
from sar_h5.shared_blocks.contents import BlockContents, hash_blocks


def take(piece: int, blocks: list[int] | None, row: int = -1, col: int = -1, *, matches: bool = True) -> TakenPatch:
    numbers = None if blocks is None else np.array(blocks, np.int64)
    return TakenPatch(np.empty(0), piece, numbers, matches=matches, row=row, col=col)


def make_blocks(*contents: int) -> np.ndarray:
    return np.array([np.full((4, 4), content, np.uint8) for content in contents])


def test_blocks_of_a_file_are_numbered_by_first_use() -> None:
    numbers = BlockNumbers([9, 9], 4, 2, None)
    blocks = make_blocks(0, 0, 0, 0)
    given, new = numbers.number(take(0, [7, 3, 7, 5], matches=False), blocks, None)
    assert (given.tolist(), new) == ([0, 1, 0, 2], [0, 1, 3])
    given, new = numbers.number(take(1, [7, 7, 7, 7], matches=False), blocks, None)
    assert (given.tolist(), new) == ([3, 3, 3, 3], [0])
    given, new = numbers.number(take(0, [5, 8, 3, 7], matches=False), blocks, None)
    assert (given.tolist(), new, numbers.count) == ([2, 4, 1, 0], [1], 5)


def test_a_place_counts_only_where_the_content_is_the_same() -> None:
    """Files may be wrong about places; no patch may change for that."""
    numbers = BlockNumbers([0, 9], 4, 2, None)
    first, other = make_blocks(1, 2, 3, 4), make_blocks(2, 9, 4, 8)
    assert numbers.number(take(0, None, 0, 0), first, hash_blocks(first))[0].tolist() == [0, 1, 2, 3]
    given, new = numbers.number(take(1, [0, 1, 2, 3], 0, 4), other, hash_blocks(other))
    assert (given.tolist(), new) == ([1, 4, 3, 5], [1, 3])
    lying = make_blocks(7, 9, 8, 8)
    given, new = numbers.number(take(0, None, 0, 4), lying, hash_blocks(lying))
    assert (given.tolist(), new) == ([6, 4, 7, 5], [0, 2])
    below = make_blocks(3, 4, 0, 0)
    assert numbers.number(take(0, None, 4, 0), below, hash_blocks(below))[0].tolist() == [2, 3, 8, 9]
    late = make_blocks(1, 2, 3, 4)  # its place has been forgotten: stored twice, and nothing else
    assert numbers.number(take(0, None, 0, 0), late, hash_blocks(late))[0].tolist()[:2] == [10, 11]
    elsewhere = TakenPatch(np.empty(0), matches=True, scene=1, row=4, col=0)
    assert numbers.number(elsewhere, below, hash_blocks(below))[1] == [0, 1, 2, 3]


@given(st.lists(st.lists(st.integers(0, 6), min_size=4, max_size=4), max_size=12), st.data())
def test_equal_content_has_one_number_whatever_it_was_called(patches: list[list[int]], data: st.DataObject) -> None:
    stored: list[np.ndarray] = []
    numbers = BlockNumbers([7, 0, 14], 4, 2, BlockContents(lambda number: stored[number]))
    for contents in patches:
        piece = data.draw(st.integers(0, 2))
        names = {0: contents, 1: None, 2: [content + 7 * data.draw(st.integers(0, 1)) for content in contents]}[piece]
        blocks = make_blocks(*contents)
        given, new = numbers.number(take(piece, names), blocks, hash_blocks(blocks))
        stored += [blocks[position] for position in new]
        np.testing.assert_array_equal(np.array(stored)[given], blocks)
    assert numbers.count == len(stored) == len({content for contents in patches for content in contents})
