"""Reference systems of scenes: are they angles, and the same places in longitude and latitude."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from rasterio.crs import CRS
from rasterio.errors import CRSError
from rasterio.warp import transform

from sar_h5.errors import FormatError

LONGITUDE_LATITUDE = "EPSG:4326"


def is_geographic(crs: str) -> bool:
    """Tell whether coordinates are longitude and latitude in degrees.

    Args:
        crs: WKT, or anything else that PROJ knows.

    Raises:
        FormatError: where it is no reference system.
    """
    return bool(_parse(crs).is_geographic)


def to_longitude_latitude(points: npt.NDArray[np.float64], crs: str) -> npt.NDArray[np.float64]:
    """Turn coordinates into longitude and latitude on WGS 84.

    Args:
        points: float64 (n, 2), x and y.
        crs: their reference system.

    Returns:
        float64 (n, 2), longitude and latitude in degrees; infinite where the projection does not reach.

    Raises:
        FormatError: where it is no reference system.
    """
    xs, ys = transform(_parse(crs), CRS.from_string(LONGITUDE_LATITUDE), points[:, 0].tolist(), points[:, 1].tolist())
    return np.array([xs, ys], dtype=np.float64).reshape(2, -1).T


def crosses_date_line(outline: npt.NDArray[np.float64]) -> bool:
    """Tell whether a scene narrower than 180 degrees lies across the meridian at which longitudes jump.

    Args:
        outline: float64 (n, 2), longitude and latitude.
    """
    return bool(np.ptp(outline[:, 0]) > 180 or outline[:, 0].max() > 180)


def count_longitudes_eastward(points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return places with longitudes from 0 to 360, which do not jump at the date line.

    Args:
        points: float64 (..., 2), longitude and latitude.
    """
    return np.stack([points[..., 0] % 360, points[..., 1]], axis=-1)


def _parse(crs: str) -> CRS:
    try:
        return CRS.from_string(crs)
    except CRSError as error:
        raise FormatError(
            f"expected the reference system of a scene as WKT, found {crs[:60]!r}: {error}; run `sar-h5 verify`"
        ) from error
