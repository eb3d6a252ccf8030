"""Find scenes below the paths that a user names, and tell what is broken before any work starts."""

from __future__ import annotations

import dataclasses
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sar_h5.errors import BadSource, BoundsError, SourceError
from sar_h5.radiometry import Bounds
from sar_h5.sources.naming import find_product_name
from sar_h5.sources.products import (
    RASTER_SUFFIXES,
    RasterFile,
    archive_rasters,
    is_product_directory,
    loose_raster,
    product_directory_rasters,
)
from sar_h5.sources.rasters import GeoTiffScene, open_scenes
from sar_h5.sources.scene import UNKNOWN
from sar_h5.sources.shard_set import METADATA_NAMES, ShardSet, read_shard_set
from sar_h5.sources.shards import NpyShard

SHARD_SUFFIX = ".npy"
ARCHIVE_SUFFIX = ".zip"


@dataclass
class Inventory:
    """What lies below the named sources.

    Attributes:
        rasters: scenes to cut, sorted by name, by polarization.
        shards: scenes cut before, in the order of their directories and ``file_index``, by polarization.
        bounds: what shard directories tell of the bounds, by polarization.
        stride: what they tell of the stride in pixels; -1 where nothing does.
        broken: what cannot be used, and why.
        notes: what a user may want to know about the choice of files.
    """

    rasters: dict[str, list[GeoTiffScene]] = field(default_factory=dict)
    shards: dict[str, list[NpyShard]] = field(default_factory=dict)
    bounds: dict[str, Bounds] = field(default_factory=dict)
    stride: int = UNKNOWN
    broken: list[BadSource] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def polarizations(self) -> list[str]:
        """The polarizations found, co-polarized first."""
        order = ("vv", "vh", "hh", "hv")
        return sorted({*self.rasters, *self.shards}, key=order.index)


@dataclass
class _Found:
    """Files by kind, each once, in the order in which the walk meets them."""

    products: dict[Path, Path] = field(default_factory=dict)
    archives: dict[Path, Path] = field(default_factory=dict)
    rasters: dict[Path, Path] = field(default_factory=dict)
    shards: dict[Path, Path] = field(default_factory=dict)

    def add(self, path: Path) -> bool:
        """Take a file or product directory; False where it is neither."""
        kind = self._kind(path)
        if kind is None:
            return False
        kind.setdefault(path.resolve(), path)
        return True

    def _kind(self, path: Path) -> dict[Path, Path] | None:
        if path.is_dir():
            return self.products if is_product_directory(path) else None
        suffix = path.suffix.lower()
        if suffix in RASTER_SUFFIXES:
            return self.rasters
        if suffix == ARCHIVE_SUFFIX:
            return self.archives
        return self.shards if suffix == SHARD_SUFFIX and path.name not in METADATA_NAMES else None


def discover(
    sources: Sequence[str | Path], polarizations: Sequence[str] = (), *, with_bounds: bool = True
) -> Inventory:
    """Find all scenes below the named sources and look at their headers.

    Args:
        sources: ``.SAFE`` directories, zipped ``.SAFE``, GeoTIFFs, shards, or directory trees of them.
        polarizations: keep only these; a single one is also given to files that tell none. Empty: all that are found.
        with_bounds: whether to read what shard directories tell of the bounds; not needed where bounds are given.

    Returns:
        The scenes, and what is broken.

    Raises:
        SourceError: where a source does not exist or holds nothing to convert, or the metadata of shards are unusable.
        BoundsError: where shard directories contradict each other about the bounds.
    """
    found = _Found()
    for source in sources:
        _collect(Path(source), found)
    assigned = polarizations[0] if len(polarizations) == 1 else None
    inventory = Inventory()
    _add_rasters(inventory, found, polarizations, assigned)
    for directory, files in _shards_by_directory(found).items():
        shards = read_shard_set(directory, files, polarizations, assigned, with_bounds=with_bounds)
        _add_shard_set(inventory, shards)
    _check_found(inventory, sources, polarizations)
    return inventory


def find_all_sar_files(directory: str | Path) -> list[Path]:
    """List the measurement rasters below a directory.

    Args:
        directory: a tree of ``.SAFE`` directories, cloud-layout products and GeoTIFFs.

    Returns:
        Their paths, sorted; rasters in ZIP archives are left out, as they have no path of their own.

    Raises:
        SourceError: where the directory does not exist.
    """
    found = _Found()
    _collect(Path(directory), found)
    in_products = [
        Path(file.gdal_path) for product in found.products.values() for file in product_directory_rasters(product)[0]
    ]
    return sorted([*in_products, *found.rasters.values()])


def _collect(source: Path, found: _Found) -> None:
    if not source.exists():
        raise SourceError(f"{source}: no such file or directory")
    if found.add(source):
        return
    if not source.is_dir():
        raise SourceError(
            f"{source}: expected a .SAFE directory, a zipped .SAFE, a GeoTIFF (.tif, .tiff), a shard (.npy), or a "
            "directory of them"
        )
    for path in _walk(source):
        found.add(path)


def _walk(root: Path) -> Iterator[Path]:
    """Yield files and product directories below ``root`` in name order, following links but no directory twice."""
    seen: set[Path] = set()
    for folder, folders, files in os.walk(root, followlinks=True):
        here = Path(folder)
        if here.resolve() in seen:
            folders.clear()
            continue
        seen.add(here.resolve())
        products = [name for name in folders if is_product_directory(here / name)]
        folders[:] = sorted(name for name in folders if name not in products and not name.startswith("."))
        yield from sorted(here / name for name in (*products, *files) if not name.startswith("."))


def _add_rasters(inventory: Inventory, found: _Found, wanted: Sequence[str], assigned: str | None) -> None:
    files: list[RasterFile] = [loose_raster(path) for path in found.rasters.values()]
    for products, read in ((found.products, product_directory_rasters), (found.archives, archive_rasters)):
        for path in products.values():
            rasters, broken = read(path)
            files += rasters
            inventory.broken += broken
    for file in files:
        if wanted and file.info.polarization and file.info.polarization not in wanted:
            continue
        scenes, broken = open_scenes(file, assigned)
        inventory.broken += broken
        for scene in scenes:
            if not wanted or scene.info.polarization in wanted:
                inventory.rasters.setdefault(scene.info.polarization, []).append(scene)
    for group in inventory.rasters.values():
        _tell_namesakes_apart(group)
        _check_names(group)
        group.sort(key=lambda scene: scene.info.name)


def _tell_namesakes_apart(scenes: Sequence[GeoTiffScene]) -> None:
    """Put the folder before the name of loose rasters that share one ("2020/tile", "2021/tile")."""
    shared = {name for name, count in Counter(scene.info.name for scene in scenes).items() if count > 1}
    for scene in scenes:
        if scene.info.name in shared and find_product_name(scene.info.name) is None:
            folder = Path(scene.info.path).resolve().parent.name
            scene.info = dataclasses.replace(scene.info, name=f"{folder}/{scene.info.name}")


def _check_names(scenes: Sequence[GeoTiffScene]) -> None:
    """A scene that is there twice would be trained on twice, and leak between splits."""
    paths: dict[str, list[str]] = {}
    for scene in scenes:
        paths.setdefault(scene.info.name, []).append(scene.info.path)
    for name, places in paths.items():
        if len(places) > 1:
            raise SourceError(
                f"scene {name} is there {len(places)} times: {', '.join(places)}; name each scene once, or give "
                "its files "
                "distinct names"
            )


def _shards_by_directory(found: _Found) -> dict[Path, list[Path]]:
    groups: dict[Path, list[Path]] = {}
    for path in found.shards.values():
        groups.setdefault(path.parent, []).append(path)
    return groups


def _add_shard_set(inventory: Inventory, shards: ShardSet) -> None:
    inventory.broken += shards.broken
    inventory.notes += shards.notes
    for shard in shards.shards:
        inventory.shards.setdefault(shard.info.polarization, []).append(shard)
    for polarization, bounds in shards.bounds.items():
        known = inventory.bounds.setdefault(polarization, bounds)
        if (known.vmin, known.vmax) != (bounds.vmin, bounds.vmax):
            raise BoundsError(
                f"{known.origin} and {bounds.origin} give {polarization} different bounds, so their values cannot "
                "be compared; "
                "convert them into separate files, or give --vmin and --vmax if you know better"
            )
    inventory.stride = shards.stride if inventory.stride == UNKNOWN else inventory.stride


def _check_found(inventory: Inventory, sources: Sequence[str | Path], polarizations: Sequence[str]) -> None:
    places = ", ".join(str(source) for source in sources)
    if not inventory.polarizations and not inventory.broken:
        wanted = f" of polarization {', '.join(polarizations)}" if polarizations else ""
        raise SourceError(
            f"{places}: found no scene{wanted}; expected .SAFE products (directories or .zip), GeoTIFFs, or .npy shards"
        )
    both = [name for name in inventory.polarizations if name in inventory.rasters and name in inventory.shards]
    if both:
        raise SourceError(
            f"{places}: found both rasters and shards of {', '.join(both)}; convert them one at a time, since "
            "shards are scaled already"
        )
    for shards in inventory.shards.values():
        _set_aside_odd_sizes(inventory, shards)


def _set_aside_odd_sizes(inventory: Inventory, shards: list[NpyShard]) -> None:
    """Patches of one file have one size: the most common; shards of another are broken."""
    if not shards:
        return
    common = Counter(shard.patch_size for shard in shards).most_common(1)[0][0]
    for shard in [shard for shard in shards if shard.patch_size != common]:
        shards.remove(shard)
        found = f"(n, {shard.patch_size}, {shard.patch_size})"
        inventory.broken.append(
            BadSource(shard.info.path, f"expected shape (n, {common}, {common}) as most shards have, found {found}")
        )
