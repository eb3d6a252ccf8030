"""Which patches a user means: any way of choosing some of N, as their numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from sar_h5.errors import PatchIndexError, SettingError

Indices = slice | Sequence[int] | npt.NDArray[np.integer[Any]] | npt.NDArray[np.bool_]


def patch_numbers(indices: Indices, count: int) -> npt.NDArray[np.int64]:
    """Turn any way of choosing patches into their numbers.

    Args:
        indices: numbers (negative ones count from the end), a slice, or a bool mask over all patches.
        count: how many patches there are.

    Returns:
        int64 (n,), each in [0, count).

    Raises:
        PatchIndexError: where a number lies outside.
        SettingError: where it is none of these.
    """
    if isinstance(indices, slice):
        return np.arange(count, dtype=np.int64)[indices]
    array = np.asarray(indices)
    if array.dtype == np.bool_:
        if array.shape != (count,):
            raise SettingError(f"expected a mask over all {count} patches, found shape {array.shape}")
        return np.flatnonzero(array).astype(np.int64)
    if array.size == 0:
        return np.empty(0, dtype=np.int64)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise SettingError(f"expected indices as one row of integers, found {array.dtype} of shape {array.shape}")
    outside = array[(array < -count) | (array >= count)]
    if len(outside):
        raise PatchIndexError.outside(int(outside[0]), count)
    numbers = array.astype(np.int64)
    return np.where(numbers < 0, numbers + count, numbers)
