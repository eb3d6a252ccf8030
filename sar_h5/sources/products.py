"""Sentinel-1 products, as directories or ZIP archives: their measurement rasters and what is known of them."""

from __future__ import annotations

import dataclasses
import json
import lzma
import struct
import zipfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from sar_h5.errors import BadSource, SourceError
from sar_h5.sources.annotation import Facts, read_annotation, read_manifest
from sar_h5.sources.naming import POLARIZATIONS, find_polarization, find_product_name, parse_name, scene_name
from sar_h5.sources.scene import UNKNOWN, SceneInfo

RASTER_SUFFIXES = (".tif", ".tiff")

ZIP_ERRORS = (
    *(zipfile.BadZipFile, OSError, EOFError, ValueError, KeyError, struct.error, zlib.error, lzma.LZMAError),
    RuntimeError,  # an encrypted member
    NotImplementedError,  # a compression method that zipfile does not know
)
"""All that reading a ZIP archive raises, damaged ones included."""

_DOCUMENT_LIMIT_NBYTES = 64 << 20
"""Annotations of real products are about 2 MB; a document beyond this limit is not read."""


@dataclass(frozen=True)
class RasterFile:
    """One raster file and what its surroundings tell about it.

    Attributes:
        info: what is known before it is opened; the polarization is empty where nothing tells it.
        gdal_path: how GDAL opens it.
        archive: the ZIP archive that it lies in, or None.
        member: its name in the archive.
    """

    info: SceneInfo
    gdal_path: str
    archive: Path | None = None
    member: str = ""


def is_product_directory(path: Path) -> bool:
    """Tell whether a directory is a product: ``*.SAFE``, or one with a manifest or a measurement folder."""
    if (path / "manifest.safe").is_file() or (path / "measurement").is_dir():
        return True
    # A file manager that unpacks X.SAFE.zip makes X.SAFE/X.SAFE: the product is the inner one.
    return _is_safe(path.name) and not any(_is_safe(entry.name) and entry.is_dir() for entry in path.iterdir())


def _is_safe(name: str) -> bool:
    return name.upper().endswith(".SAFE")


def product_directory_rasters(path: Path) -> tuple[list[RasterFile], list[BadSource]]:
    """List the measurement rasters of a product directory.

    Args:
        path: a ``.SAFE`` directory or one in the layout of the cloud archives (``measurement/iw-vv.tiff``).

    Returns:
        The rasters, sorted by name, and the product itself as broken where it has none.
    """
    rasters, broken = _product_rasters(path, path.name, str(path))
    return [RasterFile(info, str(Path(path, *parts))) for info, parts in rasters], broken


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
        found, bad = _product_rasters(zipfile.Path(archive, prefix), name, str(path))
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
        by_name |= {_prefix(folders[:depth]) for depth, name in enumerate(folders, start=1) if _is_safe(name)}
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


def _product_rasters(
    root: Path | zipfile.Path, name: str, shown: str
) -> tuple[list[tuple[SceneInfo, tuple[str, str]]], list[BadSource]]:
    measurement = root / "measurement"
    names = sorted(entry.name for entry in measurement.iterdir()) if measurement.is_dir() else []
    names = [entry for entry in names if entry.lower().endswith(RASTER_SUFFIXES) and not entry.startswith(".")]
    if not names:
        reason = "expected measurement/*.tiff, found no raster there: the product is incomplete, download it again"
        return [], [BadSource(shown, reason)]
    scene = find_product_name(name) or _listed_product_name(root) or name.removesuffix(".SAFE")
    rasters: list[tuple[SceneInfo, tuple[str, str]]] = []
    broken: list[BadSource] = []
    for raster in names:
        place = f"{shown}/measurement/{raster}"
        try:
            facts = _facts(root, scene, raster)
        except SourceError as error:
            broken.append(BadSource(place, str(error)))
            continue
        rasters.append((_scene_info(scene, place, facts), ("measurement", raster)))
    return rasters, broken


def _facts(root: Path | zipfile.Path, scene: str, raster: str) -> Facts:
    """Gather what the names, the annotation and the manifest tell; the more specific wins."""
    facts = name_facts(raster) or name_facts(scene)
    for reader, parts in (
        (read_manifest, ("manifest.safe",)),
        (read_annotation, ("annotation", f"{_stem(raster)}.xml")),
    ):
        document = _read_document(root, parts)
        if document is not None:
            facts |= reader(document, "/".join(parts))
    if facts.get("polarization", POLARIZATIONS[0]) not in POLARIZATIONS:
        found = facts["polarization"][:20]
        raise SourceError(f"expected polarization {', '.join(POLARIZATIONS)} in its annotation, found {found!r}")
    facts.setdefault("polarization", find_polarization(_stem(raster)) or "")
    return facts


def name_facts(name: str) -> Facts:
    """Return what a product or measurement name tells, as text; empty where it is neither."""
    known = parse_name(name)
    if known is None:
        return {}
    return {
        "platform": known.platform,
        "mode": known.mode,
        "product_type": known.product_type,
        "start_time": known.start_time,
        "orbit": str(known.orbit),
    }


def _scene_info(scene: str, place: str, facts: Facts) -> SceneInfo:
    orbit = facts.get("orbit", "")
    return SceneInfo(
        name=scene,
        path=place,
        polarization=facts["polarization"],
        platform=facts.get("platform", ""),
        mode=facts.get("mode", ""),
        product_type=facts.get("product_type", ""),
        start_time=facts.get("start_time", ""),
        orbit=int(orbit) if orbit.isdecimal() and len(orbit) < 10 else UNKNOWN,
        orbit_pass=facts.get("orbit_pass", ""),
    )


def _stem(name: str) -> str:
    return name.rpartition(".")[0]


def _listed_product_name(root: Path | zipfile.Path) -> str | None:
    """Return the product name from ``productInfo.json``, which the cloud archives put beside renamed files."""
    document = _read_document(root, ("productInfo.json",))
    if document is None:
        return None
    try:
        listed = json.loads(document)
    except ValueError:
        return None
    return find_product_name(str(listed.get("id", ""))) if isinstance(listed, dict) else None


def _read_document(root: Path | zipfile.Path, parts: tuple[str, ...]) -> bytes | None:
    place = root.joinpath(*parts)
    if not place.is_file():
        return None
    with place.open("rb") as file:
        document: bytes = file.read(_DOCUMENT_LIMIT_NBYTES + 1)
    if len(document) > _DOCUMENT_LIMIT_NBYTES:
        raise SourceError(f"{'/'.join(parts)} is larger than {_DOCUMENT_LIMIT_NBYTES >> 20} MB, which no product's is")
    return document


def named_raster(path: Path) -> tuple[list[RasterFile], list[BadSource]]:
    """Describe a raster that is named by itself; one that lies in a known product is described as its part.

    Args:
        path: the raster.

    Returns:
        The raster, or the product's document as broken that cannot be read.
    """
    product = product_of(path)
    if product is None:
        return [loose_raster(path)], []
    rasters, broken = product_directory_rasters(product)
    mine = [raster for raster in rasters if Path(raster.gdal_path).name == path.name]
    described = [RasterFile(dataclasses.replace(raster.info, path=str(path)), str(path)) for raster in mine]
    return described, [source for source in broken if Path(source.path).name == path.name]


def product_of(raster: Path) -> Path | None:
    """Return the product directory that a raster lies in; None where it lies in none that is known as a product."""
    folder = raster.resolve().parent
    product = folder.parent
    if folder.name != "measurement":
        return None
    known = find_product_name(product.name) or _is_safe(product.name)
    documents = ("manifest.safe", "productInfo.json")
    return product if known or any((product / name).is_file() for name in documents) else None


def loose_raster(path: Path) -> RasterFile:
    """Describe a raster that lies outside any product, from its name and the directory it is in."""
    facts = name_facts(path.stem) or name_facts(path.parent.name)
    facts["polarization"] = find_polarization(path.stem) or find_polarization(path.parent.name) or ""
    name = scene_name(path.stem) or scene_name(path.resolve().parent.name) or path.stem
    return RasterFile(_scene_info(name, str(path), facts), str(path))
