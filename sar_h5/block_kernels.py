"""The compiled loop that makes samples of blocks which have been decoded before."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from sar_h5.compiled import compiled
from sar_h5.kernels import place


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
