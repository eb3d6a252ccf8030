"""Counts of discrete levels as a density: what a histogram of integer codes shows without gaps.

Digital numbers lie 0.3 dB apart at DN 15 and 0.01 dB at DN 400. Bins of one width would be empty on one side; here
every level stands for the interval that is nearer to it than to its neighbours.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sar_h5.errors import SettingError

Floats64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class LevelHistogram:
    """A density over intervals.

    Attributes:
        edges: float64 (k + 1,), growing.
        density: float64 (k,), share of all counts per unit of the edges; with the widths it sums to 1.
        total: how many were counted.
    """

    edges: Floats64
    density: Floats64
    total: int


def level_histogram(levels: npt.ArrayLike, counts: npt.ArrayLike, least_width: float = 0.0) -> LevelHistogram:
    """Spread counts over the intervals around their levels.

    Args:
        levels: (n,) growing finite numbers.
        counts: (n,) how often each occurs.
        least_width: neighbouring intervals are joined until they are about this wide.

    Raises:
        SettingError: where nothing was counted.
    """
    values, weights = np.asarray(levels, dtype=np.float64), np.asarray(counts, dtype=np.float64)
    occupied = np.flatnonzero(weights)
    if len(occupied) == 0:
        raise SettingError("expected counts of at least one level; all of them are zero")
    kept = slice(occupied[0], occupied[-1] + 1)
    edges, weights = _edges(values[kept], least_width), weights[kept]
    if least_width > 0:
        # An interval belongs to the bin of `least_width` that its left edge lies in.
        firsts = np.unique(np.floor((edges[:-1] - edges[0]) / least_width), return_index=True)[1]
        edges, weights = np.append(edges[firsts], edges[-1]), np.add.reduceat(weights, firsts)
    total = weights.sum()
    return LevelHistogram(edges, weights / total / np.diff(edges), int(total))


def _edges(levels: Floats64, least_width: float) -> Floats64:
    if len(levels) == 1:
        half = max(least_width, np.spacing(abs(levels[0]) * 8), 1e-6) / 2
        return np.array([levels[0] - half, levels[0] + half])
    middles = (levels[:-1] + levels[1:]) / 2
    return np.concatenate([[2 * levels[0] - middles[0]], middles, [2 * levels[-1] - middles[-1]]])


def shares_outside(
    levels: npt.ArrayLike, counts: npt.ArrayLike, low: float | np.float32, high: float | np.float32
) -> tuple[float, float]:
    """Return the shares of counts strictly below ``low`` and strictly above ``high``.

    Args:
        levels: (n,) numbers, compared in the dtype that they share with the bounds.
        counts: (n,) how often each occurs; not all zero.
        low: lower bound.
        high: upper bound.
    """
    values, weights = np.asarray(levels), np.asarray(counts, dtype=np.float64)
    total = weights.sum()
    return float(weights[values < low].sum() / total), float(weights[values > high].sum() / total)
