"""How patches are made of blocks: the side of a block, how many there are, and cutting. Pure arithmetic."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

SMALL_BLOCK = 32
"""Below this side in pixels blocks cost more than they save: each has an entry in the chunk index, a checksum, a header
of 16 bytes, a number in every patch that has it, and a decompression of its own."""

MOST_BLOCKS_PER_SIDE = 64
"""More than this many blocks along the side of a patch are refused: 4,096 numbers a patch."""


@dataclass(frozen=True)
class ExpectedBlocks:
    """What is known of the blocks of a file before it is written.

    Attributes:
        size: side of a block in pixels.
        count: how many there are if no patch is dropped; about, where places are not known.
    """

    size: int
    count: int


def choose_block_size(patch_size: int, stride: int) -> int:
    """Return the side of the largest blocks that neighbouring patches share; that of a patch where none overlap.

    Args:
        patch_size: side of a patch in pixels.
        stride: distance of neighbouring patches in pixels.
    """
    return math.gcd(patch_size, stride) if stride < patch_size else patch_size


def count_grid_blocks(axes: Iterable[tuple[int, int]], patch_size: int, stride: int, block_size: int) -> int:
    """Count the blocks of scenes whose patches lie on full grids.

    Args:
        axes: how many patches lie along the rows, and along the columns, of each scene.
        patch_size: side of a patch in pixels.
        stride: distance of neighbouring patches in pixels.
        block_size: side of a block in pixels.
    """

    def along(patches: int) -> int:
        own = min(stride, patch_size) // block_size
        return (patches - 1) * own + patch_size // block_size if patches else 0

    return sum(along(down) * along(across) for down, across in axes)


def cut_blocks(patches: npt.NDArray[np.generic], blocks: npt.NDArray[np.generic]) -> None:
    """Cut patches into blocks, row by row.

    Args:
        patches: (n, P, P).
        blocks: (n, P/B * P/B, B, B) of the same dtype, C-contiguous, filled.
    """
    count, number, size, _ = blocks.shape
    side = math.isqrt(number)
    split = patches.reshape(count, side, size, side, size)
    np.copyto(blocks.reshape(count, side, side, size, size), split.swapaxes(2, 3))


def cut_sample(patches: Iterable[npt.NDArray[np.generic]], block_size: int) -> list[npt.NDArray[np.generic]]:
    """Return the blocks (B, B) of some patches (P, P)."""
    cut: list[npt.NDArray[np.generic]] = []
    for patch in patches:
        blocks = np.empty(((len(patch) // block_size) ** 2, block_size, block_size), patch.dtype)
        cut_blocks(patch[np.newaxis], blocks[np.newaxis])
        cut.extend(blocks)
    return cut
