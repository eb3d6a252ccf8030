"""Where the blocks of patches come to lie in samples, under each of the eight symmetries of the square.

A block's place in memory is a window of a sample: the rows of a block, as far apart as the rows of a patch are. Loops
that fill an array of patches fill an array of windows just as well.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from sar_h5.symmetry import SYMMETRIES, apply_symmetry


class BlockWindows:
    """The windows of samples that are made up of k x k blocks.

    Args:
        per_side: k.
        size: P, the side of a patch in pixels.

    Attributes:
        side: B, of a block in pixels.
        per_patch: how many blocks make up a patch.
        sources: int64 (8, k * k), which block of the patch comes to each window of the sample, by symmetry.
        corners: int64 (k * k,), the windows of the first sample.
        step: how many windows samples are apart.
    """

    def __init__(self, per_side: int, size: int) -> None:
        grid = np.arange(per_side**2).reshape(per_side, per_side)
        rows, cols = np.divmod(grid.ravel(), per_side)
        self._size = size
        self.side, self.per_patch = size // per_side, per_side**2
        self.sources = np.array([apply_symmetry(grid, number).ravel() for number in range(SYMMETRIES)], np.int64)
        self.step = size**2 if per_side > 1 else 1
        self.corners = (rows * size + cols) * self.side

    def of(self, out: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return the windows of samples (m, P, P): views (l, B, B), of which number i begins at pixel i of them all.

        Where blocks are whole patches, these are the samples themselves.
        """
        if self.side == self._size or out.size == 0:
            return out
        step, count = out.itemsize, out.size - (self.side - 1) * (self._size + 1)
        return np.ndarray((count, self.side, self.side), out.dtype, out, 0, (step, self._size * step, step))
