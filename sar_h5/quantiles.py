"""Exact percentiles of any number of pixels in constant memory, from streamed histograms.

Digital numbers are integers below 65,536, so one histogram holds all that percentiles need. Floats are counted by their
bit patterns, which order as the numbers do: the upper 16 bits first, then the lower 16 bits of the few bins that
    hold the
wanted ranks. Both give order statistics exactly, interpolated linearly between neighbours as ``numpy.percentile`` does.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from sar_h5.conversion_kernels import add_lower_halves, add_numbers, add_upper_halves
from sar_h5.radiometry import DN_COUNT

Counts = npt.NDArray[np.uint64]
BINS = 1 << 16


def count_dn(dn: npt.NDArray[np.uint16]) -> Counts:
    """Count the valid digital numbers of an array.

    Args:
        dn: uint16 of any shape; 0 means no data and is not counted.

    Returns:
        uint64 of shape (65536,).
    """
    counts = np.zeros(DN_COUNT, dtype=np.uint64)
    add_dn(counts, dn)
    return counts


def add_dn(counts: Counts, dn: npt.NDArray[np.uint16]) -> None:
    """Add the valid digital numbers of an array to ``counts``, as :func:`count_dn` counts them."""
    add_numbers(np.ascontiguousarray(dn).reshape(-1), counts)
    counts[0] = 0


def interpolated_ranks(total: int, percentiles: Sequence[float]) -> list[tuple[int, int, float]]:
    """Return (lower rank, upper rank, weight of the upper) for each percentile of ``total`` sorted values."""
    ranks = []
    for percentile in percentiles:
        position = percentile / 100 * (total - 1)
        lower = min(int(position), total - 1)
        ranks.append((lower, min(lower + 1, total - 1), position - lower))
    return ranks


def dn_percentiles(counts: Counts, value_of_dn: npt.NDArray[np.float32], percentiles: Sequence[float]) -> list[float]:
    """Take percentiles of a quantity that rises with the digital number.

    Args:
        counts: uint64 (65536,), how often each DN occurs; at least one must.
        value_of_dn: float32 (65536,), the quantity (dB) for each DN, not falling.
        percentiles: in [0, 100].

    Returns:
        One float for each percentile.
    """
    cumulated = np.cumsum(counts)
    total = int(cumulated[-1])

    def value(rank: int) -> float:
        return float(value_of_dn[np.searchsorted(cumulated, rank, side="right")])

    return [
        _interpolate(value(low), value(high), weight) for low, high, weight in interpolated_ranks(total, percentiles)
    ]


def _interpolate(low: float, high: float, weight: float) -> float:
    # From the nearer end, as numpy.percentile does: the last bit depends on it.
    difference = high - low
    return low + difference * weight if weight < 0.5 else high - difference * (1 - weight)


def _value_of_key(key: int) -> float:
    bits = key ^ 0x80000000 if key & 0x80000000 else ~key & 0xFFFFFFFF
    return float(np.uint32(bits).view(np.float32))


def count_coarse(values: npt.NDArray[np.float32]) -> Counts:
    """Count float32 values without NaN by the upper half of their ordered bit patterns; uint64 (65536,)."""
    counts = np.zeros(BINS, dtype=np.uint64)
    add_upper_halves(_flat_bits(values), counts)
    return counts


def _flat_bits(values: npt.NDArray[np.float32]) -> npt.NDArray[np.uint32]:
    return np.ascontiguousarray(values, dtype=np.float32).reshape(-1).view(np.uint32)


class FloatPercentiles:
    """Percentiles of float32 values in two passes over the same values, in any order.

    Made from the first pass (the sum of :func:`count_coarse` over all values); then call :meth:`count_fine` for all
    values
    again, then :meth:`values`. Memory: 0.5 MB, and as much again for at most two bins for each percentile.

    Args:
        coarse: uint64 (65536,), at least one of them not 0.
        percentiles: in [0, 100].
    """

    def __init__(self, coarse: Counts, percentiles: Sequence[float]) -> None:
        self._coarse = coarse
        self._ranks = interpolated_ranks(int(coarse.sum()), percentiles)
        wanted = {self._bin_of(rank) for lower, higher, _ in self._ranks for rank in (lower, higher)}
        self._rows = np.full(BINS, -1, dtype=np.int32)
        self._rows[sorted(wanted)] = np.arange(len(wanted))
        self._fine = np.zeros((len(wanted), BINS), dtype=np.uint64)

    def count_fine(self, values: npt.NDArray[np.float32]) -> None:
        """Count values in the second pass; NaN must have been removed."""
        add_lower_halves(_flat_bits(values), self._rows, self._fine)

    def values(self) -> list[float]:
        """Return one float for each percentile."""
        return [
            _interpolate(self._value_at(lower), self._value_at(higher), weight) for lower, higher, weight in self._ranks
        ]

    def _bin_of(self, rank: int) -> int:
        return int(np.searchsorted(np.cumsum(self._coarse), rank, side="right"))

    def _value_at(self, rank: int) -> float:
        number = self._bin_of(rank)
        before = int(self._coarse[:number].sum())
        lower = int(np.searchsorted(np.cumsum(self._fine[self._rows[number]]), rank - before, side="right"))
        return _value_of_key(number << 16 | lower)
