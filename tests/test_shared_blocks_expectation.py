"""What blocks a file will have: by the grid exactly, by the content of a sample where nothing tells the stride."""

from __future__ import annotations

import numpy as np
import pytest

from sar_h5.errors import SettingError
from sar_h5.shared_blocks.expectation import (
    checked_block_size,
    expect_grid_blocks,
    expect_shard_blocks,
    find_block_size,
)
from sar_h5.shared_blocks.grid import ExpectedBlocks
from sar_h5.tiling import PatchGrid


def cut(image: np.ndarray, size: int, stride: int) -> np.ndarray:
    windows = np.lib.stride_tricks.sliding_window_view(image, (size, size))[::stride, ::stride]
    return windows.reshape(-1, size, size)


@pytest.mark.parametrize(
    ("size", "stride", "expected"),
    [(64, 32, 32), (64, 16, 16), (64, 48, 16), (96, 64, 32), (60, 40, 20), (64, 64, 64), (64, 50, 64), (15, 5, 5)],
)
def test_the_side_is_found_by_content(size: int, stride: int, expected: int) -> None:
    image = np.random.default_rng(0).integers(0, 200, (320, 320)).astype(np.uint8)
    patches = cut(image, size, stride)
    assert find_block_size(np.array_split(patches, 3), size) == expected
    assert find_block_size([patches[np.random.default_rng(1).permutation(len(patches))]], size) == expected


def test_blocks_of_one_value_are_no_sign_of_overlap() -> None:
    patches = np.random.default_rng(0).integers(0, 200, (20, 64, 64)).astype(np.uint8)
    patches[:15] = 0
    assert find_block_size([patches], 64) == 64
    assert find_block_size([], 64) == 64
    assert find_block_size([np.zeros((3, 1, 1))], 1) == 1


def test_a_grid_and_shards_on_a_square_have_as_many() -> None:
    expected = ExpectedBlocks(64, 2 * 10 * 10)
    assert expect_grid_blocks([(640, 640), (650, 700)], PatchGrid(128, 64)) == expected
    assert expect_shard_blocks([81, 0, 81], 128, 64, ()) == expected
    assert expect_shard_blocks([], 128, 64, ()) == ExpectedBlocks(64, 0)


def test_far_too_small_blocks_are_refused_with_what_to_do_instead() -> None:
    assert checked_block_size(256, 100) == 4
    with pytest.raises(
        SettingError, match=r"have 2 px a side, which makes 16,384 blocks a patch; use --layout patches"
    ):
        checked_block_size(256, 2)
