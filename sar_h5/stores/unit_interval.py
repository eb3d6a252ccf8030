"""Whether values are in [0, 1], told fast enough to ask it of every patch that is read."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

CHECKED_NBYTES = 8 << 20
"""How many bytes of patches are looked at in one go, so that checking a large array takes no memory of its size."""

_ONE_BITS = np.uint32(0x3F800000)
"""The bits of 1.0: those of the other float32 in [0, 1] are smaller, but for -0.0; those of all else greater."""


def all_in_unit_interval(values: npt.NDArray[np.float32]) -> bool:
    """Tell whether all values, at least one and C-contiguous, are in [0, 1]; NaN is not, -0.0 is."""
    if values.view(np.uint32).max() <= _ONE_BITS:
        return True
    return bool(values.min() >= 0 and values.max() <= 1)


def describe_bad_values(patch: npt.NDArray[np.float32]) -> str:
    """Say in words what a patch of any shape holds that is not in [0, 1]."""
    bad = patch[~((patch >= 0) & (patch <= 1))]
    what = "NaN" if np.isnan(bad).any() else f"values outside [0, 1] such as {bad[0]!s}"
    return f"{what} ({bad.size} of {patch.size} pixels)"


def find_bad_patch(patches: npt.NDArray[np.float32]) -> int | None:
    """Return the number of the first of ``patches``, (N, ...) and C-contiguous, that has a value outside [0, 1]."""
    step = max(1, CHECKED_NBYTES // max(patches[:1].nbytes, 1))
    for start in range(0, len(patches), step):
        part = patches[start : start + step]
        if not all_in_unit_interval(part):
            return start + next(number for number, patch in enumerate(part) if not all_in_unit_interval(patch))
    return None
