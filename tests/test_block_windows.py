"""Blocks put into windows of samples make up what NumPy makes of whole patches."""

from __future__ import annotations

import numpy as np
import pytest

from sar_h5.block_chunks import join_blocks
from sar_h5.block_kernels import lay_out, place_blocks
from sar_h5.block_windows import BlockWindows
from sar_h5.symmetry import apply_symmetry
from tests.block_files import cut


@pytest.mark.parametrize(("per_side", "side"), [(1, 4), (2, 3), (3, 2), (5, 1)])
def test_every_symmetry_puts_blocks_where_their_pixels_go(per_side: int, side: int) -> None:
    size = per_side * side
    patches = np.arange(2 * size * size, dtype=np.uint16).reshape(2, size, size)
    blocks, grid = cut(patches, side)
    windows = BlockWindows(per_side, size)
    for symmetry in range(8):
        out = np.zeros((3, size, size), np.uint16)
        turns, places = np.full(2, symmetry, np.uint8), np.array([2, 0])
        pieces, at = np.empty((2, per_side**2), np.int64), np.empty((2, per_side**2), np.int64)
        each, sound = np.empty((2, per_side**2), np.uint8), np.zeros(2, np.bool_)
        where = windows.sources, windows.corners, windows.step
        lay_out(grid.reshape(2, -1), len(blocks), np.arange(2), turns, places, *where, pieces, each, at, sound)
        done = place_blocks(blocks, pieces.ravel(), each.ravel(), None, 0, at.ravel(), windows.of(out))
        assert sound.all()
        assert done == pieces.size
        for number, place in enumerate(places):
            assert np.array_equal(out[place], apply_symmetry(patches[number], symmetry))
        assert not out[1].any()


def test_windows_end_with_the_last_pixel() -> None:
    out = np.zeros((2, 6, 6), np.float32)
    windows = BlockWindows(2, 6).of(out)
    assert windows.shape == (2 * 36 - 2 * 6 - 2, 3, 3)
    windows[-1] = 1
    assert out[1, 3:, 3:].all()
    assert out.sum() == 9
    assert BlockWindows(2, 6).of(out[:0]).shape == (0, 6, 6)


def test_a_code_that_does_not_count_ends_the_loop_and_blocks_that_are_not_there_are_told() -> None:
    blocks = np.array([[[1]], [[9]]], np.uint8)
    out, nought = np.zeros((3, 1, 1), np.float32), np.zeros(3, np.uint8)
    lut = np.linspace(0, 1, 256, dtype=np.float32)
    assert place_blocks(blocks, np.array([0, 1, 0]), nought, lut, 9, np.arange(3), out) == 1
    windows, sound = BlockWindows(1, 1), np.zeros(2, np.bool_)
    grid, pieces = np.array([[1], [2]], np.uint32), np.empty((2, 1), np.int64)
    where = windows.sources, windows.corners, windows.step
    lay_out(grid, 2, np.arange(2), nought[:2], np.arange(2), *where, pieces, nought[:2, None], pieces.copy(), sound)
    assert sound.tolist() == [True, False]


def test_blocks_join_to_the_patch_that_was_cut() -> None:
    patches = np.random.default_rng(0).integers(0, 9, (3, 6, 6)).astype(np.uint8)
    blocks, grid = cut(patches, 2)
    assert len(blocks) < grid.size or grid.size == len(np.unique(grid))
    assert all(np.array_equal(join_blocks(blocks[each]), patch) for each, patch in zip(grid, patches, strict=True))
