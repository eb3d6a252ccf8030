"""The eight symmetries of the square, and which of them a sample gets.

Radar patches may be flipped and turned by right angles without changing what speckle or backscatter mean; anything that
resamples would change their statistics.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

SYMMETRIES = 8

_MASK = (1 << 64) - 1
# SplitMix64: Steele, Lea and Flood, Fast splittable pseudorandom number generators, OOPSLA 2014, figures 17 and 18.
_GAMMA = 0x9E3779B97F4A7C15
_MIX_1 = 0xBF58476D1CE4E5B9
_MIX_2 = 0x94D049BB133111EB


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
    return _mix((_state(seed, epoch) ^ int(patch)) + _GAMMA & _MASK) >> 61


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
        state = (np.uint64(_state(seed, epoch)) ^ patches.astype(np.uint64)) + np.uint64(_GAMMA)
        state = (state ^ state >> np.uint64(30)) * np.uint64(_MIX_1)
        state = (state ^ state >> np.uint64(27)) * np.uint64(_MIX_2)
        return ((state ^ state >> np.uint64(31)) >> np.uint64(61)).astype(np.uint8)


def _state(seed: int, epoch: int) -> int:
    state = 0
    for part in (seed, epoch):
        state = _mix((state ^ int(part)) + _GAMMA & _MASK)  # NumPy's integers would overflow
    return state


def _mix(value: int) -> int:
    value = (value ^ value >> 30) * _MIX_1 & _MASK
    value = (value ^ value >> 27) * _MIX_2 & _MASK
    return value ^ value >> 31
