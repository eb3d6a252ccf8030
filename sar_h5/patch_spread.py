"""Which few patches stand for all of them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sar_h5.errors import SettingError


def spread_patches(count: int, wanted: int, seed: int = 0) -> npt.NDArray[np.int64]:
    """Choose patches from the whole length of a file: one at random from each of ``wanted`` equal stretches.

    Patches lie scene by scene and row by row, so that equal stretches are spread over scenes and over rows.

    Args:
        count: how many patches there are.
        wanted: how many to choose; all of them where there are no more.
        seed: of the draw; the same seed chooses the same patches.

    Returns:
        int64 (min(count, wanted),), growing.

    Raises:
        SettingError: where ``wanted`` is less than 1.
    """
    if wanted < 1:
        raise SettingError(f"expected at least 1 patch to show; found {wanted}")
    if wanted >= count:
        return np.arange(count, dtype=np.int64)
    edges = np.arange(wanted + 1, dtype=np.int64) * count // wanted
    return np.random.default_rng(seed).integers(edges[:-1], edges[1:], dtype=np.int64)
