"""The eight symmetries of the square, and which of them a sample gets.

Radar patches may be flipped and turned by right angles without changing what speckle or backscatter mean; anything that
resamples would change their statistics.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from sar_h5.splitmix import GAMMA, MASK, fold, mix, mix_array

SYMMETRIES = 8


def apply_symmetry(patch: npt.NDArray[Any], number: int) -> npt.NDArray[Any]:
    """Apply one of the eight symmetries of the square to a patch.

    Args:
        patch: array of shape (P, P).
        number: 0 to 7: the low two bits are counter-clockwise right angles, bit 2 mirrors left and right afterwards.

    Returns:
        A view of shape (P, P); 0 leaves the patch as it is.
    """
    turned = np.rot90(patch, number & 3)
    return turned[:, ::-1] if number & 4 else turned


def draw_symmetry(seed: int, epoch: int, patch: int) -> int:
    """Draw the symmetry of a patch in an epoch: each of the eight equally likely, a pure function of the arguments.

    Args:
        seed: of the training run, any integer.
        epoch: number of the epoch.
        patch: number of the patch in its file.

    Returns:
        0 to 7.
    """
    return mix((fold(seed, epoch) ^ int(patch)) + GAMMA & MASK) >> 61


def draw_symmetries(seed: int, epoch: int, patches: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
    """Draw the symmetries of many patches at once; the same as :func:`draw_symmetry` for each of them.

    Args:
        seed: of the training run, any integer.
        epoch: number of the epoch.
        patches: int64 (n,), numbers of the patches in their file.

    Returns:
        uint8 (n,), 0 to 7.
    """
    with np.errstate(over="ignore"):  # arithmetic is modulo 2 ** 64
        state = (np.uint64(fold(seed, epoch)) ^ patches.astype(np.uint64)) + np.uint64(GAMMA)
    return (mix_array(state) >> np.uint64(61)).astype(np.uint8)
