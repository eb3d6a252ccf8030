"""One patch as a GeoTIFF in memory: pixels, where they lie on the ground, and tags."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.errors import CRSError
from rasterio.io import MemoryFile

from sar_h5.errors import FormatError
from sar_h5.georeference import patch_transform
from sar_h5.schema import UNKNOWN
from sar_h5.sources.patch_tags import PREFIX, PatchTags, shift_gcps
from sar_h5.sources.scene import SceneInfo

TILE_PX = 256


def encode_patch(pixels: npt.NDArray[Any], held: npt.NDArray[np.bool_] | None, tags: PatchTags) -> bytes:
    """Encode a patch as the bytes of a GeoTIFF.

    Args:
        pixels: (P, P), float32 values in [0, 1], or uint16 digital numbers, where 0 means no data.
        held: bool (P, P), which pixels hold data, for a mask within the file; None for no mask.
        tags: what it is; the georeference in it is the scene's.

    Raises:
        FormatError: where the scene's reference system is none that GDAL knows.
    """
    placed, left = _place(tags)
    profile: dict[str, Any] = {
        "driver": "GTiff",
        "height": pixels.shape[0],
        "width": pixels.shape[1],
        "count": 1,
        "dtype": pixels.dtype,
        "compress": "deflate",
        "predictor": 3 if pixels.dtype.kind == "f" else 2,
        **placed,
    }
    if min(pixels.shape) >= TILE_PX:
        profile |= {"tiled": True, "blockxsize": TILE_PX, "blockysize": TILE_PX}
    if tags.pixels == "dn":
        profile["nodata"] = 0  # of detected products: no measured amplitude is 0
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), MemoryFile() as memory:
        with memory.open(**profile) as dataset:
            # Tags before pixels: GDAL would write them a second time, behind the first.
            dataset.set_band_description(1, tags.scene.polarization.upper())
            dataset.update_tags(**left.to_tags(), **_common_tags(tags))
            dataset.write(pixels, 1)
            if held is not None:
                dataset.write_mask(held)
        return bytes(memory.getbuffer())


def _place(tags: PatchTags) -> tuple[dict[str, Any], PatchTags]:
    """Return what places the raster on the ground, and the tags less what this tells already."""
    place, row, col = tags.scene.georeference, tags.row, tags.col
    if UNKNOWN in (row, col):
        return {}, tags
    if not np.isnan(place.transform[0]):
        # GDAL keeps a transform or control points, not both; these stay in the tags.
        transform = rasterio.Affine(*patch_transform(place.transform, row, col))
        return {"crs": _crs(place.crs, tags.scene), "transform": transform}, tags
    if not place.gcps:
        return {}, tags
    gcps = shift_gcps(place.gcps, -row, -col)
    points = [GroundControlPoint(row=y, col=x, x=east, y=north, z=up) for y, x, east, north, up in gcps]
    if shift_gcps(gcps, row, col) == place.gcps:
        tags = without_gcps(tags)
    return {"crs": _crs(place.gcp_crs, tags.scene) or CRS(), "gcps": points}, tags


def without_gcps(tags: PatchTags) -> PatchTags:
    """Return tags whose scene tells no control points."""
    place = dataclasses.replace(tags.scene.georeference, gcps=())
    return dataclasses.replace(tags, scene=dataclasses.replace(tags.scene, georeference=place))


def _crs(wkt: str, scene: SceneInfo) -> CRS | None:
    if not wkt:
        return None
    try:
        return CRS.from_wkt(wkt)
    except CRSError as error:
        raise FormatError(
            f"scene {scene.name!r:.100}: expected its reference system as WKT, found {wkt!r:.100}; export it with "
            "--shards, which keep it as it is"
        ) from error


def _common_tags(tags: PatchTags) -> dict[str, str]:
    """Return the tags that viewers and catalogues know."""
    where = "unknown place" if UNKNOWN in (tags.row, tags.col) else f"row {tags.row}, column {tags.col}"
    what = "digital numbers" if tags.pixels == "dn" else f"dB from {tags.vmin:g} to {tags.vmax:g} scaled to [0, 1]"
    name = re.sub(r"[^ -~]", "_", tags.scene.name[:100])
    common = {
        "TIFFTAG_IMAGEDESCRIPTION": f"SAR patch, {tags.scene.polarization.upper()}, {name}, {where}: {what}",
        "TIFFTAG_SOFTWARE": "sar_h5",
        f"{PREFIX}UNITS": "1",
    }
    time = re.match(r"(\d{4})-(\d\d)-(\d\d)T(\d\d:\d\d:\d\d)", tags.scene.start_time)
    if time:
        common["TIFFTAG_DATETIME"] = f"{time[1]}:{time[2]}:{time[3]} {time[4]}"
    return common
