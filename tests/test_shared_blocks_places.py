"""Blocks by place: one number for each corner, at any corner, in memory that does not grow with the rows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sar_h5.shared_blocks.grid import choose_block_size
from sar_h5.shared_blocks.places import BlockPlaces
from sar_h5.tiling import EDGES, Edge, PatchGrid, window_starts


def number_scene(
    places: BlockPlaces, rows: list[int], cols: list[int], first: int, step: int = 5
) -> tuple[np.ndarray, list[int]]:
    """Number a grid of patches in batches; return the numbers, and which positions were new."""
    corners = np.array([(row, col) for row in rows for col in cols], np.int32).reshape(-1, 2)
    numbers, new = [], list[int]()
    for start in range(0, len(corners), step):
        some = corners[start : start + step]
        found = places.number(some[:, 0], some[:, 1], first + len(new))
        new += [start * found.numbers.shape[1] + position for position in found.new]
        numbers.append(found.numbers)
    return np.concatenate(numbers), new


@given(
    st.sampled_from([(8, 4), (8, 2), (12, 8), (6, 6), (4, 9), (9, 6)]),
    st.integers(1, 60),
    st.integers(1, 60),
    st.sampled_from(EDGES),
    st.integers(1, 9),
)
def test_patches_with_any_edge_share_exactly_the_blocks_at_the_same_corner(
    sizes: tuple[int, int], height: int, width: int, edge: Edge, step: int
) -> None:
    patch_size, stride = sizes
    grid, size = PatchGrid(patch_size, stride), choose_block_size(patch_size, stride)
    rows, cols = (window_starts(grid, length, edge).tolist() for length in (height, width))
    places = BlockPlaces(size, patch_size // size)
    places.start_scene()
    if not rows or not cols:
        return
    numbers, new = number_scene(places, rows, cols, 100, step)
    steps = range(0, patch_size, size)
    corners = [(row + down, col + across) for row in rows for col in cols for down in steps for across in steps]
    given_numbers: dict[tuple[int, int], int] = {}
    for corner in corners:
        given_numbers.setdefault(corner, 100 + len(given_numbers))
    assert numbers.reshape(-1).tolist() == [given_numbers[corner] for corner in corners]
    assert [corners[position] for position in new] == list(given_numbers)


def test_memory_is_bounded_by_the_width_of_the_scene() -> None:
    places = BlockPlaces(64, 4)
    rows, cols = list(range(0, 6400, 64)), list(range(0, 1280, 64))
    for row in rows:
        number_scene(places, [row], cols, 0)
        assert len(places) == 4 * (len(cols) + 3)


@pytest.mark.parametrize("batch", [0, 3])
def test_a_new_scene_shares_nothing_with_the_one_before(batch: int) -> None:
    places = BlockPlaces(4, 2)
    corners = np.zeros(batch, np.int32), np.arange(batch, dtype=np.int32) * 4
    before = places.number(*corners, 0)
    places.start_scene()
    after = places.number(*corners, len(before.new))
    assert after.numbers.tolist() == (before.numbers + np.uint32(len(before.new))).tolist()
    assert (after.new, after.numbers.shape, after.numbers.dtype) == (before.new, (batch, 4), np.dtype(np.uint32))
