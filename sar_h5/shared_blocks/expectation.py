"""What blocks a file will have, before it is written: from the grid, or from a sample of patches without places."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from sar_h5.errors import SettingError
from sar_h5.shared_blocks.contents import hash_block
from sar_h5.shared_blocks.grid import (
    MOST_BLOCKS_PER_SIDE,
    SMALL_BLOCK,
    ExpectedBlocks,
    choose_block_size,
    count_grid_blocks,
    cut_sample,
)
from sar_h5.tiling import PatchGrid

SHARED_ENOUGH = 0.005
"""Which part of a sample's pixels has to occur again before that is taken for overlap. Of consecutive patches that
overlap by half about half do, of shuffled ones a few in a hundred or thousand, of others none: no two blocks of speckle
are equal by chance. Blocks of one value do not count."""

FINER_IS_BETTER = 1.02
"""How many times more pixels blocks of a smaller side must save to be taken."""


def expect_grid_blocks(sizes: Iterable[tuple[int, int]], grid: PatchGrid) -> ExpectedBlocks:
    """Tell from the grid.

    Args:
        sizes: height and width of each scene in pixels.
        grid: where patches lie.

    Raises:
        SettingError: where patch size and stride leave only blocks that are far too small.
    """
    size = checked_block_size(grid.patch_size, grid.stride)
    axes = [(len(grid.starts(height)), len(grid.starts(width))) for height, width in sizes]
    return ExpectedBlocks(size, count_grid_blocks(axes, grid.patch_size, grid.stride, size))


def expect_shard_blocks(
    counts: Sequence[int], patch_size: int, stride: int, runs: Iterable[npt.NDArray[np.generic]]
) -> ExpectedBlocks:
    """Tell from the stride, or, where that is unknown, from a sample.

    Args:
        counts: how many patches each shard holds; as if they lay on a square.
        patch_size: side of a patch in pixels.
        stride: distance of neighbouring patches in pixels, -1 where unknown.
        runs: consecutive patches (n, P, P) of a few shards; looked at only where the stride is unknown.

    Raises:
        SettingError: where patch size and stride leave only blocks that are far too small.
    """
    size = checked_block_size(patch_size, stride) if stride > 0 else find_block_size(runs, patch_size)
    step = stride if stride > 0 else size
    acrosses = [math.isqrt(max(count - 1, 0)) + 1 for count in counts]
    axes = [(-(-count // across), across) for count, across in zip(counts, acrosses, strict=True)]
    most = sum(counts) * (patch_size // size) ** 2
    return ExpectedBlocks(size, min(count_grid_blocks(axes, patch_size, step, size), most))


def checked_block_size(patch_size: int, stride: int) -> int:
    """Return the side of the blocks that patches share; see :func:`choose_block_size`.

    Raises:
        SettingError: where there are far too many of them in a patch.
    """
    size = choose_block_size(patch_size, stride)
    if patch_size // size > MOST_BLOCKS_PER_SIDE:
        raise SettingError(
            f"--layout blocks cannot serve patches of {patch_size} px with stride {stride}: the largest squares that "
            f"they share have {size} px a side, which makes {(patch_size // size) ** 2:,} blocks a patch; use --layout "
            "patches, or a stride that has a larger divisor in common with the patch size"
        )
    return size


def find_block_size(runs: Iterable[npt.NDArray[np.generic]], patch_size: int) -> int:
    """Find out by content of which blocks patches are made.

    Args:
        runs: consecutive patches (n, P, P) of a few shards.
        patch_size: their side in pixels.

    Returns:
        Of the divisors of the patch size, from half of it to 32 pixels (a quarter of small patches), the side that
        saves most pixels; the patch size where none of them saves enough.
    """
    least = min(SMALL_BLOCK, max(patch_size // 4, 1))
    sides = [side for side in range(patch_size // 2, least - 1, -1) if patch_size % side == 0]
    known: dict[int, set[bytes]] = {side: set() for side in sides}
    again = dict.fromkeys(sides, 0)
    pixels = 0
    for run in runs:
        pixels += run.size
        for patch, side in itertools.product(run, sides):
            hashes = [hash_block(block) for block in cut_sample([patch], side) if (block != block.flat[0]).any()]
            before = len(known[side])
            known[side].update(hashes)
            again[side] += (len(hashes) - (len(known[side]) - before)) * side**2
    best, saved = patch_size, SHARED_ENOUGH * pixels / FINER_IS_BETTER
    for side in sides:
        if again[side] > FINER_IS_BETTER * saved:
            best, saved = side, again[side]
    return best
