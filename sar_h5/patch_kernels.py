"""The compiled loop of checking patches: one pass over the codes, without the GIL."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from sar_h5.compiled import compiled


@compiled
def measure_codes(
    patches: npt.NDArray[Any],
    is_counted: npt.NDArray[np.bool_],
    highest: npt.NDArray[np.float64],
    counted: npt.NDArray[np.int64],
) -> None:
    """Find the highest code of each patch, and count the pixels with codes that count.

    Args:
        patches: uint8 or uint16 (n, pixels).
        is_counted: bool, as long as the codes' dtype has values.
        highest: float64 (n,), filled.
        counted: int64 (n,), filled.
    """
    for number in range(len(patches)):
        patch = patches[number]
        top, total = np.uint32(0), 0
        for position in range(patch.size):
            code = np.uint32(patch[position])
            top = max(top, code)
            total += is_counted[code]
        highest[number], counted[number] = top, total
