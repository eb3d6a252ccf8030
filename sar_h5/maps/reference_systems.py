"""Scenes in one reference system: as they are where they share one, otherwise in longitude and latitude."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from rasterio.crs import CRS
from rasterio.errors import CRSError
from rasterio.warp import transform

from sar_h5.errors import FormatError
from sar_h5.maps.gcp_mapping import Floats64, GroundMapping
from sar_h5.maps.scene_places import ScenePlace

LONGITUDE_LATITUDE = "EPSG:4326"


@dataclass(frozen=True)
class GeographicMapping:
    """A mapping to longitude and latitude on WGS 84, through one to any reference system.

    Attributes:
        mapping: from (row, col) to (x, y).
        crs: reference system of x and y.
    """

    mapping: GroundMapping
    crs: str

    def __call__(self, rows: npt.ArrayLike, cols: npt.ArrayLike) -> Floats64:
        """Return float64 (..., 2), degrees; infinite where the projection does not reach."""
        places = self.mapping(rows, cols)
        flat = places.reshape(-1, 2)
        target = CRS.from_string(LONGITUDE_LATITUDE)
        found = transform(_parse(self.crs), target, flat[:, 0].tolist(), flat[:, 1].tolist())
        return np.array(found, dtype=np.float64).reshape(2, -1).T.reshape(places.shape)


@dataclass(frozen=True)
class EastwardMapping:
    """A mapping to longitudes from 0 to 360, which do not jump at the date line.

    Attributes:
        mapping: from (row, col) to longitude and latitude.
    """

    mapping: GroundMapping

    def __call__(self, rows: npt.ArrayLike, cols: npt.ArrayLike) -> Floats64:
        """Return float64 (..., 2), degrees."""
        places = self.mapping(rows, cols)
        return np.stack([places[..., 0] % 360, places[..., 1]], axis=-1)


def in_one_system(places: Sequence[ScenePlace]) -> list[ScenePlace]:
    """Bring scenes into one reference system.

    Args:
        places: of scenes in any systems.

    Returns:
        The same scenes where they share a system. Otherwise those whose system is known, in longitude and latitude;
        either way, longitudes count from 0 to 360 where a scene lies across the date line.

    Raises:
        FormatError: where a reference system is none.
    """
    if len({place.crs for place in places}) > 1:
        places = [
            replace(place, crs=LONGITUDE_LATITUDE, mapping=GeographicMapping(place.mapping, place.crs))
            for place in places
            if place.crs
        ]
    if not is_geographic(places[0].crs) or not any(_crosses_date_line(place.outline()) for place in places):
        return list(places)
    return [replace(place, mapping=EastwardMapping(place.mapping)) for place in places]


def is_geographic(crs: str) -> bool:
    """Tell whether coordinates are longitude and latitude in degrees.

    Args:
        crs: WKT, or anything else that PROJ knows; empty where it is unknown.

    Raises:
        FormatError: where it is no reference system.
    """
    return bool(crs) and bool(_parse(crs).is_geographic)


def system_name(crs: str) -> str:
    """Return the name of a reference system, such as "WGS 84 / UTM zone 32N"; empty where it is unknown.

    Args:
        crs: as for :func:`is_geographic`.
    """
    if not crs:
        return ""
    words = _parse(crs).to_wkt().split('"')
    return words[1] if len(words) > 1 else ""


def _crosses_date_line(outline: Floats64) -> bool:
    longitudes = outline[:, 0]
    return bool(np.ptp(longitudes) > 180 or longitudes.max() > 180)


def _parse(crs: str) -> CRS:
    try:
        return CRS.from_string(crs)
    except CRSError as error:
        raise FormatError(
            f"expected the reference system of a scene as WKT, found {crs[:60]!r}: {error}; run `sar-h5 verify`"
        ) from error
