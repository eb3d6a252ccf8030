"""Which unit all rasters of a polarization share: as the user says, or guessed where there is no doubt."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from sar_h5.bands import band_height
from sar_h5.errors import RadiometryError, SourceError
from sar_h5.radiometry import Floats
from sar_h5.sources.scene import RasterScene
from sar_h5.units import Units, guess_units

_SAMPLED_BANDS = 8
_SAMPLED_ROWS = 64


def resolve_units(scenes: Sequence[RasterScene], asked: str) -> Units:
    """Say what the pixels of all scenes are.

    Args:
        scenes: the scenes of one polarization.
        asked: "dn", "linear", "db", or "auto".

    Raises:
        RadiometryError: where integers are called floats or the other way round, scenes differ, or floats leave a
        doubt.
    """
    integers = [scene for scene in scenes if scene.dtype == np.uint16]
    floats = [scene for scene in scenes if scene.dtype != np.uint16]
    if integers and floats:
        raise RadiometryError(
            f"found digital numbers ({integers[0].info.path}) and floats ({floats[0].info.path}) in one polarization; "
            "convert them into separate files, since they cannot share bounds"
        )
    if integers:
        if asked not in ("auto", Units.DN):
            raise RadiometryError(
                f"{integers[0].info.path}: uint16 pixels are digital numbers; --units {asked} is for floats"
            )
        return Units.DN
    if asked == Units.DN:
        raise RadiometryError(
            f"{floats[0].info.path}: expected uint16 digital numbers, found {floats[0].dtype}; pass --units linear "
            "or --units db"
        )
    return Units(asked) if asked != "auto" else _agree(floats)


def _agree(scenes: Sequence[RasterScene]) -> Units:
    guesses: list[tuple[RasterScene, Units]] = []
    for scene in scenes:
        # A scene that cannot be read, or holds no valid pixel, has no say here; the survey names it.
        with contextlib.suppress(SourceError):
            sample = _sample_valid(scene)
            if sample.size:
                guesses.append((scene, _guess_scene_units(scene, sample)))
    if not guesses:
        return Units.LINEAR
    for scene, units in guesses[1:]:
        if units != guesses[0][1]:
            first = guesses[0][0].info.path
            raise RadiometryError(
                f"{first} looks like {guesses[0][1]}, {scene.info.path} like {units}; convert them apart, or pass "
                "--units linear or --units db"
            )
    return guesses[0][1]


def _sample_valid(scene: RasterScene) -> Floats:
    """Return valid pixels of a float scene from a few places, or else the first in any place, if it has any at all."""
    height, rows = scene.info.height, min(_SAMPLED_ROWS, band_height(scene))
    starts = sorted({height * part // _SAMPLED_BANDS for part in range(_SAMPLED_BANDS)})
    samples = [_valid_floats(scene, scene.rows(start, min(start + rows, height))) for start in starts]
    if any(sample.size for sample in samples):
        return np.concatenate(samples)
    with scene.bands(rows) as bands:
        valid = (_valid_floats(scene, band) for band in bands)
        return next((sample for sample in valid if sample.size), samples[0])


def _valid_floats(scene: RasterScene, pixels: npt.NDArray[np.generic]) -> Floats:
    keep = np.isfinite(pixels) & (pixels != 0)
    if scene.nodata is not None:
        keep &= pixels != scene.dtype.type(scene.nodata)
    with np.errstate(over="ignore"):
        sample: Floats = pixels[keep].astype(np.float32)
    return sample


def _guess_scene_units(scene: RasterScene, sample: Floats) -> Units:
    units = guess_units(sample)
    if units is None:
        raise RadiometryError(
            f"{scene.info.path}: cannot tell whether its floats are linear or in dB (values from {sample.min():g} to "
            f"{sample.max():g}); pass --units linear or --units db"
        )
    return units
