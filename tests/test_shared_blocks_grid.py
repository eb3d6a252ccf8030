"""How patches are made of blocks: the side, the number, and cutting, which is undone exactly."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sar_h5.shared_blocks.grid import choose_block_size, count_grid_blocks, cut_blocks, cut_sample
from sar_h5.tiling import PatchGrid


@pytest.mark.parametrize(
    ("patch_size", "stride", "expected"),
    [(256, 128, 128), (256, 64, 64), (256, 96, 32), (256, 100, 4), (64, 1, 1), (256, 256, 256), (256, 384, 256)],
)
def test_a_block_is_the_largest_square_that_neighbours_share(patch_size: int, stride: int, expected: int) -> None:
    assert choose_block_size(patch_size, stride) == expected


@given(st.integers(1, 24), st.integers(1, 40), st.lists(st.tuples(st.integers(0, 90), st.integers(0, 90)), max_size=3))
def test_the_blocks_of_full_grids_are_counted(patch_size: int, stride: int, scenes: list[tuple[int, int]]) -> None:
    grid, size = PatchGrid(patch_size, stride), choose_block_size(patch_size, stride)

    def corners(length: int) -> set[int]:
        return {start + step for start in grid.starts(length) for step in range(0, patch_size, size)}

    axes = [(len(grid.starts(height)), len(grid.starts(width))) for height, width in scenes]
    expected = sum(len(corners(height)) * len(corners(width)) for height, width in scenes)
    assert count_grid_blocks(axes, patch_size, stride, size) == expected


@given(st.integers(0, 4), st.integers(1, 4), st.integers(1, 5))
def test_blocks_lie_row_by_row(count: int, side: int, size: int) -> None:
    patches = np.arange(count * (side * size) ** 2, dtype=np.uint16).reshape(count, side * size, side * size)
    blocks = np.empty((count, side**2, size, size), np.uint16)
    cut_blocks(patches, blocks)
    for number in range(side**2):
        row, col = divmod(number, side)
        part = patches[:, row * size : (row + 1) * size, col * size : (col + 1) * size]
        np.testing.assert_array_equal(blocks[:, number], part)
    assert [block.tobytes() for block in cut_sample(patches, size)] == [
        block.tobytes() for patch in blocks for block in patch
    ]
