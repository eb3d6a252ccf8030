"""Walk through directories: files of every kind that may hold scenes, each once."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from sar_h5.errors import BadSource, SourceError
from sar_h5.sources.archives import holds_product
from sar_h5.sources.products import RASTER_SUFFIXES, is_product_directory, product_of
from sar_h5.sources.shard_set import METADATA_NAMES, real_path

SHARD_SUFFIX = ".npy"
ARCHIVE_SUFFIX = ".zip"


@dataclass
class FoundFiles:
    """Files by kind, each once under its real path, in the order in which the walk meets them.

    Attributes:
        tops: for each shard, the directory that the user named.
        broken: directories that cannot be listed.
        notes: what was met on the way and left out.
    """

    products: dict[Path, Path] = field(default_factory=dict)
    archives: dict[Path, Path] = field(default_factory=dict)
    rasters: dict[Path, Path] = field(default_factory=dict)
    shards: dict[Path, Path] = field(default_factory=dict)
    tops: dict[Path, Path] = field(default_factory=dict)
    broken: list[BadSource] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, path: Path, top: Path) -> bool:
        """Take a file or product directory found below ``top``; False where it is neither."""
        kind = self._kind(path)
        if kind is None:
            return False
        self.tops.setdefault(kind.setdefault(real_path(path), path), top)
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


def find_files(source: Path, found: FoundFiles) -> None:
    """Add what a named source is, or what lies below it; raise SourceError where it is nothing of use."""
    if not source.exists():
        raise SourceError(f"{source}: no such file or directory")
    if found.add(source, source.parent):
        return
    if not source.is_dir():
        raise SourceError(
            f"{source}: expected a .SAFE directory, a zipped .SAFE, a GeoTIFF (.tif, .tiff), a shard (.npy), or a "
            "directory of them"
        )
    for path in _walk(source, found.broken):
        if path.suffix.lower() == ARCHIVE_SUFFIX and not holds_product(path):
            found.notes.append(f"{path}: a ZIP archive without a .SAFE product, left out")
        else:
            found.add(path, source)


def _walk(root: Path, broken: list[BadSource]) -> Iterator[Path]:
    """Yield files and product directories below ``root`` in name order, following links but no directory twice."""
    seen: set[Path] = set()

    def note(error: OSError) -> None:
        reason = f"expected a directory that can be listed: {error.strerror or error}"
        broken.append(BadSource(str(error.filename), reason))

    for folder, folders, files in os.walk(root, onerror=note, followlinks=True):
        here = Path(folder)
        if real_path(here) in seen:
            folders.clear()
            continue
        seen.add(real_path(here))
        visible = [name for name in folders if not _is_hidden(name)]
        products = [name for name in visible if _is_listed_product(here / name)]
        folders[:] = sorted(name for name in visible if name not in products)
        for name in sorted((*products, *(name for name in files if not _is_hidden(name)))):
            yield here / name


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"  # resource forks, which macOS packs under the files' own names


def _is_listed_product(path: Path) -> bool:
    try:
        return is_product_directory(path)
    except OSError:  # it may not be entered; the walk is about to meet it, and says so
        return False


def rasters_outside_products(found: FoundFiles) -> list[Path]:
    """Return the rasters that are not part of a product that was found as well."""
    return [path for path in found.rasters.values() if product_of(path) not in found.products]
