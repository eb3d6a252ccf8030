"""What is fuzzed: each target gives bytes to the package as a user's file would; only ``SarH5Error`` may come out."""

from __future__ import annotations

import contextlib
import zipfile
from collections.abc import Callable
from pathlib import Path

from sar_h5 import structure_process
from sar_h5.dataset import SARH5Dataset
from sar_h5.errors import SarH5Error
from sar_h5.info import read_info
from sar_h5.plain_data import read_plain_data
from sar_h5.sources.annotation import read_annotation
from sar_h5.sources.annotation import read_manifest as read_safe_manifest
from sar_h5.sources.archives import archive_rasters, holds_product
from sar_h5.sources.bounds_file import read_bounds_file
from sar_h5.sources.products import loose_raster
from sar_h5.sources.rasters import open_scenes
from sar_h5.sources.shard_set import read_shard_set
from sar_h5.sources.shards import NpyShard
from sar_h5.tables.manifest import read_manifest
from sar_h5.unpickle import loads_plain
from sar_h5.verification import verify

structure_process.LIMIT_S = 5.0
_MOST_READ_NBYTES = 1 << 26


def _written(data: bytes, path: Path) -> Path:
    path.write_bytes(data)
    return path


def npy(data: bytes, scratch: Path) -> None:
    """A ``.npy`` file, as metadata and as a shard."""
    path = _written(data, scratch / "a-vv-1.npy")
    with contextlib.suppress(SarH5Error):
        read_plain_data(path)
    for _ in NpyShard(path, "a", "vv").batches(1 << 20):
        pass


def metadata(data: bytes, scratch: Path) -> None:
    """A pickle, and a directory of shards whose metadata it is."""
    with contextlib.suppress(SarH5Error):
        loads_plain(data, "pickle")
    _written(data, scratch / "metadata.npy")
    read_shard_set(scratch, [scratch / "a-vv-1.npy"])


def hdf5(data: bytes, scratch: Path) -> None:
    """A file of patches: verified, described, and read in every way."""
    path = _written(data, scratch / "a.h5")
    verify(path, jobs=1)
    with contextlib.suppress(SarH5Error):
        read_info(path).to_text()
    for settings in ({}, {"sample": "dict"}, {"output": "codes"}, {"verify": "always", "where": "valid_fraction >= 0"}):
        with contextlib.suppress(SarH5Error):
            dataset = SARH5Dataset(path, threads=1, **settings)
            for number in range(min(len(dataset), 4)):
                with contextlib.suppress(SarH5Error):
                    dataset[number]


def geotiff(data: bytes, scratch: Path) -> None:
    """A raster: its header, and its first rows."""
    path = _written(data, scratch / "scene-vv.tif")
    scenes, _ = open_scenes(loose_raster(path), "vv")
    for scene in scenes:
        with contextlib.suppress(SarH5Error):
            if scene.info.width * scene.dtype.itemsize * 16 < _MOST_READ_NBYTES:
                scene.rows(0, min(scene.info.height, 16))


def manifest(data: bytes, scratch: Path) -> None:
    """A table of the user's own."""
    read_manifest(_written(data, scratch / "table.csv"), ["a", "b"])


def safe(data: bytes, scratch: Path) -> None:
    """A zipped product: its bytes, or names and contents of its members; and its documents alone."""
    path = scratch / "product.zip"
    if data.startswith(b"PK"):
        path.write_bytes(data)
    else:
        parts = data.split(b"\0\0\0\0")
        names = [part.decode(errors="replace").replace("\0", "_")[:1000] or "x" for part in parts[::2]]
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in dict(zip(names, parts[1::2], strict=False)).items():
                archive.writestr(name, content)
    holds_product(path)
    rasters, _ = archive_rasters(path)
    for raster in rasters:
        open_scenes(raster, "vv")
    for read in (read_annotation, read_safe_manifest):
        with contextlib.suppress(SarH5Error):
            read(data, "document")


def bounds(data: bytes, scratch: Path) -> None:
    """A file of bounds."""
    read_bounds_file(_written(data, scratch / "bounds"), "vv")


TARGETS: dict[str, Callable[[bytes, Path], None]] = {
    "npy": npy,
    "metadata": metadata,
    "hdf5": hdf5,
    "geotiff": geotiff,
    "manifest": manifest,
    "safe": safe,
    "bounds": bounds,
}
"""The targets by name."""
