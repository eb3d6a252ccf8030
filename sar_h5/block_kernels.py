"""The compiled loops of layout "blocks": which blocks a batch is made of, and samples made of decoded ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from sar_h5.compiled import compiled
from sar_h5.kernels import place


@compiled
def lay_out(
    grid: npt.NDArray[np.uint32],
    count: int,
    numbers: npt.NDArray[np.int64],
    symmetries: npt.NDArray[np.uint8],
    places: npt.NDArray[np.int64],
    sources: npt.NDArray[np.int64],
    corners: npt.NDArray[np.int64],
    step: int,
    pieces: npt.NDArray[np.int64],
    turns: npt.NDArray[np.uint8],
    windows: npt.NDArray[np.int64],
    sound: npt.NDArray[np.bool_],
) -> None:
    """Find the blocks of patches and the windows they go to. NumPy takes 50 microseconds a batch for it, all told.

    Args:
        grid: uint32 (N, k k), numbers of the blocks of each patch.
        count: of all blocks.
        numbers: int64 (n,), patches.
        symmetries: uint8 (n,), of each.
        places: int64 (n,), which sample each one becomes.
        sources: int64 (8, k k), which block comes to each window of a sample, by symmetry.
        corners: int64 (k k,), the windows of the first sample.
        step: how many windows samples are apart.
        pieces: int64 (n, k k), filled with numbers of blocks in the order of windows.
        turns: uint8 (n, k k), filled with their symmetries.
        windows: int64 (n, k k), filled.
        sound: bool (n,), filled: whether all blocks of the patch are below ``count``.
    """
    for position in range(len(numbers)):
        number, symmetry, first = numbers[position], symmetries[position], places[position] * step
        sound[position] = True
        for window in range(len(corners)):
            block = np.int64(grid[number, sources[symmetry, window]])
            if block >= count:
                sound[position] = False
            pieces[position, window] = block
            turns[position, window] = symmetry
            windows[position, window] = first + corners[window]


@compiled
def place_blocks(
    decoded: npt.NDArray[Any],
    positions: npt.NDArray[np.int64],
    symmetries: npt.NDArray[np.uint8],
    lut: npt.NDArray[np.float32] | None,
    levels: int,
    places: npt.NDArray[np.int64],
    out: npt.NDArray[Any],
) -> int:
    """Look up and place blocks.

    Args:
        decoded: (m, B, B), blocks as stored.
        positions: int64 (n,), which of them to place.
        symmetries: uint8 (n,), of each.
        lut: see :func:`sar_h5.kernels.place`.
        levels: see :func:`sar_h5.kernels.place`.
        places: int64 (n,), which of ``out`` each one goes to.
        out: (l, B, B), which may overlap.

    Returns:
        How many blocks were placed, n or the position of the first one with a code that does not count.
    """
    for position in range(len(positions)):
        block, target = decoded[positions[position]], out[places[position]]
        if not place(block, lut, levels, int(symmetries[position]), target):
            return position
    return len(positions)
