"""Pixels of rasters that stay in memory from one pass to the next, as far as a budget reaches."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager

import numpy as np
import numpy.typing as npt

from sar_h5.sources.scene import RasterScene, SceneInfo, SourceFile

Bands = list[npt.NDArray[np.generic]]


class PixelCache:
    """A budget of memory for the pixels of whole scenes.

    Args:
        nbytes: how much may be held in all.
    """

    def __init__(self, nbytes: int) -> None:
        self._left = nbytes

    def reserve(self, nbytes: int) -> bool:
        """Take so many bytes out of the budget, or return False where less is left."""
        if nbytes > self._left:
            return False
        self._left -= nbytes
        return True

    def give_back(self, nbytes: int) -> None:
        """Return bytes to the budget."""
        self._left += nbytes


class CachedScene:
    """A raster whose pixels may stay in memory; all else is the raster's own.

    Args:
        scene: the raster.
        cache: the budget, shared with other rasters.
        jobs: number of threads to read it with.
    """

    def __init__(self, scene: RasterScene, cache: PixelCache, jobs: int) -> None:
        self._scene, self._cache, self._jobs = scene, cache, jobs
        self._wanted = False
        self._held: Bands | None = None

    @property
    def info(self) -> SceneInfo:
        """What is known of it."""
        return self._scene.info

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """The dtype of its pixels."""
        return self._scene.dtype

    @property
    def nodata(self) -> float | None:
        """The declared value of pixels without data."""
        return self._scene.nodata

    @property
    def nbytes(self) -> int:
        """Size of its pixels, uncompressed."""
        return self.info.height * self.info.width * self.dtype.itemsize

    def will_be_read_again(self) -> None:
        """Have the next pass keep the pixels, if the budget allows it then."""
        self._wanted = self._held is None

    @contextmanager
    def bands(self, height: int, jobs: int = 1) -> Iterator[Iterator[npt.NDArray[np.generic]]]:
        """Yield consecutive arrays (<= ``height``, W) from top to bottom, from memory where they are there."""
        if self._held is not None:
            yield _split(self._held, height)
            return
        with self._scene.bands(height, max(jobs, self._jobs)) as bands:
            wanted, self._wanted = self._wanted, False
            if wanted and self._cache.reserve(self.nbytes):
                with closing(self._keep(bands)) as kept:
                    yield kept
            else:
                yield bands

    def rows(self, start: int, stop: int) -> npt.NDArray[np.generic]:
        """Read rows ``start`` to ``stop`` (exclusive), shape (stop - start, W)."""
        return self._scene.rows(start, stop)

    def identify(self) -> SourceFile:
        """Read size and checksum of the file."""
        return self._scene.identify()

    def _keep(self, bands: Iterator[npt.NDArray[np.generic]]) -> Generator[npt.NDArray[np.generic]]:
        held: Bands = []
        try:
            for band in bands:
                held.append(band)
                yield band
            self._held = held
        finally:
            if self._held is None:  # broken, or not read to its end
                self._cache.give_back(self.nbytes)


def _split(held: Bands, height: int) -> Iterator[npt.NDArray[np.generic]]:
    for band in held:
        for start in range(0, len(band), height):
            yield band[start : start + height]
