"""The compiled loop of reading shards: many patches of one file, without the GIL."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from sar_h5.compiled import compiled
from sar_h5.kernels import place
from sar_h5.native import call_pread

_ONE_BITS = np.uint32(0x3F800000)


@compiled
def read_floats(
    pread: int,
    descriptor: int,
    offsets: npt.NDArray[np.int64],
    symmetries: npt.NDArray[np.uint8],
    places: npt.NDArray[np.int64],
    check: bool,
    scratch: npt.NDArray[np.float32],
    out: npt.NDArray[np.float32],
) -> int:
    """Read patches and place them under their symmetries.

    Args:
        pread: address of ``pread``; see ``native``.
        descriptor: of the open file.
        offsets: int64 (n,), where each patch lies in the file.
        symmetries: uint8 (n,), 0 to 7 of each.
        places: int64 (n,), which of ``out`` each patch goes to.
        check: whether to stop at a patch that is not in [0, 1].
        scratch: float32 (P, P), for a patch that is not placed as it is.
        out: float32 (m, P, P).

    Returns:
        How many patches were placed, n or the position of the first one that may not be as it should: one that was not
        read in one go, or holds NaN or a value that is negative (-0.0 as well) or above 1.
    """
    nbytes = scratch.size * scratch.itemsize
    for position in range(len(offsets)):
        target = out[places[position]]
        symmetry = int(symmetries[position])
        patch = scratch if symmetry else target
        if call_pread(pread, descriptor, patch.ctypes.data, nbytes, offsets[position]) != nbytes:
            return position
        if check and not _in_unit_interval(patch.view(np.uint32)):
            return position
        if symmetry:
            place(patch, None, 0, symmetry, target)
    return len(offsets)


@compiled
def _in_unit_interval(bits: npt.NDArray[Any]) -> bool:
    flat, highest = bits.ravel(), np.uint32(0)
    for position in range(flat.size):  # over positions, which is compiled to vector instructions
        highest = max(highest, flat[position])
    return bool(highest <= _ONE_BITS)
