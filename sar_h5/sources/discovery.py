"""Find scenes below the paths that a user names, and tell what is broken before any work starts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sar_h5.errors import BadSource, BoundsError, SourceError
from sar_h5.radiometry import Bounds
from sar_h5.schema import UNKNOWN
from sar_h5.sources.archives import archive_rasters
from sar_h5.sources.namesakes import check_names, tell_namesakes_apart
from sar_h5.sources.naming import POLARIZATIONS, find_product_name
from sar_h5.sources.patch_rasters import PatchRasters, PatchRasterScene, find_patch_rasters
from sar_h5.sources.products import (
    RASTER_SUFFIXES,
    RasterFile,
    named_raster,
    product_directory_rasters,
)
from sar_h5.sources.rasters import GeoTiffScene, open_scenes
from sar_h5.sources.shard_set import (
    METADATA,
    ShardSet,
    indexed_files,
    read_shard_set,
    same_bounds,
)
from sar_h5.sources.shards import NpyShard, may_be_wanted
from sar_h5.sources.walk import FoundFiles, find_files, rasters_outside_products

CutScene = NpyShard | PatchRasterScene
"""Scenes that were cut before, from shards or from rasters of single patches."""


@dataclass
class Inventory:
    """What lies below the named sources.

    Attributes:
        rasters: scenes to cut, sorted by name, by polarization.
        shards: scenes cut before, in the order of their directories and ``file_index``, by polarization.
        bounds: what shard directories tell of the bounds, by polarization.
        stride: what they tell of the stride in pixels; -1 where nothing does, or they disagree.
        broken: what cannot be used, and why.
        notes: what a user may want to know about the choice of files.
    """

    rasters: dict[str, list[GeoTiffScene]] = field(default_factory=dict)
    shards: dict[str, list[CutScene]] = field(default_factory=dict)
    bounds: dict[str, Bounds] = field(default_factory=dict)
    stride: int = UNKNOWN
    broken: list[BadSource] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def polarizations(self) -> list[str]:
        """The polarizations found, co-polarized first."""
        return sorted({*self.rasters, *self.shards}, key=POLARIZATIONS.index)


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
    found = FoundFiles()
    for source in sources:
        find_files(Path(source), found)
    assigned = polarizations[0] if len(polarizations) == 1 else None
    inventory = Inventory()
    inventory.broken += found.broken
    inventory.notes += found.notes
    patches = find_patch_rasters(rasters_outside_products(found), polarizations)
    inventory.broken += patches.broken
    _add_rasters(inventory, found, patches.others, polarizations, assigned)
    shard_sets = {
        directory: read_shard_set(directory, files, polarizations, assigned, with_bounds=with_bounds)
        for directory, files in _shards_by_directory(found).items()
    }
    _add_shard_sets(inventory, shard_sets, with_bounds=with_bounds)
    _add_patches(inventory, patches)
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
    found = FoundFiles()
    find_files(Path(directory), found)
    in_products = [
        Path(file.gdal_path) for product in found.products.values() for file in product_directory_rasters(product)[0]
    ]
    return sorted([*in_products, *rasters_outside_products(found)])


def _add_rasters(
    inventory: Inventory, found: FoundFiles, loose: Sequence[Path], wanted: Sequence[str], assigned: str | None
) -> None:
    files: list[RasterFile] = []
    for paths, read in (
        (loose, named_raster),
        (found.products.values(), product_directory_rasters),
        (found.archives.values(), archive_rasters),
    ):
        for path in paths:
            rasters, broken = read(path)
            files += rasters
            inventory.broken += [source for source in broken if _concerns(source, wanted)]
    for file in files:
        if wanted and file.info.polarization and file.info.polarization not in wanted:
            continue
        scenes, broken = open_scenes(file, assigned)
        inventory.broken += broken
        for scene in scenes:
            if not wanted or scene.info.polarization in wanted:
                inventory.rasters.setdefault(scene.info.polarization, []).append(scene)
    tell_namesakes_apart(list(inventory.rasters.values()), lambda name: find_product_name(name) is None)
    for group in inventory.rasters.values():
        check_names(group)
        group.sort(key=lambda scene: scene.info.name)


def _concerns(broken: BadSource, wanted: Sequence[str]) -> bool:
    """Whether something broken may be of a wanted polarization; a raster's name may tell that it is not."""
    path = Path(broken.path)
    return path.suffix.lower() not in RASTER_SUFFIXES or may_be_wanted(path.stem, wanted)


def _shards_by_directory(found: FoundFiles) -> dict[Path, list[Path]]:
    """Group shards by the directory whose metadata list them: their own, or one above it that the user named."""
    groups: dict[Path, list[Path]] = {}
    listed: dict[Path, set[Path]] = {}
    for real, path in found.shards.items():
        home = path.parent
        above = [] if (home / METADATA).is_file() else _folders_between(home, found.tops[path])
        for folder in above:
            if folder not in listed:
                listed[folder] = indexed_files(folder)
            if real in listed[folder]:
                home = folder
                break
        groups.setdefault(home, []).append(path)
    return groups


def _folders_between(folder: Path, top: Path) -> list[Path]:
    """Return the folders above ``folder`` up to ``top``, the nearest first."""
    return [parent for parent in folder.parents if parent == top or top in parent.parents]


def _add_shard_sets(inventory: Inventory, shard_sets: Mapping[Path, ShardSet], *, with_bounds: bool) -> None:
    for shards in shard_sets.values():
        inventory.broken += shards.broken
        inventory.notes += shards.notes
        for shard in shards.shards:
            inventory.shards.setdefault(shard.info.polarization, []).append(shard)
        for polarization, bounds in shards.bounds.items():
            known = inventory.bounds.setdefault(polarization, bounds)
            if not same_bounds(known, bounds):
                raise BoundsError(
                    f"{known.origin} and {bounds.origin} give {polarization} different bounds, so their values "
                    "cannot be compared; convert them into separate files, or give --vmin and --vmax if you know better"
                )
    tell_namesakes_apart(list(inventory.shards.values()), lambda _: True)
    strides = {shards.stride for shards in shard_sets.values()} - {UNKNOWN}
    inventory.stride = strides.pop() if len(strides) == 1 else UNKNOWN
    if with_bounds:
        inventory.notes += _borrowed_bounds(inventory, shard_sets)


def _add_patches(inventory: Inventory, patches: PatchRasters) -> None:
    both = sorted({*patches.scenes} & {*inventory.shards})
    if both:
        raise SourceError(
            f"found both shards and rasters of single patches of {', '.join(both)}; convert them one at a time, since "
            "they may be the same patches twice"
        )
    for scenes in patches.scenes.values():
        check_names(scenes)
    inventory.shards |= {polarization: [*scenes] for polarization, scenes in patches.scenes.items()}
    inventory.bounds |= patches.bounds
    strides = {*patches.strides.values()} - {UNKNOWN}
    if inventory.stride == UNKNOWN and len(strides) == 1:
        inventory.stride = strides.pop()


def _borrowed_bounds(inventory: Inventory, shard_sets: Mapping[Path, ShardSet]) -> list[str]:
    return [
        f"{directory}: nothing tells the bounds of its {polarization} shards; taken from {bounds.origin}"
        for polarization, bounds in inventory.bounds.items()
        for directory, shards in shard_sets.items()
        if polarization not in shards.bounds and any(shard.info.polarization == polarization for shard in shards.shards)
    ]


def _check_found(inventory: Inventory, sources: Sequence[str | Path], polarizations: Sequence[str]) -> None:
    places = ", ".join(str(source) for source in sources)
    if not inventory.polarizations and not inventory.broken:
        wanted = f" of polarization {', '.join(polarizations)}" if polarizations else ""
        notes = "".join(f"\n  {note}" for note in inventory.notes)
        raise SourceError(
            f"{places}: found no scene{wanted}; expected .SAFE products (directories or .zip), GeoTIFFs, or .npy "
            f"shards{notes}"
        )
    missing = [name for name in polarizations if name not in inventory.polarizations]
    if missing and not inventory.broken:
        inventory.notes.append(f"{places}: found no scene of polarization {', '.join(missing)}")
    both = [name for name in inventory.polarizations if name in inventory.rasters and name in inventory.shards]
    if both:
        raise SourceError(
            f"{places}: found both rasters and shards of {', '.join(both)}; convert them one at a time, since "
            "shards are scaled already (name the shards' directory, then the products)"
        )
    for shards in inventory.shards.values():
        _set_aside_odd_sizes(inventory, shards)


def _set_aside_odd_sizes(inventory: Inventory, shards: list[CutScene]) -> None:
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
