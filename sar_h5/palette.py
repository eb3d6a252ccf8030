"""Values to integer codes and back, without loss: sorted distinct values are the table, the position is the code."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sar_h5.conversion_kernels import CELLS, collect_distinct, encode_patches
from sar_h5.radiometry import DN_COUNT, Bounds, Floats, scale_all_dn, to_db

Codes = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]

MAX_LEVELS = 1 << 16
"""The most distinct values that codes of two bytes tell apart."""

INVALID_CODE = 0
"""The code of pixels without data in files made from rasters; its value is 0.0."""

_SIGN_BIT = np.uint32(1 << 31)
_NO_VALUE = np.uint32(0xFFFFFFFF)
_ANYTHING = (np.float32(-np.inf), np.float32(np.inf))


def code_dtype(levels: int) -> np.dtype[np.uint8] | np.dtype[np.uint16]:
    """Return the smallest unsigned dtype that tells ``levels`` codes apart."""
    return np.dtype(np.uint8) if levels <= 1 << 8 else np.dtype(np.uint16)


class NotInPaletteError(ValueError):
    """A value that the palette does not hold; a signal between stages, never shown to a user."""


@dataclass(frozen=True)
class Palette:
    """A table of values in [0, 1] and, for values computed on the fly, the way back to codes.

    Attributes:
        lut: float32 (K,), ``value = lut[code]``; distinct and rising, but for ``invalid_code``.
        invalid_code: the code of pixels without data (0, its value 0.0), or None where the table has none.
    """

    lut: Floats
    invalid_code: int | None = None

    @property
    def dtype(self) -> np.dtype[np.uint8] | np.dtype[np.uint16]:
        """The dtype of the codes."""
        return code_dtype(len(self.lut))

    @property
    def first_level(self) -> int:
        """The code of the smallest value: 1 where code 0 means no data."""
        return 0 if self.invalid_code is None else 1


def with_invalid(levels: Floats) -> Palette:
    """Put the code for invalid pixels, 0 with value 0.0, before sorted distinct levels."""
    return Palette(np.concatenate([np.zeros(1, dtype=np.float32), levels]), invalid_code=INVALID_CODE)


def as_codes(numbers: npt.NDArray[np.integer[Any]], palette: Palette) -> Codes:
    """Cast numbers to the dtype of a palette's codes."""
    return numbers.astype(np.uint8) if palette.dtype == np.uint8 else numbers.astype(np.uint16)


def dn_palette(bounds: Bounds) -> tuple[Palette, Codes]:
    """Build the palette of digital numbers between two bounds.

    Args:
        bounds: the dB range.

    Returns:
        The palette (code 0 = invalid) and the codes of DN 0 to 65535, of shape (65536,).
    """
    # DN 0 stays out, so that its code and 65,535 levels fit two bytes where nothing is clipped.
    levels, positions = np.unique(scale_all_dn(bounds)[1:], return_inverse=True)
    palette = with_invalid(levels)
    return palette, as_codes(np.concatenate([[INVALID_CODE], positions.ravel() + 1]), palette)


def predict_palettes(bounds: Bounds) -> list[Palette]:
    """Predict the values of shards that the reference pipeline made from digital numbers.

    In practice the pipeline has run in float32 throughout; with bounds as Python numbers, whose difference NumPy 2
    rounds only once; in float64, rounded at the end; and with a float32 logarithm scaled in float64, as NumPy 2 does
    with float64 bounds. All four are candidates.

    Args:
        bounds: the dB range the shards were scaled with.

    Returns:
        Palettes without an invalid code, the reference first.
    """
    dn = np.arange(DN_COUNT, dtype=np.float64)
    dn[0] = 1e-10
    db64 = 10 * np.log10(dn)
    db32 = to_db(dn)
    span = bounds.vmax - bounds.vmin
    vmin, vmax = np.float32(bounds.vmin), np.float32(bounds.vmax)
    variants = (
        scale_all_dn(bounds),
        (np.clip(db32, vmin, vmax) - vmin) / np.float32(span),
        (np.clip(db64, bounds.vmin, bounds.vmax) - bounds.vmin) / span,
        (np.clip(db32.astype(np.float64), bounds.vmin, bounds.vmax) - bounds.vmin) / span,
    )
    levels = [np.unique(values.astype(np.float32)) for values in variants]
    return [Palette(rising) for rising in levels if rising[-1] <= 1]


class PaletteEncoder:
    """Turns float32 values into codes of a palette, or says that one does not fit.

    A table over 65,536 equal cells of [0, 1] gives the lowest code whose value lies in the value's cell; a binary
    search settles what that is not. Every result is compared with the value, bit for bit.

    Args:
        palette: the palette; values are matched against its levels, never against the invalid code.
    """

    def __init__(self, palette: Palette) -> None:
        self.palette = palette
        levels = palette.lut[palette.first_level :]
        self._levels = np.ascontiguousarray(levels).view(np.uint32)
        cells = (levels * np.float32(CELLS - 1)).astype(np.uint32)
        lowest = np.searchsorted(cells, np.arange(CELLS)).clip(max=len(levels) - 1)
        codes = (lowest + palette.first_level).astype(np.uint64)
        self._cells = codes << np.uint64(32) | self._levels[lowest].astype(np.uint64)

    def encode(self, values: Floats) -> Codes:
        """Return the codes of ``values``.

        Args:
            values: float32 in [0, 1] of any shape, without NaN.

        Returns:
            uint8 or uint16 of the same shape.

        Raises:
            NotInPaletteError: where a value is not one of the palette's, compared by bit pattern.
        """
        codes = np.empty(values.shape, dtype=self.palette.dtype)
        self.encode_into(np.ascontiguousarray(values).reshape(1, -1), codes.reshape(1, -1), _ANYTHING)
        return codes

    def encode_into(
        self, values: Floats, codes: npt.NDArray[Any], thresholds: tuple[np.float32, np.float32]
    ) -> npt.NDArray[np.int64]:
        """Fill ``codes`` with those of ``values``, and count values in the same pass.

        Args:
            values: float32 (n, pixels), C-contiguous; others than the palette's are refused, whatever they are.
            codes: (n, pixels) of the palette's dtype, C-contiguous.
            thresholds: what a value must be greater and less than to be counted.

        Returns:
            int64 (n,), how many values were counted in each row.

        Raises:
            NotInPaletteError: where a value is not one of the palette's, compared by bit pattern.
        """
        counted = np.empty(len(values), dtype=np.int64)
        bits = values.view(np.uint32)
        if not encode_patches(values, bits, self._cells, self._levels, *thresholds, codes, counted):
            raise NotInPaletteError
        return counted


def find_levels(batches: Iterable[Floats], most: int = MAX_LEVELS) -> Floats | None:
    """Search the distinct values of streamed batches, by bit pattern.

    Args:
        batches: float32 arrays in [0, 1] of any shape; read only as far as needed.
        most: how many distinct values are acceptable.

    Returns:
        float32 (K,), strictly rising, K <= ``most``; or None where there are more, or where a negative zero occurs
        (equal to zero as a number, so that no table could tell the two apart by order).
    """
    table = np.full(1 << (2 * most).bit_length(), _NO_VALUE, dtype=np.uint32)
    known = 0
    for batch in batches:
        known = collect_distinct(np.ascontiguousarray(batch).reshape(-1).view(np.uint32), table, known, most)
        if known < 0:
            return None
    found = np.sort(table[table != _NO_VALUE])
    return None if (found[-1:] & _SIGN_BIT).any() else found.view(np.float32)
