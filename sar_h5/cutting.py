"""Cut scenes into patches: sweep over row bands, measure each patch of the grid, keep what passes the filter."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sar_h5.radiometry import Mask
from sar_h5.tiling import PatchGrid, count_true

BATCH_NBYTES = 8 << 20
"""About how many bytes of patches travel together from one stage to the next."""

Stored = npt.NDArray[np.generic]


@dataclass(frozen=True)
class PatchBatch:
    """Some patches of one scene, in order.

    Attributes:
        patches: (n, P, P), as they will be stored: codes or float32 values.
        rows, cols: int32 (n,), top-left corners in the scene; -1 where unknown.
        valid_fraction: float32 (n,), in [0, 1].
    """

    patches: Stored
    rows: npt.NDArray[np.int32]
    cols: npt.NDArray[np.int32]
    valid_fraction: npt.NDArray[np.float32]


@dataclass(frozen=True)
class Band:
    """Consecutive full-width rows of a scene.

    Attributes:
        stored: (h, W), as they will be stored.
        counted: bool (h, W), which pixels count as valid.
    """

    stored: Stored
    counted: Mask


def cut_bands(
    bands: Iterable[Band], height: int, width: int, grid: PatchGrid, min_valid: float
) -> Iterator[PatchBatch]:
    """Cut a scene into the patches of a grid.

    Args:
        bands: the scene from top to bottom; each is read once and held only as long as patches need its rows.
        height: of the scene in pixels.
        width: of the scene in pixels.
        grid: where patches lie.
        min_valid: least fraction of counted pixels to keep a patch.

    Yields:
        The patches kept, row by row and from left to right.
    """
    cols = np.array(grid.starts(width), dtype=np.int32)
    size = grid.patch_size
    for row, window in _sweep(bands, grid, height):
        fraction = count_true(window.counted, size, cols) / size**2
        kept = fraction >= min_valid
        yield from _batches(window.stored, row, cols[kept], fraction[kept], size)


def _batches(
    stored: Stored, row: int, cols: npt.NDArray[np.int32], fraction: npt.NDArray[np.float64], size: int
) -> Iterator[PatchBatch]:
    step = max(1, BATCH_NBYTES // (size**2 * stored.itemsize))
    for first in range(0, len(cols), step):
        some = cols[first : first + step]
        yield PatchBatch(
            patches=np.stack([stored[:, col : col + size] for col in some]),
            rows=np.full(len(some), row, dtype=np.int32),
            cols=some,
            valid_fraction=fraction[first : first + step].astype(np.float32),
        )


def _sweep(bands: Iterable[Band], grid: PatchGrid, height: int) -> Iterator[tuple[int, Band]]:
    """Yield (row, window of patch_size rows) for every row of the grid."""
    source = iter(bands)
    held, top = next(source), 0
    for row in grid.starts(height):
        while top + len(held.stored) < row + grid.patch_size:
            unneeded = min(row - top, len(held.stored))
            held, top = _append(held, unneeded, next(source)), top + unneeded
        window = slice(row - top, row - top + grid.patch_size)
        yield row, Band(held.stored[window], held.counted[window])
    for _ in source:  # the rows below the last patch are read too: they may be broken, and the histogram counts them
        pass


def _append(held: Band, unneeded: int, more: Band) -> Band:
    return Band(
        np.concatenate([held.stored[unneeded:], more.stored]),
        np.concatenate([held.counted[unneeded:], more.counted]),
    )
