"""Conversion, the loop that a user would write, and reading alone: each over shards and over products."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import h5py
import hdf5plugin
import numpy as np
import rasterio
from rasterio.windows import Window

from benchmarks.data import PATCH_SIZE, PatchSource
from benchmarks.page_cache import read_all
from sar_h5 import convert
from sar_h5.radiometry import is_inside, preprocess_sar_complete

MIN_VALID = 0.9
BAND_ROWS = 512

Task = Callable[[PatchSource, Path], int]
"""Does the work into an empty directory, and returns how many patches it wrote."""


@dataclass(frozen=True)
class Work:
    """One thing to time.

    Attributes:
        title: for readers.
        source: "shards" or "products".
        run: does it.
    """

    title: str
    source: str
    run: Task


def convert_shards(source: PatchSource, out: Path) -> int:
    """Run the package on a directory of shards."""
    convert(source.directory, out, progress=False)
    return _written(out)


def convert_products(source: PatchSource, out: Path) -> int:
    """Run the package on a directory of products."""
    convert(
        source.products,
        out,
        polarization=source.polarization,
        stride=source.stride,
        vmin=source.vmin,
        vmax=source.vmax,
        progress=False,
    )
    return _written(out)


def loop_over_shards(source: PatchSource, out: Path) -> int:
    """Copy shards patch by patch into one h5py dataset of float32."""
    with h5py.File(out / "patches.h5", "w") as file:
        dataset = _create(file, source.count)
        number = 0
        for shard in source.shards:
            for patch in np.load(shard.path, mmap_mode="r"):
                dataset[number] = patch
                number += 1
    return number


def loop_over_products(source: PatchSource, out: Path) -> int:
    """Preprocess each raster, cut it, and append the patches that hold enough data."""
    with h5py.File(out / "patches.h5", "w") as file:
        dataset = _create(file, 0)
        for shard in source.shards:
            with rasterio.open(shard.raster) as raster:
                values, _ = preprocess_sar_complete(raster.read(1), source.vmin, source.vmax)
            height, width = values.shape
            for row in range(0, height - PATCH_SIZE + 1, source.stride):
                for col in range(0, width - PATCH_SIZE + 1, source.stride):
                    patch = values[row : row + PATCH_SIZE, col : col + PATCH_SIZE]
                    if is_inside(patch).mean() >= MIN_VALID:
                        dataset.resize(len(dataset) + 1, axis=0)
                        dataset[-1] = patch
        return len(dataset)


def read_shards(source: PatchSource, out: Path) -> int:
    """Read the shards in large blocks, and do nothing with them."""
    del out
    read_all(shard.path for shard in source.shards)
    return source.count


def read_products(source: PatchSource, out: Path) -> int:
    """Read the rasters in full-width bands, and do nothing with them."""
    del out
    for shard in source.shards:
        with rasterio.open(shard.raster) as raster:
            for row in range(0, raster.height, BAND_ROWS):
                raster.read(1, window=Window(0, row, raster.width, min(BAND_ROWS, raster.height - row)))
    return 0


WORKS = {
    "ours-shards": Work("sar-h5 convert, shards", "shards", convert_shards),
    "loop-shards": Work("plain h5py loop, shards", "shards", loop_over_shards),
    "read-shards": Work("reading the shards alone", "shards", read_shards),
    "ours-products": Work("sar-h5 convert, products", "products", convert_products),
    "loop-products": Work("plain h5py loop, products", "products", loop_over_products),
    "read-products": Work("reading the products alone", "products", read_products),
}


def source_files(source: PatchSource, kind: str) -> list[Path]:
    """List what is read of a source."""
    return [shard.path if kind == "shards" else shard.raster for shard in source.shards]


def source_nbytes(source: PatchSource, kind: str) -> int:
    """Return the size of a source: of shards their float32 values, of rasters their pixels as uint16, unpacked."""
    if kind == "shards":
        return source.nbytes
    nbytes = 0
    for shard in source.shards:
        with rasterio.open(shard.raster) as raster:
            nbytes += 2 * raster.height * raster.width
    return nbytes


def flush(out: Path) -> None:
    """Wait until everything in a directory is on the disk, so that no writer leaves that to later."""
    for path in out.rglob("*"):
        if path.is_file():
            descriptor = os.open(path, os.O_RDONLY)
            os.fsync(descriptor)
            os.close(descriptor)


def _create(file: h5py.File, count: int) -> h5py.Dataset:
    return file.create_dataset(
        "patches",
        (count, PATCH_SIZE, PATCH_SIZE),
        "f4",
        maxshape=(None, PATCH_SIZE, PATCH_SIZE),
        chunks=(1, PATCH_SIZE, PATCH_SIZE),
        **hdf5plugin.Blosc(cname="lz4", clevel=5, shuffle=hdf5plugin.Blosc.SHUFFLE),
    )


def _written(out: Path) -> int:
    (path,) = out.glob("*.h5")
    with h5py.File(path) as file:
        return len(file["patches"])
