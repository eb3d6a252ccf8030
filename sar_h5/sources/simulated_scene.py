"""What a simulated Sentinel-1 IW GRDH scene is: its settings, its names, its geometry and its thermal noise.

The figures are those of a real product:
S1A_IW_GRDH_1SDV_20210119T031653_20210119T031718_036201_043ED0_8255.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import astuple, dataclass
from datetime import datetime, timedelta
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from sar_h5.errors import SettingError

Floats64 = npt.NDArray[np.float64]

POLARIZATION_CODES: dict[tuple[str, ...], str] = {
    ("VV",): "SV",
    ("HH",): "SH",
    ("VV", "VH"): "DV",
    ("HH", "HV"): "DH",
}
"""What may be acquired together, and its letters in the product name (S1-RS-MDA-52-7441, section 3.4.1)."""

PIXEL_SPACING_M = 10.0
LINE_INTERVAL_S = 1.483282e-3
SWATH_SAMPLES = 25_931
"""Width of a full IW swath. A narrower scene lies in its middle."""

SUBSWATH_STOPS = (0.3371, 0.6773, 1.0)
"""Where IW1, IW2 and IW3 end across the swath."""

_MOST_PX = 1 << 20
_MOST_SEED = (1 << 32) - 1
_ORBITS_PER_CYCLE = 175


@dataclass(frozen=True)
class SimulatedScene:
    """The settings of one simulated acquisition.

    Attributes:
        height: rows, at least 16.
        width: columns, at least 16 more than the two borders.
        looks: equivalent number of looks of the speckle, at least 1; real IW GRDH has about 4.4.
        border_px: zero-filled columns at either side. The edges are slanted and stepped: a row has from half
            of it to all of it. A tenth as many rows at the top and at the bottom are zero. 0 for no borders.
        seed: of everything random in the pixels, 0 to 2**32 - 1. The pixels depend on the attributes to here
            and the polarization, on nothing else.
        start: start of sensing, UTC, without time zone.
        platform: "S1A" to "S1D".
        orbit: absolute orbit number, 1 to 999999.
        orbit_pass: "ASCENDING" or "DESCENDING".
        polarizations: ("VV",), ("HH",), ("VV", "VH") or ("HH", "HV").

    Raises:
        SettingError: where one of them is outside what is said above.
    """

    height: int = 1024
    width: int = 1536
    looks: float = 4.4
    border_px: int = 40
    seed: int = 0
    start: datetime = datetime(2021, 1, 19, 3, 16, 53)
    platform: str = "S1A"
    orbit: int = 36201
    orbit_pass: Literal["ASCENDING", "DESCENDING"] = "DESCENDING"  # noqa: S105 - of an orbit, no password
    polarizations: tuple[str, ...] = ("VV", "VH")

    def __post_init__(self) -> None:
        _check_integer("border_px", self.border_px, 0, _MOST_PX)
        _check_integer("height", self.height, 16 + 2 * self.zero_rows, _MOST_PX)
        _check_integer("width", self.width, 16 + 2 * self.border_px, _MOST_PX)
        _check_integer("seed", self.seed, 0, _MOST_SEED)
        _check_integer("orbit", self.orbit, 1, 999_999)
        if isinstance(self.looks, bool) or not isinstance(self.looks, (int, float)):
            raise SettingError(f"looks: expected a number, found {self.looks!r}")
        if not (math.isfinite(self.looks) and self.looks >= 1):
            raise SettingError(f"looks: expected a finite number of at least 1, found {self.looks!r}")
        if not isinstance(self.start, datetime) or self.start.tzinfo is not None:
            raise SettingError(f"start: expected a datetime in UTC without time zone, found {self.start!r}")
        _check_choice("platform", self.platform, ("S1A", "S1B", "S1C", "S1D"))
        _check_choice("orbit_pass", self.orbit_pass, ("ASCENDING", "DESCENDING"))
        _check_choice("polarizations", self.polarizations, tuple(POLARIZATION_CODES))

    @property
    def zero_rows(self) -> int:
        """Rows filled with zero at the top, and as many at the bottom."""
        return self.border_px // 10

    @property
    def stop(self) -> datetime:
        """Time of the last row."""
        return self.time_of(self.height - 1)

    @property
    def data_take(self) -> int:
        """Data take number: growing with the orbit by about eight an orbit, as the real ones do."""
        return self.orbit * 8 & 0xFFFFFF

    @property
    def relative_orbit(self) -> int:
        """Number of the orbit within the repeat cycle, 1 to 175.

        Source: https://sentiwiki.copernicus.eu/web/s1-products; isce-framework/isce2#28123 for S1D, and
        #28130 for S1C, whose ground track was moved after absolute orbit 8018.
        """
        first = {"S1A": 73, "S1B": 27, "S1C": 172 if self.orbit <= 8018 else 99, "S1D": 42}[self.platform]
        return (self.orbit - first) % _ORBITS_PER_CYCLE + 1

    @property
    def product_name(self) -> str:
        """Official name, without ``.SAFE``; the identifier at its end is derived from all settings."""
        identifier = hashlib.sha256(repr(astuple(self)).encode()).hexdigest()[:4].upper()
        polarizations = POLARIZATION_CODES[self.polarizations]
        return (
            f"{self.platform}_IW_GRDH_1S{polarizations}_{self.start:%Y%m%dT%H%M%S}_{self.stop:%Y%m%dT%H%M%S}"
            f"_{self.orbit:06d}_{self.data_take:06X}_{identifier}"
        )

    def image_number(self, polarization: str) -> int:
        """Return the number of a polarization's image in the product, from 1.

        Raises:
            SettingError: where the scene does not have it.
        """
        _check_choice("polarization", polarization, self.polarizations)
        return self.polarizations.index(polarization) + 1

    def image_name(self, polarization: str) -> str:
        """Return the stem that a polarization's measurement and annotation share."""
        return (
            f"{self.platform}-iw-grd-{polarization}-{self.start:%Y%m%dt%H%M%S}-{self.stop:%Y%m%dt%H%M%S}"
            f"-{self.orbit:06d}-{self.data_take:06x}-{self.image_number(polarization):03d}"
        ).lower()

    def time_of(self, row: int) -> datetime:
        """Return the zero-Doppler time of a row."""
        return self.start + timedelta(seconds=row * LINE_INTERVAL_S)

    def swath_positions(self, cols: npt.ArrayLike) -> Floats64:
        """Return where columns lie across the full swath, 0 (near) to 1 (far), in the shape of ``cols``."""
        offset = max(SWATH_SAMPLES - self.width, 0) // 2
        return np.minimum((np.asarray(cols, dtype=np.float64) + offset) / (SWATH_SAMPLES - 1), 1.0)


class GridPoint(NamedTuple):
    """A point of the geolocation grid: pixels, degrees in EPSG:4326, metres above the ellipsoid."""

    row: int
    col: int
    latitude: float
    longitude: float
    height_m: float = 36.0


_ANCHOR = GridPoint(0, 0, -17.6989, 34.9827)
_METRES_PER_DEGREE = 111_320.0
_GRID_SHAPE = (10, 21)
_HEADING_DEG = {"ASCENDING": -12.2, "DESCENDING": -167.8}


def geolocation_grid(scene: SimulatedScene) -> tuple[GridPoint, ...]:
    """Spread the grid of a real product, 10 x 21 points from corner to corner, over a scene; row by row."""
    rows = np.linspace(0, scene.height - 1, _GRID_SHAPE[0]).astype(int)
    cols = np.unique(np.linspace(0, scene.width - 1, _GRID_SHAPE[1]).astype(int))
    return tuple(_locate(scene, int(row), int(col)) for row in rows for col in cols)


def footprint(scene: SimulatedScene) -> tuple[GridPoint, ...]:
    """Return the four corners in the manifest's order: last row first column, then around."""
    last_row, last_col = scene.height - 1, scene.width - 1
    corners = ((last_row, 0), (last_row, last_col), (0, last_col), (0, 0))
    return tuple(_locate(scene, row, col) for row, col in corners)


def _locate(scene: SimulatedScene, row: int, col: int) -> GridPoint:
    """Place a pixel on a locally flat earth: rows go along the heading, columns to its right."""
    heading = math.radians(_HEADING_DEG[scene.orbit_pass])
    north_px = row * math.cos(heading) - col * math.sin(heading)
    east_px = row * math.sin(heading) + col * math.cos(heading)
    latitude = _ANCHOR.latitude + north_px * PIXEL_SPACING_M / _METRES_PER_DEGREE
    metres_per_degree_east = _METRES_PER_DEGREE * math.cos(math.radians(_ANCHOR.latitude))
    return GridPoint(row, col, latitude, _ANCHOR.longitude + east_px * PIXEL_SPACING_M / metres_per_degree_east)


def incidence_deg(positions: Floats64) -> Floats64:
    """Return the incidence angle at swath positions, from three real values."""
    return np.interp(positions, (0.0, 0.5, 1.0), (30.3, 38.8, 46.0))


def elevation_deg(positions: Floats64) -> Floats64:
    """Return the elevation angle at swath positions, from three real values."""
    return np.interp(positions, (0.0, 0.5, 1.0), (27.03, 34.39, 40.38))


def slant_range_s(positions: Floats64) -> Floats64:
    """Return the two-way slant range time at swath positions, from three real values."""
    return np.interp(positions, (0.0, 0.5, 1.0), (5.344542e-3, 5.836239e-3, 6.419539e-3))


# fmt: off
_NOISE_RANGE_DN2 = {
    "co": (2359, 1663, 1530, 1395, 1250, 1394, 1194, 867, 743, 712, 817, 1253, 448, 340, 376, 603, 1420),
    "cross": (2765, 1930, 1765, 1607, 1446, 1598, 1365, 996, 866, 839, 967, 1447, 491, 371, 415, 672, 1597),
}
# fmt: on
"""noiseRangeLut of the real product: VV ("co") and VH ("cross"), its first vector, every 1600th column."""

_NOISE_STEP_PX = 1600
_SCALLOPING_PERIOD_PX = 1850.0
_SCALLOPING_PEAK = 0.1


def is_cross_polarized(polarization: str) -> bool:
    """Tell whether another polarization is received than was sent."""
    return polarization[0] != polarization[1]


def noise_range_dn2(polarization: str, positions: Floats64) -> Floats64:
    """Return the thermal noise at swath positions, in DN squared."""
    values = _NOISE_RANGE_DN2["cross" if is_cross_polarized(polarization) else "co"]
    known = np.arange(len(values)) * (_NOISE_STEP_PX / (SWATH_SAMPLES - 1))
    return np.interp(positions, known, values)


def noise_azimuth_factor(rows: npt.ArrayLike) -> Floats64:
    """Return the factor on the thermal noise at rows, 1 to 1.1: its scalloping over the bursts."""
    phase = np.asarray(rows, dtype=np.float64) * (2 * math.pi / _SCALLOPING_PERIOD_PX)
    return 1 + _SCALLOPING_PEAK / 2 * (1 - np.cos(phase))


def _check_integer(name: str, value: int, least: int, most: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise SettingError(f"{name}: expected an integer from {least} to {most}, found {value!r}")


def _check_choice(name: str, value: object, choices: tuple[object, ...]) -> None:
    if value not in choices:
        raise SettingError(f"{name}: expected one of {', '.join(map(repr, choices))}, found {value!r}")
