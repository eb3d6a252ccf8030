"""What converting rasters will give, told from a few rows of patches of them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import numpy.typing as npt

from sar_h5.bands import raster_nbytes
from sar_h5.cutting import PatchBatch, Stored, cut_bands
from sar_h5.encoding import DnEncoder, FloatEncoder, Storage, float_storage, mask_dn, palette_storage
from sar_h5.errors import BoundsError, SourceError
from sar_h5.forecasts.forecast import (
    MOST_PATCHES,
    PIXELS_DECIDE,
    SAMPLED_PLACES,
    SAMPLED_SCENES,
    Forecast,
    Sample,
    Work,
    make_forecast,
)
from sar_h5.job import given_bounds, spread, why_no_palette
from sar_h5.palette import MAX_LEVELS, find_levels, with_invalid
from sar_h5.quantiles import Counts, add_dn
from sar_h5.radiometry import Bounds, Floats
from sar_h5.raster_job import expect_blocks
from sar_h5.raster_units import resolve_units
from sar_h5.settings import AUTO, ConvertSettings
from sar_h5.sources.scene import RasterScene
from sar_h5.survey import dn_bounds
from sar_h5.units import Units, pixels_to_db, row_pieces

_PIECE_PIXELS = 1 << 20
"""Pixels that are kept of each row of patches."""

Pixels = npt.NDArray[Any]

Place = tuple[RasterScene, Pixels]
"""A scene, and pixels (P, w) of it."""


def forecast_rasters(
    scenes: Sequence[RasterScene], counts: Counts | None, settings: ConvertSettings, polarization: str
) -> Forecast:
    """Tell from samples what rasters will become.

    Args:
        scenes: of one polarization, none smaller than a patch.
        counts: uint64 (65536,), digital numbers of all of them where these are known, or None.
        settings: of the conversion.
        polarization: theirs.

    Raises:
        RadiometryError: where the units are in doubt.
        BoundsError: where the bounds leave no range.
        SettingError: where the settings cannot hold the pixels.
    """
    sample = Sample()
    units = resolve_units(scenes, settings.units)
    places = list(_read_places(scenes, settings, sample))
    bounds, bounds_note, passes = _raster_bounds(places, counts, units, settings, polarization)
    storage, note = float_storage(), ""
    if bounds is not None:
        encoder, storage, note = _raster_encoder(places, units, bounds, settings)
        passes += bool(note) and storage.lut is not None
        for scene, pixels in places:
            _cut_sample(encoder, scene, pixels, settings, sample)
    patches = sum(settings.grid.count(scene.info.height, scene.info.width) for scene in scenes)
    read_nbytes, blocks = passes * raster_nbytes(scenes), expect_blocks(scenes, settings)
    work = Work(polarization, patches, settings.grid.patch_size, read_nbytes, settings.threads, blocks)
    return make_forecast(bounds, bounds_note, storage, note, sample, work, settings)


def _read_places(scenes: Sequence[RasterScene], settings: ConvertSettings, sample: Sample) -> Iterator[Place]:
    """Read rows of patches of a few scenes, each from edge to edge, and keep a piece, further right each time."""
    grid = settings.grid
    chosen = [
        (scene, row)
        for scene in spread(scenes, SAMPLED_SCENES)
        for row in spread(grid.starts(scene.info.height), SAMPLED_PLACES)
    ]
    for number, (scene, row) in enumerate(chosen):
        started = time.perf_counter()
        with suppress(SourceError):  # the check names it
            pixels = scene.rows(row, row + grid.patch_size)
            sample.read_seconds += time.perf_counter() - started
            sample.read_nbytes += pixels.nbytes
            width = min(max(grid.patch_size, _PIECE_PIXELS // grid.patch_size), scene.info.width)
            left = (scene.info.width - width) * number // max(len(chosen) - 1, 1)
            yield scene, pixels[:, left : left + width].copy()


def _raster_bounds(
    places: Sequence[Place], counts: Counts | None, units: Units, settings: ConvertSettings, polarization: str
) -> tuple[Bounds | None, str, int]:
    """Return the bounds, how they come about, and how many passes over all pixels the conversion makes."""
    given = given_bounds(settings, polarization)
    if given is not None:
        return given, given.origin, 1
    if counts is not None and not settings.bounds_from:
        bounds = dn_bounds(counts, settings.percentiles)
        return bounds, bounds.origin, 2
    low, high = settings.percentiles
    note = f"percentiles {low:g} and {high:g}: {PIXELS_DECIDE}"
    try:
        guess = _guess_bounds(places, units, settings.percentiles)
    except BoundsError:  # the sample may be all sea, or all border
        return None, note, 2
    return guess, f"{note}; these are of a sample", 2 if units == Units.DN else 3


def _guess_bounds(places: Sequence[Place], units: Units, percentiles: tuple[float, float]) -> Bounds:
    if units == Units.DN:
        counts = np.zeros(1 << 16, dtype=np.uint64)
        for scene, pixels in places:
            add_dn(counts, mask_dn(pixels, scene.nodata))
        if np.count_nonzero(counts) < 2:
            raise BoundsError("expected two different digital numbers in the sample")
        return dn_bounds(counts, percentiles)
    valid = [db[~invalid] for scene, pixels in places for db, invalid in _to_db(scene, pixels, units)]
    values = np.concatenate([*valid, np.empty(0, dtype=np.float32)])
    if not values.size:
        raise BoundsError("expected valid pixels in the sample")
    vmin, vmax = np.percentile(values, percentiles)
    return Bounds(float(vmin), float(vmax), "a sample")


def _to_db(scene: RasterScene, pixels: Pixels, units: Units) -> Iterator[tuple[Floats, Pixels]]:
    for rows in row_pieces(*pixels.shape):
        yield pixels_to_db(pixels[rows], units, scene.nodata)


def _raster_encoder(
    places: Sequence[Place], units: Units, bounds: Bounds, settings: ConvertSettings
) -> tuple[DnEncoder | FloatEncoder, Storage, str]:
    measure = settings.valid_measure
    if units == Units.DN:
        encoder = DnEncoder("palette" if settings.encoding == AUTO else settings.encoding, bounds, measure)  # type: ignore[arg-type]  # checked by the settings
        return encoder, encoder.storage, ""
    plain = FloatEncoder(float_storage(), units, bounds, measure)
    if settings.encoding == "float32":
        return plain, plain.storage, ""
    values = (plain.encode(pixels, scene.nodata).stored for scene, pixels in places)
    levels = find_levels(values, MAX_LEVELS - 1)  # type: ignore[arg-type]  # not by a palette, so values
    if levels is None or not len(levels):
        return plain, plain.storage, why_no_palette(settings) if places else ""
    storage = palette_storage(with_invalid(levels), from_dn=False)
    return FloatEncoder(storage, units, bounds, measure), storage, f"which values there are {PIXELS_DECIDE}"


def _cut_sample(
    encoder: DnEncoder | FloatEncoder,
    scene: RasterScene,
    pixels: Pixels,
    settings: ConvertSettings,
    sample: Sample,
) -> None:
    started = time.perf_counter()
    band = encoder.encode(pixels, scene.nodata)
    sample.encode_seconds += time.perf_counter() - started
    sample.encode_nbytes += pixels.nbytes
    grid = settings.grid
    batches = cut_bands([band], grid.patch_size, pixels.shape[1], grid, 0.0)
    kept: list[Stored] = []
    best: list[tuple[float, Stored]] = []
    for batch in batches:
        sample.patches += len(batch.cols)
        passing = np.flatnonzero(batch.valid_fraction >= settings.raster_min_valid).tolist()
        sample.kept += len(passing)
        kept += [batch.patches[place].copy() for place in spread(passing, MOST_PATCHES)]
        most = int(np.argmax(batch.valid_fraction))
        best.append((float(batch.valid_fraction[most]), batch.patches[most].copy()))
    fullest = max(best, key=lambda one: one[0])[1]
    chosen = np.stack(spread(kept, MOST_PATCHES) or [fullest])
    nothing = np.zeros(len(chosen), dtype=np.int32)
    sample.batches.append(PatchBatch(chosen, nothing, nothing, nothing.astype(np.float32)))
