"""Cut scenes into patches: sweep over row bands, measure each patch of the grid, keep what passes the filter."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from sar_h5.buffers import BufferPool
from sar_h5.radiometry import Floats, Mask
from sar_h5.tiling import PatchGrid, count_true

BATCH_NBYTES = 2 << 20
"""About how many bytes of patches travel together from one stage to the next: they fit into the cache of a core."""

Stored = npt.NDArray[np.generic]


@dataclass(frozen=True)
class PatchBatch:
    """Some patches of one scene, in order.

    Attributes:
        patches: (n, P, P), as they will be stored: codes or float32 values.
        rows, cols: int32 (n,), top-left corners in the scene; -1 where unknown.
        valid_fraction: float32 (n,), in [0, 1].
        values: float32 (n, P, P), what the patches stand for, where they were made from it; else None.
    """

    patches: Stored
    rows: npt.NDArray[np.int32]
    cols: npt.NDArray[np.int32]
    valid_fraction: npt.NDArray[np.float32]
    values: Floats | None = None

    @property
    def nbytes(self) -> int:
        """Size of the patches."""
        return self.patches.nbytes

    def make(self) -> PatchBatch:
        """Return the batch, which is made already."""
        return self


class BatchToMake(Protocol):
    """Some patches of one scene that are to be made in a thread; a batch itself is made already."""

    @property
    def nbytes(self) -> int:
        """How much memory it holds on to."""

    def make(self) -> PatchBatch:
        """Make the patches, those that are kept; errors are those of the source."""


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
    buffers = BufferPool()
    for row, window in _sweep(bands, grid, height):
        counts = sum((count_true(band.counted, size, cols) for band in window), np.zeros(len(cols), np.int64))
        fraction = counts / size**2
        kept = fraction >= min_valid
        yield from _batches([band.stored for band in window], row, cols[kept], fraction[kept], size, buffers)


def _batches(
    window: Sequence[Stored],
    row: int,
    cols: npt.NDArray[np.int32],
    fraction: npt.NDArray[np.float64],
    size: int,
    buffers: BufferPool,
) -> Iterator[PatchBatch]:
    dtype = window[0].dtype
    step = max(1, BATCH_NBYTES // (size**2 * dtype.itemsize))
    for first in range(0, len(cols), step):
        some = cols[first : first + step]
        yield PatchBatch(
            patches=_stack(window, some, buffers.take((len(some), size, size), dtype)),
            rows=np.full(len(some), row, dtype=np.int32),
            cols=some,
            valid_fraction=fraction[first : first + step].astype(np.float32),
        )


def _stack(window: Sequence[Stored], cols: npt.NDArray[np.int32], patches: Stored) -> Stored:
    """Fill ``patches`` (n, P, P) with those whose left columns are ``cols``; the rows lie in consecutive arrays."""
    size = patches.shape[1]
    for patch, col in zip(patches, cols.tolist(), strict=True):
        top = 0
        for stored in window:
            patch[top : top + len(stored)] = stored[:, col : col + size]
            top += len(stored)
    return patches


def _sweep(bands: Iterable[Band], grid: PatchGrid, height: int) -> Iterator[tuple[int, list[Band]]]:
    """Yield (row, the patch_size rows from there on, in as many pieces as bands) for every row of the grid."""
    source = iter(bands)
    held: deque[tuple[int, Band]] = deque()
    bottom = 0
    for row in grid.starts(height):
        while bottom < row + grid.patch_size:
            band = next(source)
            held.append((bottom, band))
            bottom += len(band.stored)
            while held and held[0][0] + len(held[0][1].stored) <= row:
                held.popleft()
        while held[0][0] + len(held[0][1].stored) <= row:
            held.popleft()
        yield row, [_rows(band, row - top, row + grid.patch_size - top) for top, band in held]
    for _ in source:  # the rows below the last patch are read too: they may be broken, and the histogram counts them
        pass


def _rows(band: Band, start: int, stop: int) -> Band:
    """Return the rows of a band between two that may lie outside it."""
    rows = slice(max(start, 0), min(stop, len(band.stored)))
    return Band(band.stored[rows], band.counted[rows])
