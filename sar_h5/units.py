"""What the pixels of a raster are, and their way to dB: digital numbers, linear power, or dB already."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from sar_h5.radiometry import INVALID_FILL, Floats, Mask, as_float32, handle_invalid_values, to_db

PIECE_PIXELS = 1 << 16
"""How many pixels the float arithmetic takes at once: its dozen intermediate arrays then stay in the cache of a core,
and take little memory however many threads are at it."""


class Units(StrEnum):
    """What the pixels of a raster are."""

    DN = "dn"
    LINEAR = "linear"
    DB = "db"


QUANTITIES = {
    Units.DN: ("digital number of the detected amplitude", "1"),
    Units.LINEAR: ("backscatter, linear power", "1"),
    Units.DB: ("backscatter", "dB"),
}
"""What files say of each: the attributes ``quantity`` and ``units``."""


def row_pieces(height: int, width: int) -> Iterator[slice]:
    """Split the rows of an array (height, width) into consecutive pieces of about ``PIECE_PIXELS``."""
    step = max(1, PIECE_PIXELS // width)
    return (slice(start, min(start + step, height)) for start in range(0, height, step))


def pixels_to_db(pixels: npt.NDArray[Any], units: Units, nodata: float | None) -> tuple[Floats, Mask]:
    """Convert pixels of a raster to dB, each unit in its own way.

    Args:
        pixels: uint16, float32 or float64 of any shape.
        units: what they are; values in dB are taken as they are.
        nodata: value that means no data, or None.

    Returns:
        float32 dB (-100 where invalid) and the bool mask of invalid pixels, both of the same shape.
    """
    missing = _is_nodata(pixels, nodata)
    if units == Units.DB:
        db = as_float32(pixels)
        invalid: Mask = missing | ~np.isfinite(db)
        db[invalid] = to_db(INVALID_FILL)
        return db, invalid
    values, invalid = handle_invalid_values(pixels)
    invalid |= missing
    values[invalid] = INVALID_FILL
    return to_db(values), invalid


def _is_nodata(pixels: npt.NDArray[Any], nodata: float | None) -> Mask:
    if nodata is None:
        return np.zeros(pixels.shape, dtype=bool)
    if pixels.dtype.kind == "f":
        with np.errstate(over="ignore"):
            nodata = pixels.dtype.type(nodata)  # rasters declare it in float64: 0.1 must match float32 pixels
    return np.asarray(pixels == nodata)


def guess_units(sample: npt.NDArray[np.floating[Any]]) -> Units | None:
    """Tell whether float backscatter is linear or in dB, where there is no doubt.

    Linear power has no negative values, and its median over any natural scene is far below 1 (0 dB); values in dB are
    mostly negative. Anything else (amplitudes, dB of digital numbers, which are positive) stays in doubt.

    Args:
        sample: valid pixels, finite, of any shape.

    Returns:
        The unit, or None where there is doubt.
    """
    if sample.size == 0:
        return None
    negative = float(np.mean(sample < 0))
    if negative > 0.5 and float(sample.min()) > -100:
        return Units.DB
    if negative == 0 and float(np.median(sample)) < 1 and float(np.percentile(sample, 99)) < 100:
        return Units.LINEAR
    return None
