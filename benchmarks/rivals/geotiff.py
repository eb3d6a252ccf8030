"""Windows read from GeoTIFFs with rasterio, with the reference pipeline on each."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import rasterio
from rasterio.windows import Window
from torch.utils.data import DataLoader

from benchmarks.data import PATCH_SIZE, Floats, PatchSource
from benchmarks.rivals.batching import BatchedPatches, shuffled
from benchmarks.rivals.protocol import LoaderSettings, Rival
from sar_h5.radiometry import preprocess_sar_complete

_BAND_ROWS = 512


def raster_name(number: int) -> str:
    """Return the name of the copy of a shard's raster."""
    return f"scene-{number:03d}.tif"


def prepare(source: PatchSource, directory: Path) -> None:
    """Copy the rasters uncompressed, in strips of one row, which is how real products come and what reads fastest."""
    for number, shard in enumerate(source.shards):
        with rasterio.open(shard.raster) as raster:
            gcps, crs = raster.gcps
            form = {"driver": "GTiff", "count": 1, "dtype": "uint16", "blockysize": 1, "gcps": gcps, "crs": crs}
            with rasterio.open(
                directory / raster_name(number), "w", height=raster.height, width=raster.width, **form
            ) as copy:
                for row in range(0, raster.height, _BAND_ROWS):
                    band = Window(0, row, raster.width, min(_BAND_ROWS, raster.height - row))
                    copy.write(raster.read(1, window=band), 1, window=band)


class Windows:
    """Where each patch lies; the rasters are opened once in each process."""

    def __init__(self, source: PatchSource, directory: Path) -> None:
        self._directory = directory
        self._bounds = source.vmin, source.vmax
        self._places = [
            (number, source.stride * (place // shard.columns), source.stride * (place % shard.columns))
            for number, shard in enumerate(source.shards)
            for place in range(shard.count)
        ]
        self._rasters: dict[int, dict[int, Any]] = {}

    def __len__(self) -> int:
        return len(self._places)

    def views(self, numbers: Sequence[int]) -> Iterable[Floats]:
        """Read windows and preprocess them, one after the other."""
        process = os.getpid()
        if process not in self._rasters:
            scenes = {scene for scene, _, _ in self._places}
            opened = {scene: rasterio.open(self._directory / raster_name(scene)) for scene in scenes}
            self._rasters = {process: opened}
        for number in numbers:
            scene, row, col = self._places[number]
            pixels = self._rasters[process][scene].read(1, window=Window(col, row, PATCH_SIZE, PATCH_SIZE))
            yield preprocess_sar_complete(pixels, *self._bounds)[0]


def make_loader(source: PatchSource, directory: Path, settings: LoaderSettings) -> DataLoader[Any]:
    """Make the loader."""
    return shuffled(BatchedPatches(Windows(source, directory), settings.seed), settings)


RIVAL = Rival(prepare, make_loader)
