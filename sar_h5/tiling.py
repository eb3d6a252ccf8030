"""The patch grid: where patches of a scene lie, and how much of each one counts. Pure arithmetic."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from sar_h5.conversion_kernels import count_columns
from sar_h5.errors import SettingError

DEFAULT_PATCH_SIZE = 256
DEFAULT_STRIDE = 128

Edge = Literal["drop", "shift", "pad"]
EDGES: tuple[Edge, ...] = ("drop", "shift", "pad")


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


def window_starts(grid: PatchGrid, length: int, edge: Edge) -> npt.NDArray[np.int64]:
    """Return the corners of windows along one axis.

    Args:
        grid: their size and stride.
        length: of the axis in pixels, at least 1.
        edge: what to do with the pixels beyond the last patch that fits: "drop" leaves them out, "shift" moves one more
            window inwards until it ends with the scene, "pad" has one more stick out. Where the axis is shorter than a
            window, both of these have one window, which sticks out.

    Returns:
        int64 (n,), rising. Unless they are dropped, every pixel lies in a window, if ``stride <= patch_size``.
    """
    starts = list(grid.starts(length))
    if edge == "drop" or (starts and starts[-1] + grid.patch_size == length):
        return np.array(starts, dtype=np.int64)
    if edge == "pad":
        starts.append(starts[-1] + grid.stride if starts else 0)
        return np.array([start for start in starts if start < length], dtype=np.int64)
    return np.array([*starts, max(length - grid.patch_size, 0)], dtype=np.int64)


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
