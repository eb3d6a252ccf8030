"""Sentinel-1 products, as directories or ZIP archives: their measurement rasters and what is known of them."""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass
from pathlib import Path

from sar_h5.errors import BadSource, SourceError
from sar_h5.sources.annotation import Facts, read_annotation, read_manifest
from sar_h5.sources.naming import find_polarization, find_product_name, parse_name, scene_name
from sar_h5.sources.scene import UNKNOWN, SceneInfo

RASTER_SUFFIXES = (".tif", ".tiff")

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
    return path.suffix.upper() == ".SAFE" or (path / "manifest.safe").is_file() or (path / "measurement").is_dir()


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
    except (zipfile.BadZipFile, OSError, NotImplementedError, RuntimeError) as error:
        # RuntimeError: an encrypted member; NotImplementedError: a compression method that zipfile does not know.
        return [], [
            BadSource(str(path), f"expected a ZIP archive with a .SAFE product, but it cannot be read: {error}")
        ]


def _archive_rasters(path: Path, archive: zipfile.ZipFile) -> tuple[list[RasterFile], list[BadSource]]:
    rasters: list[RasterFile] = []
    broken: list[BadSource] = []
    root = zipfile.Path(archive)
    folders = sorted((entry for entry in root.iterdir() if entry.is_dir()), key=lambda entry: entry.name)
    products = [(path.stem, "", root)] if _is_archived_product(root, path.stem) else []
    products += [(top.name, f"{top.name}/", top) for top in folders if _is_archived_product(top, top.name)]
    for name, prefix, top in products:
        found, bad = _product_rasters(top, name, str(path))
        broken += bad
        for info, parts in found:
            member = prefix + "/".join(parts)
            rasters.append(RasterFile(info, f"/vsizip/{{{path.resolve()}}}/{member}", path, member))
    if not products:
        broken.append(BadSource(str(path), "expected a zipped .SAFE product; the archive holds no .SAFE directory"))
    return rasters, broken


def _is_archived_product(top: zipfile.Path, name: str) -> bool:
    return name.upper().endswith(".SAFE") or (top / "manifest.safe").is_file() or (top / "measurement").is_dir()


def _product_rasters(
    root: Path | zipfile.Path, name: str, shown: str
) -> tuple[list[tuple[SceneInfo, tuple[str, str]]], list[BadSource]]:
    measurement = root / "measurement"
    names = sorted(entry.name for entry in measurement.iterdir()) if measurement.is_dir() else []
    names = [entry for entry in names if entry.lower().endswith(RASTER_SUFFIXES)]
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


def loose_raster(path: Path) -> RasterFile:
    """Describe a raster that lies outside any product, from its name and the directory it is in."""
    facts = name_facts(path.stem) or name_facts(path.parent.name)
    facts["polarization"] = find_polarization(path.stem) or find_polarization(path.parent.name) or ""
    name = scene_name(path.stem) or scene_name(path.resolve().parent.name) or path.stem
    return RasterFile(_scene_info(name, str(path), facts), str(path))
