"""The patches that every loader serves: simulated, made by the reference pipeline, written once and used again."""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.windows import Window

from sar_h5.radiometry import preprocess_sar_complete
from sar_h5.sources.simulator import SimulatedScene, simulate_product

Floats = npt.NDArray[np.float32]

PATCH_SIZE = 256
BOUNDS_ROW_STEP = 16
"""The bounds are percentiles of every sixteenth row: within a level or two of those of all rows."""

DESCRIPTION = "source.json"


@dataclass(frozen=True)
class DataSettings:
    """What decides the patches.

    Attributes:
        patches: how many, at least as many as shards.
        shards: how many shards, each cut from a scene of its own.
        polarization: "vv" or "vh".
        stride: distance of neighbouring patches in pixels; below 256 they overlap.
        seed: of the simulated scenes.
    """

    patches: int = 4096
    shards: int = 4
    polarization: str = "vh"
    stride: int = 128
    seed: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.shards <= self.patches:
            raise ValueError(f"expected 1 <= shards <= patches; found {self.shards} shards, {self.patches} patches")
        if self.polarization not in ("vv", "vh"):
            raise ValueError(f'expected polarization "vv" or "vh"; found {self.polarization!r}')

    @property
    def counts(self) -> tuple[int, ...]:
        """Patches in each shard."""
        least, more = divmod(self.patches, self.shards)
        return tuple(least + (number < more) for number in range(self.shards))


@dataclass(frozen=True)
class Shard:
    """Patches of one scene.

    Attributes:
        path: of the ``.npy`` file, float32 (count, 256, 256) in [0, 1].
        count: patches in it.
        columns: patches in one row of the scene's grid; they follow each other row by row.
        raster: the measurement GeoTIFF that they were cut from.
    """

    path: Path
    count: int
    columns: int
    raster: Path


@dataclass(frozen=True)
class PatchSource:
    """All patches, and how they were made.

    Attributes:
        directory: of the shards with their metadata.
        products: directory of the products.
        shards: in order.
        polarization: "vv" or "vh".
        stride: in pixels.
        vmin, vmax: bounds in dB.
        levels: distinct values over all patches.
    """

    directory: Path
    products: Path
    shards: tuple[Shard, ...]
    polarization: str
    stride: int
    vmin: float
    vmax: float
    levels: int

    @property
    def count(self) -> int:
        """Number of patches."""
        return sum(shard.count for shard in self.shards)

    @property
    def nbytes(self) -> int:
        """Size of all patches as float32."""
        return self.count * PATCH_SIZE * PATCH_SIZE * 4

    def maps(self) -> list[Floats]:
        """Open the shards as memory maps."""
        return [np.load(shard.path, mmap_mode="r") for shard in self.shards]

    def patches(self) -> Iterator[Floats]:
        """Yield every patch (256, 256) in order, in memory of its own."""
        for shard in self.maps():
            for patch in shard:
                yield np.array(patch)


def prepare_data(work: Path, settings: DataSettings) -> PatchSource:
    """Make the patches, or find them where they were made before with the same settings.

    Args:
        work: directory for all data of the benchmarks; each choice of settings gets its own within it.
        settings: what to make.

    Returns:
        Where they are.
    """
    home = data_home(work, settings)
    if not (home / DESCRIPTION).is_file():
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir(parents=True)
        _write_description(home, _make(home, settings))
    return read_source(home)


def prepare_head(home: Path, source: PatchSource, most: int) -> PatchSource:
    """Make a small source of the first patches of each shard, with the same products, or find it where it was made.

    Args:
        home: its directory.
        source: where the patches come from.
        most: patches to take; fewer where the shards hold fewer.
    """
    each = -(-most // len(source.shards))
    if not (home / DESCRIPTION).is_file():
        shards_home = home / "shards"
        shards_home.mkdir(parents=True, exist_ok=True)
        shards = []
        for shard in source.shards:
            path, count = shards_home / shard.path.name, min(each, shard.count)
            np.save(path, np.load(shard.path, mmap_mode="r")[:count])
            shards.append(Shard(path, count, shard.columns, shard.raster))
        _write_metadata(shards_home, shards, source.stride, source.vmin, source.vmax)
        _write_description(home, replace(source, directory=shards_home, shards=tuple(shards)))
    return read_source(home)


def prepare_copies(home: Path, source: PatchSource, times: int) -> PatchSource:
    """Make a source of several times the patches out of hard links, which take no space.

    Args:
        home: its directory, on the same file system.
        source: whose shards are linked.
        times: how often each shard appears, under another name each time.
    """
    if not (home / DESCRIPTION).is_file():
        shards_home = home / "shards"
        shards_home.mkdir(parents=True, exist_ok=True)
        shards = []
        for copy in range(times):
            for shard in source.shards:
                path = shards_home / f"{shard.path.stem}-{copy:02d}.npy"
                path.unlink(missing_ok=True)
                path.hardlink_to(shard.path)
                shards.append(replace(shard, path=path))
        _write_metadata(shards_home, shards, source.stride, source.vmin, source.vmax)
        _write_description(home, replace(source, directory=shards_home, shards=tuple(shards)))
    return read_source(home)


def data_home(work: Path, settings: DataSettings) -> Path:
    """Return the directory for one choice of settings."""
    return work / "-".join(f"{name[:6]}={value}" for name, value in asdict(settings).items())


def read_source(home: Path) -> PatchSource:
    """Read where the patches below a data directory are."""
    plain = json.loads((home / DESCRIPTION).read_text(encoding="utf-8"))
    shards = tuple(
        Shard(home / one["path"], one["count"], one["columns"], home / one["raster"]) for one in plain.pop("shards")
    )
    return PatchSource(home / plain.pop("directory"), home / plain.pop("products"), shards, **plain)


def _write_description(home: Path, source: PatchSource) -> None:
    def relative(value: object) -> str:
        return os.path.relpath(str(value), home)

    text = json.dumps(asdict(source), default=relative, indent=1)
    (home / DESCRIPTION).write_text(text, encoding="utf-8")


def _make(home: Path, settings: DataSettings) -> PatchSource:
    shards_home, products = home / "shards", home / "products"
    shards_home.mkdir()
    polarization = settings.polarization
    scenes = [_scene(count, settings, number) for number, count in enumerate(settings.counts)]
    rasters = [
        simulate_product(products, scene) / "measurement" / f"{scene.image_name(polarization.upper())}.tiff"
        for scene in scenes
    ]
    vmin, vmax = _bounds(rasters)
    shards, values = [], np.empty(0, dtype=np.float32)
    for number, (raster, count) in enumerate(zip(rasters, settings.counts, strict=True), start=1):
        columns = _columns(count)
        patches = cut_patches(raster, count, columns, settings.stride, vmin, vmax)
        values = np.union1d(values, np.unique(patches))
        path = shards_home / f"s1a-iw-grd-{polarization}-{number:03d}.npy"
        np.save(path, patches)
        shards.append(Shard(path, count, columns, raster))
    _write_metadata(shards_home, shards, settings.stride, vmin, vmax)
    return PatchSource(
        shards_home, products, tuple(shards), polarization, settings.stride, vmin, vmax, int(values.size)
    )


def _columns(count: int) -> int:
    return math.ceil(math.sqrt(count))


def _scene(count: int, settings: DataSettings, number: int) -> SimulatedScene:
    columns = _columns(count)
    rows = math.ceil(count / columns)
    height, width = ((length - 1) * settings.stride + PATCH_SIZE for length in (rows, columns))
    polarizations = ("VV",) if settings.polarization == "vv" else ("VV", "VH")
    # Without borders, so that every patch holds data throughout.
    return SimulatedScene(
        height, width, border_px=0, seed=settings.seed + number, orbit=36201 + number, polarizations=polarizations
    )


def _bounds(rasters: list[Path]) -> tuple[float, float]:
    rows = []
    for path in rasters:
        with rasterio.open(path) as raster:
            rows += [
                raster.read(1, window=Window(0, row, raster.width, 1)).ravel()
                for row in range(0, raster.height, BOUNDS_ROW_STEP)
            ]
    _, how = preprocess_sar_complete(np.concatenate(rows))
    return how["vmin"], how["vmax"]


def cut_patches(raster: Path, count: int, columns: int, stride: int, vmin: float, vmax: float) -> Floats:
    """Run the reference pipeline over a raster and cut patches on a grid.

    Args:
        raster: GeoTIFF of digital numbers.
        count: patches to cut.
        columns: patches in one row of the grid.
        stride: in pixels.
        vmin: bound in dB that becomes 0.
        vmax: bound in dB that becomes 1.

    Returns:
        float32 (count, 256, 256), row by row.
    """
    with rasterio.open(raster) as opened:
        values, _ = preprocess_sar_complete(opened.read(1), vmin, vmax)
    patches = np.empty((count, PATCH_SIZE, PATCH_SIZE), dtype=np.float32)
    for number in range(count):
        row, col = (stride * place for place in divmod(number, columns))
        patches[number] = values[row : row + PATCH_SIZE, col : col + PATCH_SIZE]
    return patches


def _write_metadata(directory: Path, shards: list[Shard], stride: int, vmin: float, vmax: float) -> None:
    bounds = {"vmin": vmin, "vmax": vmax}
    index = [(shard.path.name, shard.count) for shard in shards]
    for name, content in (("metadata", {"file_index": index, "stride": stride, **bounds}), ("global_bounds", bounds)):
        np.save(directory / f"{name}.npy", np.array(content, dtype=object), allow_pickle=True)
