"""Source pixels to what is stored: one encoder per kind of source, each exact or refusing."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from sar_h5.buffers import BufferPool
from sar_h5.conversion_kernels import count_between, encode_dn
from sar_h5.cutting import Band, Stored
from sar_h5.palette import INVALID_CODE, Codes, Palette, PaletteEncoder, dn_palette
from sar_h5.quantiles import Counts
from sar_h5.radiometry import (
    DN_COUNT,
    INSIDE_HIGH,
    INSIDE_LOW,
    Bounds,
    Floats,
    Mask,
    is_inside,
    scale_all_dn,
    scale_db,
)
from sar_h5.schema import Encoding
from sar_h5.settings import VALID_MEASURES, ValidMeasure
from sar_h5.units import Units, pixels_to_db, row_pieces


@dataclass(frozen=True)
class Storage:
    """How the values of a file are stored.

    Attributes:
        encoding: "palette", "dn" or "float32".
        lut: float32 (K,), value of each code; None for float32.
        invalid_code: the code of pixels without data, or None.
        dtype: of ``/patches``.
        from_dn: whether codes stand for digital numbers.
        reason: why another encoding than asked for was taken, in words; empty where there is nothing to say.
    """

    encoding: Encoding
    lut: Floats | None
    invalid_code: int | None
    dtype: np.dtype[np.generic]
    from_dn: bool
    reason: str = ""


def palette_storage(palette: Palette, *, from_dn: bool) -> Storage:
    """Describe storage by the codes of a palette."""
    return Storage("palette", palette.lut, palette.invalid_code, palette.dtype, from_dn)


def float_storage(reason: str = "") -> Storage:
    """Describe storage of the float32 values themselves."""
    return Storage("float32", None, None, np.dtype("<f4"), from_dn=False, reason=reason)


class DnEncoder:
    """Encodes digital numbers by tables of 65,536 entries.

    Args:
        encoding: "palette", "dn" or "float32".
        bounds: the dB range.
        measure: what counts as valid.
    """

    def __init__(self, encoding: Encoding, bounds: Bounds, measure: ValidMeasure) -> None:
        values = scale_all_dn(bounds)
        self._table: Codes | Floats
        if encoding == "palette":
            palette, self._table = dn_palette(bounds)
            self.storage = palette_storage(palette, from_dn=True)
        elif encoding == "dn":
            self._table = np.arange(len(values), dtype=np.uint16)
            self.storage = Storage("dn", values, INVALID_CODE, self._table.dtype, from_dn=True)
        else:
            self._table = values
            self.storage = float_storage()
        # Values rise with the digital number, so those that count are neighbours.
        counted = np.flatnonzero(is_inside(values) if measure == "range" else np.arange(len(values)) > 0)
        self._first, self._last = (int(counted[0]), int(counted[-1])) if len(counted) else (1, 0)
        self._buffers = BufferPool()

    def encode(self, pixels: npt.NDArray[np.uint16], nodata: float | None, counts: Counts | None = None) -> Band:
        """Encode digital numbers.

        Args:
            pixels: uint16 (h, W).
            nodata: declared value of pixels without data, which become invalid (DN 0), or None.
            counts: uint64 (65536,), to add the valid digital numbers to, or None.

        Returns:
            The band, in memory that is used again once it is dropped.
        """
        stored = self._buffers.take(pixels.shape, self._table.dtype)
        counted: Mask = self._buffers.take(pixels.shape, np.bool_).view(np.bool_)
        encode_dn(
            np.ascontiguousarray(pixels).reshape(-1),
            nodata_dn(nodata),
            self._table,
            self._first,
            self._last,
            stored.reshape(-1),
            counted.reshape(-1),
            counts,
        )
        if counts is not None:
            counts[INVALID_CODE] = 0
        return Band(stored, counted)


def nodata_dn(nodata: float | None) -> int:
    """Return the digital number that means no data beside 0, or 0 where there is none."""
    return int(nodata) if nodata is not None and 0 < nodata < DN_COUNT and nodata == int(nodata) else 0


def mask_dn(pixels: npt.NDArray[np.uint16], nodata: float | None) -> npt.NDArray[np.uint16]:
    """Return digital numbers with the declared ``nodata`` value turned to 0, which means no data everywhere else."""
    missing = nodata_dn(nodata)
    return np.where(pixels == missing, np.uint16(0), pixels) if missing else pixels


class FloatEncoder:
    """Encodes float backscatter by the reference pipeline, into values or codes of a palette.

    Args:
        storage: as values, or by a palette with an invalid code that holds all values.
        units: what the pixels are.
        bounds: the dB range.
        measure: what counts as valid.
    """

    def __init__(self, storage: Storage, units: Units, bounds: Bounds, measure: ValidMeasure) -> None:
        self.storage = storage
        self._units, self._bounds, self._measure = units, bounds, measure
        self._palette = None if storage.lut is None else PaletteEncoder(Palette(storage.lut, storage.invalid_code))
        self._buffers = BufferPool()

    def encode(self, pixels: npt.NDArray[np.floating], nodata: float | None) -> Band:
        """Encode pixels (h, W); NaN, infinities and the declared ``nodata`` value become invalid (value 0)."""
        stored = self._buffers.take(pixels.shape, self.storage.dtype)
        counted: Mask = self._buffers.take(pixels.shape, np.bool_).view(np.bool_)
        for rows in row_pieces(*pixels.shape):
            db, invalid = pixels_to_db(pixels[rows], self._units, nodata)
            values = scale_db(db, self._bounds)
            values[invalid] = 0
            counted[rows] = is_inside(values) if self._measure == "range" else ~invalid
            if self._palette is None:
                stored[rows] = values
            else:
                stored[rows] = self._palette.encode(values)
                stored[rows][invalid] = INVALID_CODE
        return Band(stored, counted)


class PatchEncoder(Protocol):
    """Encodes patches that were cut before; threads may share one.

    Attributes:
        storage: how they are stored.
    """

    storage: Storage

    def encode(self, values: npt.NDArray[Any], measure: ValidMeasure) -> tuple[Stored, npt.NDArray[np.float64]]:
        """Return patches (n, P, P) as they are stored, and the valid fraction of each."""


class DnPatchEncoder:
    """Encodes patches of digital numbers; threads may share one.

    Args:
        encoding: "palette", "dn" or "float32".
        bounds: the dB range.
    """

    def __init__(self, encoding: Encoding, bounds: Bounds) -> None:
        self._encoders = {measure: DnEncoder(encoding, bounds, measure) for measure in VALID_MEASURES}
        # Codes of a palette are known to stand for digital numbers by the histogram, which single patches do not give.
        self.storage = dataclasses.replace(self._encoders["range"].storage, from_dn=encoding == "dn")

    def encode(self, values: npt.NDArray[Any], measure: ValidMeasure) -> tuple[Stored, npt.NDArray[np.float64]]:
        """Encode patches, uint16 (n, P, P), where 0 means no data; results are those of :class:`ShardEncoder`."""
        count, size = values.shape[:2]
        band = self._encoders[measure].encode(values.reshape(count * size, size), None)
        counted = np.count_nonzero(band.counted.reshape(count, size * size), axis=1)
        return band.stored.reshape(values.shape), counted / size**2


class ShardEncoder:
    """Encodes values in [0, 1] that were scaled before; threads may share one.

    Args:
        storage: as values, or by a palette.
    """

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self._palette = None if storage.lut is None else PaletteEncoder(Palette(storage.lut))
        self._buffers = BufferPool()

    def encode(self, values: Floats, measure: ValidMeasure) -> tuple[Stored, npt.NDArray[np.float64]]:
        """Encode patches.

        Args:
            values: float32 (n, P, P), C-contiguous. By a palette they may be anything; else they must be in [0, 1].
            measure: "range", or "pixels", where 0 counts as no data: scaled values do not tell it apart from clipped.

        Returns:
            What to store, (n, P, P), in memory that is used again once it is dropped, and the valid fraction of each
            patch, (n,).

        Raises:
            NotInPaletteError: where a value is not in the palette.
        """
        thresholds = (INSIDE_LOW, INSIDE_HIGH) if measure == "range" else (np.float32(0), np.float32(np.inf))
        flat = values.reshape(len(values), math.prod(values.shape[1:]))
        stored: Stored = values
        if self._palette is None:
            counted = np.array([count_between(patch, *thresholds) for patch in flat], dtype=np.int64)
        else:
            stored = self._buffers.take(values.shape, self.storage.dtype)
            counted = self._palette.encode_into(flat, stored.reshape(flat.shape), thresholds)
        return stored, counted / flat.shape[1]
