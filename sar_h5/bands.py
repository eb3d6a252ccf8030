"""Rasters read in full-width row bands of bounded size, with progress."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from sar_h5.progress import Progress
from sar_h5.sources.scene import RasterScene

BAND_NBYTES = 2 << 20
"""About how many bytes of a raster are read at once."""


def band_height(scene: RasterScene) -> int:
    """Return how many rows of a scene to read at once."""
    return max(1, BAND_NBYTES // (scene.info.width * scene.dtype.itemsize))


def raster_nbytes(scenes: Sequence[RasterScene]) -> int:
    """Return how many bytes of pixels the scenes hold, uncompressed."""
    return sum(scene.info.height * scene.info.width * scene.dtype.itemsize for scene in scenes)


def read_bands(scene: RasterScene, progress: Progress) -> Iterator[npt.NDArray[np.generic]]:
    """Yield the bands of a scene from top to bottom, with progress.

    Raises:
        SourceError: where the raster cannot be read.
    """
    with scene.bands(band_height(scene)) as bands:
        for band in bands:
            yield band
            progress.advance(band.nbytes)
