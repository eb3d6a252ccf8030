"""Zipped products: which folders of an archive are products, and how GDAL opens their rasters in place."""

from __future__ import annotations

import lzma
import struct
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path

from sar_h5.errors import BadSource
from sar_h5.sources.products import RasterFile, is_safe, product_rasters

ZIP_ERRORS = (
    *(zipfile.BadZipFile, OSError, EOFError, ValueError, KeyError, struct.error, zlib.error, lzma.LZMAError),
    RuntimeError,  # an encrypted member, or a compression method that zipfile does not know
)
"""All that reading a ZIP archive raises, damaged ones included."""


def holds_product(path: Path) -> bool:
    """Tell whether a file is an archive with a product in it, or one too damaged to tell."""
    try:
        with zipfile.ZipFile(path) as archive:
            return bool(_archived_products(archive.namelist()))
    except ZIP_ERRORS:
        return True


def archive_rasters(path: Path) -> tuple[list[RasterFile], list[BadSource]]:
    """List the measurement rasters of all products in a ZIP archive.

    Args:
        path: a zipped ``.SAFE``.

    Returns:
        The rasters and what is broken: the archive itself where it is none or holds no product.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return _archive_rasters(path, archive)
    except ZIP_ERRORS as error:
        reason = f"expected a ZIP archive with a .SAFE product, but it cannot be read: {error}; download it again"
        return [], [BadSource(str(path), reason)]


def _archive_rasters(path: Path, archive: zipfile.ZipFile) -> tuple[list[RasterFile], list[BadSource]]:
    rasters: list[RasterFile] = []
    broken: list[BadSource] = []
    products = _archived_products(archive.namelist())
    for prefix in products:
        name = prefix.rstrip("/").rpartition("/")[2] or path.stem
        found, bad = product_rasters(zipfile.Path(archive, prefix), name, str(path))
        broken += bad
        for info, parts in found:
            member = prefix + "/".join(parts)
            rasters.append(RasterFile(info, _vsizip(path, member), path, member))
    if not products:
        reason = (
            "expected a zipped .SAFE product; the archive holds neither a .SAFE directory nor a measurement folder "
            "(unpack GeoTIFFs and shards first)"
        )
        broken.append(BadSource(str(path), reason))
    return rasters, broken


def _archived_products(members: Iterable[str]) -> list[str]:
    """Return the directories of an archive that are products, at any depth, as prefixes; "" is the archive itself."""
    with_content: set[str] = set()
    by_name: set[str] = set()
    for member in members:
        *folders, file = member.split("/")
        if "__MACOSX" in folders:  # resource forks beside the files, which macOS packs under the same names
            continue
        if "measurement" in folders:
            with_content.add(_prefix(folders[: folders.index("measurement")]))
        elif file == "manifest.safe":
            with_content.add(_prefix(folders))
        by_name |= {_prefix(folders[:depth]) for depth, name in enumerate(folders, start=1) if is_safe(name)}
    around = {
        _prefix(prefix.split("/")[:depth]) for prefix in with_content | by_name for depth in range(prefix.count("/"))
    }
    return sorted(with_content | (by_name - around))


def _prefix(folders: list[str]) -> str:
    return "".join(f"{folder}/" for folder in folders)


def _vsizip(archive: Path, member: str) -> str:
    """Return how GDAL opens a member; the form with braces is for any name, but they have to be balanced."""
    place = str(archive.resolve())
    depth = 0
    for character in place:
        depth += {"{": 1, "}": -1}.get(character, 0)
        if depth < 0:
            break
    return f"/vsizip/{{{place}}}/{member}" if depth == 0 else f"/vsizip/{place}/{member}"
