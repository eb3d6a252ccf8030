"""Which blocks are equal only where they are the same pixels: those of speckle, not those of few values."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from sar_h5.shared_blocks.kernels import count_values

TELLING_VALUES = 16
"""So many different values make a block tell where it lies. Then 15 pixels at least differ from the most frequent one:
of 32 x 32 pixels there are 10^33 choices of 15, without counting the values that they take, so that two of ten million
blocks are equal by chance less than once in 10^19 files. Water at the lower bound, borders and masks have a few values,
a block of speckle dozens."""

LEAST_PIXELS = 16
"""Smaller blocks tell nothing whatever they hold."""


def are_telling(blocks: Sequence[npt.NDArray[np.generic]]) -> npt.NDArray[np.bool_]:
    """Tell which blocks (B, B) hold so many different values that equal ones are the same pixels, bool (n,).

    Of blocks below 32 pixels, half of the pixels have to differ.
    """
    enough = [min(TELLING_VALUES, block.size // 2) for block in blocks]
    return np.array(
        [
            block.size >= LEAST_PIXELS and count_values(_as_integers(block), most) == most
            for block, most in zip(blocks, enough, strict=True)
        ],
        np.bool_,
    )


def _as_integers(block: npt.NDArray[np.generic]) -> npt.NDArray[np.unsignedinteger]:
    """Return the bits of the pixels: what makes blocks equal."""
    bits: npt.NDArray[np.unsignedinteger] = block.reshape(-1).view(f"u{block.dtype.itemsize}")
    return bits
