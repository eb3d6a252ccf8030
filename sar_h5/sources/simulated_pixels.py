"""The pixels of a simulated scene: multi-look speckle over textured backscatter, pure in settings and rows.

Every random number belongs to one row, or to one row of a coarse lattice, and is drawn from a generator that
is keyed by it. So the pixels do not depend on the bands in which they are asked for, and memory does not grow
with the scene. Arithmetic goes row by row for the same reason: vectorised functions may round the end of an
array differently from its middle.

Speckle is independent from pixel to pixel; in real products neighbours are slightly correlated. NumPy may
change its distributions between releases (NEP 19), and the pixels with them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sar_h5.errors import SettingError
from sar_h5.sources.simulated_scene import (
    SimulatedScene,
    is_cross_polarized,
    noise_azimuth_factor,
    noise_range_dn2,
)

Floats = npt.NDArray[np.float32]
Octaves = tuple[tuple[int, float], ...]


@dataclass(frozen=True)
class _Surface:
    """How bright the ground is in one kind of polarization.

    Attributes:
        land_db: DN squared of bare land, in dB; the default scene's median DN follows from it.
        water_db: DN squared of water, in dB, without the noise that lies above it.
        relief: how strongly slopes show.
        growth: how strongly vegetation shows.
    """

    land_db: float
    water_db: float
    relief: float
    growth: float


# Levels after the decimated real scene S1A_IW_GRDH_1SDV_20180716T004042_..._FD5B: its medians are DN 231 (VV)
# and 110 (VH), its water lies at about 105 and 27. HH and HV are taken to be like VV and VH.
_CO = _Surface(land_db=48.0, water_db=39.8, relief=1.0, growth=1.0)
_CROSS = _Surface(land_db=41.35, water_db=20.0, relief=0.8, growth=1.6)

_RELIEF: Octaves = ((9, 1.0), (19, 1.8), (43, 3.0), (101, 4.0))
_GROWTH: Octaves = ((5, 0.5), (23, 0.7), (61, 0.7), (157, 0.8))
_WATER: Octaves = ((11, 0.12), (29, 0.25), (67, 0.5), (149, 0.9))
_REGION: Octaves = ((83, 0.5), (211, 1.0))
"""Lattice spacings in pixels, with amplitudes; common factors of the spacings would show as a grid."""

_STREAMS = ("relief", "growth", "water", "region", "parcels", "targets", "edge", "VV", "VH", "HH", "HV")
_WATER_LEVEL = -1.05
_SHORE = 0.08
_SLOPE_GAIN_DB = 8.0
_SLOPE_LIMITS_DB = (-5.0, 9.0)
_PARCEL_PX = (47.0, 29.0)
_PARCEL_DB = 2.5
_PARCEL_PERIOD = 256  # a power of two, so that the pattern wraps with a mask
_PARCEL_SLANT = 0.21
_TARGET_CELL_PX = 48
_TARGET_SHARE = 0.03
_TARGET_REACH_PX = 3
_TARGET_SPREAD_PX2 = 1.5
_TARGET_GAIN_LOG10 = (0.8, 2.3)
_EDGE_STEP_PX = 64


def simulate_rows(scene: SimulatedScene, polarization: str, start: int, stop: int) -> npt.NDArray[np.uint16]:
    """Simulate consecutive rows of a scene.

    Args:
        scene: its settings.
        polarization: one of the scene's.
        start: the first row.
        stop: the row after the last.

    Returns:
        Digital numbers, uint16 (stop - start, W): amplitudes of at least 1, and 0 in the borders.

    Raises:
        SettingError: where the scene has no such polarization or rows.
    """
    ground = _Ground(scene, polarization, start, stop)
    stream = _STREAMS.index(polarization)
    pixels = np.zeros((stop - start, scene.width), dtype=np.uint16)
    for row in range(max(start, scene.zero_rows), min(stop, scene.height - scene.zero_rows)):
        speckle = _generator(scene.seed, stream, row).standard_gamma(scene.looks, scene.width, dtype=np.float32)
        amplitude = np.sqrt(ground.row(row) * speckle / np.float32(scene.looks))
        valid = _valid_columns(scene, row)
        pixels[row - start, valid] = np.rint(amplitude).clip(1, np.iinfo(np.uint16).max)[valid]
    return pixels


def backscatter_rows(scene: SimulatedScene, polarization: str, start: int, stop: int) -> Floats:
    """Return what :func:`simulate_rows` multiplies with speckle of mean 1; its arguments and errors.

    Returns:
        Mean intensity in DN squared, thermal noise included, float32 (stop - start, W); without borders.
    """
    ground = _Ground(scene, polarization, start, stop)
    backscatter = np.empty((stop - start, scene.width), dtype=np.float32)
    for row in range(start, stop):
        backscatter[row - start] = ground.row(row)
    return backscatter


class _Ground:
    """The backscatter of a scene, row by row; consecutive rows reuse the lattice rows around them."""

    def __init__(self, scene: SimulatedScene, polarization: str, start: int, stop: int) -> None:
        scene.image_number(polarization)
        if not 0 <= start <= stop <= scene.height:
            raise SettingError(f"rows: expected 0 <= start <= stop <= {scene.height}, found {start} to {stop}")
        seed, width = scene.seed, scene.width
        self._surface = _CROSS if is_cross_polarized(polarization) else _CO
        self._relief = _SmoothField(seed, "relief", _RELIEF, width)
        self._growth = _SmoothField(seed, "growth", _GROWTH, width)
        self._water = _SmoothField(seed, "water", _WATER, width)
        self._region = _SmoothField(seed, "region", _REGION, width)
        self._parcels = _Parcels(seed, width)
        self._targets = _Targets(seed, width)
        positions = scene.swath_positions(np.arange(width))
        self._noise = noise_range_dn2(polarization, positions).astype(np.float32)

    def row(self, row: int) -> Floats:
        """Return the mean intensity of a row in DN squared, float32 (W,)."""
        surface = self._surface
        region = self._region.row(row)
        # The sensor looks from the first column to the last: slopes that rise in this direction are bright.
        heights = self._relief.row(row)
        slope = np.diff(heights, append=heights[-1:]) * _soft_step(region, 0.5, 1.0)
        land = surface.growth * self._growth.row(row) + self._parcels.row(row) * _soft_step(-region, 0.2, 0.6)
        land += surface.land_db + surface.relief * np.clip(slope * _SLOPE_GAIN_DB, *_SLOPE_LIMITS_DB)
        wet = _soft_step(_WATER_LEVEL - self._water.row(row), 0, _SHORE)
        level_db = land + wet * (surface.water_db - land)
        intensity = np.exp(level_db * (math.log(10) / 10)) * self._targets.row(row)
        total: Floats = intensity + self._noise * np.float32(noise_azimuth_factor(row))
        return total


class _SmoothField:
    """A sum of random lattices, each interpolated bilinearly with eased weights."""

    def __init__(self, seed: int, stream: str, octaves: Octaves, width: int) -> None:
        self._lattices = [
            _Lattice((seed, _STREAMS.index(stream), number), spacing_px, amplitude, width)
            for number, (spacing_px, amplitude) in enumerate(octaves)
        ]

    def row(self, row: int) -> Floats:
        total = self._lattices[0].row(row)
        for lattice in self._lattices[1:]:
            total += lattice.row(row)
        return total


class _Lattice:
    def __init__(self, key: tuple[int, int, int], spacing_px: int, amplitude: float, width: int) -> None:
        self._key = key
        self._spacing_px = spacing_px
        self._amplitude = np.float32(amplitude)
        cols = np.arange(width)
        self._left = cols // spacing_px
        self._weight = _ease((cols % spacing_px / spacing_px).astype(np.float32))
        self._lines: dict[int, Floats] = {}

    def row(self, row: int) -> Floats:
        line, within = divmod(row, self._spacing_px)
        above, below = self._line(line), self._line(line + 1)
        self._lines = {line: above, line + 1: below}
        between: Floats = above + _ease(np.float32(within / self._spacing_px)) * (below - above)
        return between

    def _line(self, line: int) -> Floats:
        if line in self._lines:
            return self._lines[line]
        seed, stream, number = self._key
        nodes = _generator(seed, stream, line, number).standard_normal(self._left[-1] + 2, dtype=np.float32)
        nodes *= self._amplitude
        between: Floats = nodes[self._left] + self._weight * np.diff(nodes)[self._left]
        return between


class _Parcels:
    """Fields: a slanted brick pattern, every brick with a level of its own, in dB."""

    def __init__(self, seed: int, width: int) -> None:
        generator = _generator(seed, _STREAMS.index("parcels"), 0)
        shape = (_PARCEL_PERIOD, _PARCEL_PERIOD)
        self._levels_db = generator.uniform(-_PARCEL_DB, _PARCEL_DB, shape).astype(np.float32)
        self._offsets = generator.uniform(0, 4, _PARCEL_PERIOD).astype(np.float32)
        cols = np.arange(width, dtype=np.float32)
        self._along = cols / np.float32(_PARCEL_PX[1])
        self._across = cols * np.float32(_PARCEL_SLANT / _PARCEL_PX[0])

    def row(self, row: int) -> Floats:
        bed = (self._across + np.float32(row / _PARCEL_PX[0])).astype(np.intp) & (_PARCEL_PERIOD - 1)
        shift = np.float32(_PARCEL_PERIOD - _PARCEL_SLANT * row / _PARCEL_PX[1] % _PARCEL_PERIOD)
        brick = (self._along + shift + self._offsets[bed]).astype(np.intp) & (_PARCEL_PERIOD - 1)
        levels: Floats = self._levels_db[bed, brick]
        return levels


class _Targets:
    """Bright points, at most one in a cell of the lattice: a factor on the backscatter."""

    def __init__(self, seed: int, width: int) -> None:
        self._seed = seed
        self._width = width
        self._cells = width // _TARGET_CELL_PX
        self._line = -1
        self._rows = self._cols = np.empty(0, dtype=np.int64)
        self._gains = np.empty(0)

    def row(self, row: int) -> Floats:
        line, within = divmod(row, _TARGET_CELL_PX)
        if line != self._line:
            self._draw(line)
        factors = np.ones(self._width, dtype=np.float32)
        near = np.abs(self._rows - within) <= _TARGET_REACH_PX
        reach = np.arange(-_TARGET_REACH_PX, _TARGET_REACH_PX + 1)
        distance2_px = (self._rows[near, None] - within) ** 2 + reach**2
        blobs = self._gains[near, None] * np.exp(-distance2_px / _TARGET_SPREAD_PX2)
        factors[self._cols[near, None] + reach] += blobs
        return factors

    def _draw(self, line: int) -> None:
        """Draw the targets of one line of cells; each stays in its cell with its reach, so no two overlap."""
        generator = _generator(self._seed, _STREAMS.index("targets"), line)
        self._line = line
        place = generator.integers(_TARGET_REACH_PX, _TARGET_CELL_PX - _TARGET_REACH_PX, (2, self._cells))
        gains = 10 ** generator.uniform(*_TARGET_GAIN_LOG10, self._cells)
        present = np.flatnonzero(generator.random(self._cells) < _TARGET_SHARE)
        self._rows = place[0, present]
        self._cols = place[1, present] + present * _TARGET_CELL_PX
        self._gains = gains[present]


def _valid_columns(scene: SimulatedScene, row: int) -> slice:
    """Return the columns of a row between its zero-filled sides, whose edges are slanted and stepped."""
    generator = _generator(scene.seed, _STREAMS.index("edge"), row // _EDGE_STEP_PX)
    slant = row / scene.height
    left, right = scene.border_px * (0.5 + 0.3 * np.array((slant, 1 - slant)) + 0.2 * generator.random(2))
    return slice(round(left), scene.width - round(right))


def _generator(seed: int, stream: int, line: int, number: int = 0) -> np.random.Generator:
    return np.random.Generator(np.random.SFC64((seed, stream, line, number)))


def _ease(weight: Floats | np.float32) -> Floats:
    """Bend a linear weight so that the field has no creases at the lattice: 3 w**2 - 2 w**3."""
    return np.asarray(weight * weight * (3 - 2 * weight), dtype=np.float32)


def _soft_step(values: Floats, middle: float, width: float) -> Floats:
    """Rise from 0 to 1 around ``middle``, linearly over ``width``."""
    step: Floats = np.clip((values - np.float32(middle)) / np.float32(width) + np.float32(0.5), 0, 1)
    return step
