"""The patch grid: where patches of a scene lie, and how much of each one counts. Pure arithmetic."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sar_h5.conversion_kernels import count_columns
from sar_h5.errors import SettingError

DEFAULT_PATCH_SIZE = 256
DEFAULT_STRIDE = 128


@dataclass(frozen=True)
class PatchGrid:
    """Square patches on a regular grid, row by row; what does not fit at the right and bottom edge is dropped.

    Attributes:
        patch_size: side of a patch in pixels.
        stride: distance between the corners of neighbouring patches in pixels; below ``patch_size`` patches overlap.

    Raises:
        SettingError: where either is below 1.
    """

    patch_size: int = DEFAULT_PATCH_SIZE
    stride: int = DEFAULT_STRIDE

    def __post_init__(self) -> None:
        for name, value in (("patch size", self.patch_size), ("stride", self.stride)):
            if value < 1:
                raise SettingError(f"the {name} must be at least 1 pixel; found {value}")

    def starts(self, length: int) -> range:
        """Return the corners along one axis of ``length`` pixels: ``0, stride, ...`` while the patch fits."""
        return range(0, max(length - self.patch_size + 1, 0), self.stride)

    def count(self, height: int, width: int) -> int:
        """Return how many patches a scene of ``height`` x ``width`` pixels holds."""
        return len(self.starts(height)) * len(self.starts(width))


def count_true(mask: npt.NDArray[np.bool_], patch_size: int, cols: npt.NDArray[np.int32]) -> npt.NDArray[np.int64]:
    """Count the pixels that are set in each patch of one row of patches.

    Each pixel is looked at once, however much the patches overlap.

    Args:
        mask: bool (h, W), the rows that the patches cover, or some of them.
        patch_size: side of a patch.
        cols: int32 (n,), left columns of the patches.

    Returns:
        int64 (n,).
    """
    columns = np.zeros(mask.shape[1], dtype=np.int32)
    count_columns(np.ascontiguousarray(mask), columns)
    running = np.zeros(mask.shape[1] + 1, dtype=np.int64)
    np.cumsum(columns, out=running[1:])
    return running[cols + patch_size] - running[cols]
