"""Sentinel-1 products, as directories or ZIP archives: their measurement rasters and what is known of them."""

from __future__ import annotations

import dataclasses
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path

from sar_h5.errors import BadSource, SourceError
from sar_h5.schema import UNKNOWN
from sar_h5.sources.annotation import Facts, read_annotation, read_manifest
from sar_h5.sources.naming import POLARIZATIONS, find_polarization, find_product_name, parse_name, scene_name
from sar_h5.sources.scene import SceneInfo

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
    if (path / "manifest.safe").is_file() or (path / "measurement").is_dir():
        return True
    # A file manager that unpacks X.SAFE.zip makes X.SAFE/X.SAFE: the product is the inner one.
    return is_safe(path.name) and not any(is_safe(entry.name) and entry.is_dir() for entry in path.iterdir())


def is_safe(name: str) -> bool:
    """Tell whether a name is that of a product directory as ESA packs it."""
    return name.upper().endswith(".SAFE")


def product_directory_rasters(path: Path) -> tuple[list[RasterFile], list[BadSource]]:
    """List the measurement rasters of a product directory.

    Args:
        path: a ``.SAFE`` directory or one in the layout of the cloud archives (``measurement/iw-vv.tiff``).

    Returns:
        The rasters, sorted by name, and the product itself as broken where it has none.
    """
    rasters, broken = product_rasters(path, path.name, str(path))
    return [RasterFile(info, str(Path(path, *parts))) for info, parts in rasters], broken


def product_rasters(
    root: Path | zipfile.Path, name: str, shown: str
) -> tuple[list[tuple[SceneInfo, tuple[str, str]]], list[BadSource]]:
    """List the measurement rasters of a product wherever it lies.

    Args:
        root: its directory, on disk or in an archive.
        name: the directory's name.
        shown: how the user knows it.

    Returns:
        For each raster what is known of it and its path within the product, and what is broken.
    """
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
    known = find_product_name(product.name) or is_safe(product.name)
    documents = ("manifest.safe", "productInfo.json")
    return product if known or any((product / name).is_file() for name in documents) else None


def loose_raster(path: Path) -> RasterFile:
    """Describe a raster that lies outside any product, from its name and the directory it is in."""
    facts = name_facts(path.stem) or name_facts(path.parent.name)
    facts["polarization"] = find_polarization(path.stem) or find_polarization(path.parent.name) or ""
    name = scene_name(path.stem) or scene_name(path.resolve().parent.name) or path.stem
    return RasterFile(_scene_info(name, str(path), facts), str(path))
