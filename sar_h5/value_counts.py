"""How often each value occurs in some patches of a file, one small batch in memory at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sar_h5.errors import FormatError
from sar_h5.reader import PatchReader

_BATCH_NBYTES = 16 << 20
_BINS = 512


@dataclass(frozen=True)
class ValueCounts:
    """Values and how often they occur.

    Attributes:
        levels: float64 (n,), growing.
        counts: int64 (n,).
        missing: how many pixels hold no value: NaN, infinite, or the code for invalid ones.
    """

    levels: npt.NDArray[np.float64]
    counts: npt.NDArray[np.int64]
    missing: int


def count_values(reader: PatchReader, numbers: npt.NDArray[np.int64]) -> ValueCounts:
    """Count the values of patches: exactly by level where they are codes, in 512 bins where they are floats.

    Args:
        reader: of the file.
        numbers: int64 (n,), which patches.

    Raises:
        CorruptPatchError: where a patch cannot be decoded.
        FormatError: where none of these patches holds a value.
    """
    counted = _count_floats(reader, numbers) if reader.lut is None else _count_codes(reader, reader.lut, numbers)
    if not counted.counts.any():
        raise FormatError(f"{reader.path}: expected values to count; {len(numbers)} patches hold none")
    return counted


def _count_codes(reader: PatchReader, lut: npt.NDArray[np.float32], numbers: npt.NDArray[np.int64]) -> ValueCounts:
    counts = np.zeros(1 << 16, dtype=np.int64)
    for some in _batches(reader, numbers):
        codes = np.empty((len(some), *reader.source.shape[1:]), dtype=reader.source.dtype)
        reader.codes(some, codes)
        counts += np.bincount(codes.ravel(), minlength=len(counts))
    counts = counts[: len(lut)]
    settings = reader.source.settings
    invalid = settings.invalid_code if settings else None
    missing = 0 if invalid is None else int(counts[invalid])
    if invalid is not None:
        counts[invalid] = 0
    # Several codes may stand for one value: invalid pixels and the lower end, clipped digital numbers.
    levels, positions = np.unique(lut.astype(np.float64), return_inverse=True)
    joined = np.zeros(len(levels), dtype=np.int64)
    np.add.at(joined, positions, counts)
    return ValueCounts(levels, joined, missing)


def _count_floats(reader: PatchReader, numbers: npt.NDArray[np.int64]) -> ValueCounts:
    low, high, pixels, finite = np.inf, -np.inf, 0, 0
    for values in _values(reader, numbers):
        valid = values[np.isfinite(values)]
        pixels, finite = pixels + values.size, finite + valid.size
        if valid.size:
            low, high = min(low, float(valid.min())), max(high, float(valid.max()))
    if finite == 0:
        return ValueCounts(np.zeros(0), np.zeros(0, dtype=np.int64), pixels)
    if low == high:
        return ValueCounts(np.array([low]), np.array([finite]), pixels - finite)
    edges = _bin_edges(low, high, reader.source.dtype)
    counts, ends = np.zeros(len(edges) - 1, dtype=np.int64), np.zeros(2, dtype=np.int64)
    for values in _values(reader, numbers):
        valid = values[np.isfinite(values)]
        at_end = [valid == np.float32(end) for end in (low, high)]
        ends += [int(where.sum()) for where in at_end]
        counts += np.histogram(valid[~(at_end[0] | at_end[1])], edges)[0]
    # The two ends are levels of their own: values that were clipped lie there.
    levels = np.concatenate([[low], (edges[:-1] + edges[1:]) / 2, [high]])
    return ValueCounts(levels, np.concatenate([ends[:1], counts, ends[1:]]), pixels - finite)


def _bin_edges(low: float, high: float, dtype: np.dtype[Any]) -> npt.NDArray[np.float64]:
    if dtype.kind in "ui" and high - low < _BINS:
        return np.arange(low + 0.5, high, 1.0)  # one bin per integer between the ends
    return np.linspace(low, high, _BINS + 1)


def _values(reader: PatchReader, numbers: npt.NDArray[np.int64]) -> Iterator[npt.NDArray[np.float32]]:
    for some in _batches(reader, numbers):
        values = np.empty((len(some), *reader.source.shape[1:]), dtype=np.float32)
        reader.values(some, values)
        yield values


def _batches(reader: PatchReader, numbers: npt.NDArray[np.int64]) -> Iterator[npt.NDArray[np.int64]]:
    _, height, width = reader.source.shape
    step = max(1, _BATCH_NBYTES // max(1, height * width * 4))
    for start in range(0, len(numbers), step):
        yield numbers[start : start + step]
