"""Files to compare: scenes converted to a layout with a codec, or written as float32 by the loop of a user."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
import numpy as np

from benchmarks.data import PATCH_SIZE
from sar_h5 import convert, load_sar_image, preprocess_sar_complete

STRIDE = 128
NAIVE_DATASET = "patches"


@dataclass(frozen=True)
class Scenes:
    """Images of one polarization, cut into patches that overlap by half, of which none is dropped.

    Attributes:
        title: for readers.
        sources: product or directory of products.
        polarization: "vv" or "vh".
        vmin, vmax: bounds in dB, or None for percentiles 1 and 99.
    """

    title: str
    sources: Path
    polarization: str
    vmin: float | None = None
    vmax: float | None = None


@dataclass(frozen=True)
class Choice:
    """How a file is written.

    Attributes:
        layout: "patches", "blocks", or "naive": float32 through h5py with Blosc lz4 and byte shuffle.
        codec: a preset or a compressor.
        clevel: its level, or None for that of the preset.
        shuffle: "byte", "bit", or None for what the preset chooses.
    """

    layout: str
    codec: str = "lz4"
    clevel: int | None = None
    shuffle: str | None = None

    @property
    def name(self) -> str:
        """What it is called in tables, and in file names."""
        return " ".join(str(part) for part in (self.codec, self.clevel, self.shuffle) if part is not None)


@dataclass(frozen=True)
class Made:
    """A file that was written.

    Attributes:
        path: of the file.
        seconds: how long it took, the percentiles of the bounds not counted.
        cpu_seconds: of this process meanwhile.
        codec: how chunks are compressed, in words.
    """

    path: Path
    seconds: float
    cpu_seconds: float
    codec: str


def find_bounds(scenes: Scenes) -> tuple[float, float]:
    """Return the bounds in dB that scenes are scaled with: their own, or exact percentiles of all their pixels."""
    if scenes.vmin is not None and scenes.vmax is not None:
        return scenes.vmin, scenes.vmax
    pixels = np.concatenate([load_sar_image(path).ravel() for path in rasters(scenes)])
    _, how = preprocess_sar_complete(pixels)
    return how["vmin"], how["vmax"]


def rasters(scenes: Scenes) -> list[Path]:
    """List the measurement rasters of scenes."""
    return sorted(scenes.sources.rglob(f"*-{scenes.polarization}*.tiff"))


def make_file(scenes: Scenes, bounds: tuple[float, float], choice: Choice, out: Path) -> Made:
    """Write one file.

    Args:
        scenes: what it holds.
        bounds: in dB.
        choice: how.
        out: directory for it, empty or missing.
    """
    out.mkdir(parents=True)
    cpu, start = time.process_time(), time.perf_counter()
    if choice.layout == "naive":
        path, codec = out / f"{scenes.polarization}.h5", "lz4 level 5, byte shuffle"
        _write_naive(scenes, bounds, path)
    else:
        summary = convert(
            scenes.sources,
            out,
            polarization=scenes.polarization,
            vmin=bounds[0],
            vmax=bounds[1],
            patch_size=PATCH_SIZE,
            stride=STRIDE,
            min_valid=0,
            layout=choice.layout,
            codec=choice.codec,
            clevel=choice.clevel,
            shuffle=choice.shuffle,
            progress=False,
        )
        path, codec = Path(summary.files[0].path), summary.files[0].codec
    return Made(path, time.perf_counter() - start, time.process_time() - cpu, codec)


def _write_naive(scenes: Scenes, bounds: tuple[float, float], path: Path) -> None:
    filters: Any = hdf5plugin.Blosc(cname="lz4", clevel=5, shuffle=hdf5plugin.Blosc.SHUFFLE)
    patch = (PATCH_SIZE, PATCH_SIZE)
    with h5py.File(path, "w") as file:
        dataset = file.create_dataset(
            NAIVE_DATASET, (0, *patch), "f4", chunks=(1, *patch), maxshape=(None, *patch), **filters
        )
        for raster in rasters(scenes):
            values, _ = preprocess_sar_complete(load_sar_image(raster), *bounds)
            corners = [
                (row, col)
                for row in range(0, values.shape[0] - PATCH_SIZE + 1, STRIDE)
                for col in range(0, values.shape[1] - PATCH_SIZE + 1, STRIDE)
            ]
            first = len(dataset)
            dataset.resize(first + len(corners), axis=0)
            for number, (row, col) in enumerate(corners, start=first):
                dataset[number] = values[row : row + PATCH_SIZE, col : col + PATCH_SIZE]
