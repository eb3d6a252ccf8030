"""The histogram of a file with its bounds, and how much lies outside of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sar_h5.contents import find_patches
from sar_h5.errors import FormatError
from sar_h5.level_histogram import LevelHistogram, level_histogram, shares_outside
from sar_h5.opening import open_file
from sar_h5.patch_spread import spread_patches
from sar_h5.pictures.style import BLUE, LABEL_PT, SMALL_PT, VERMILION, new_picture, set_heading, set_title
from sar_h5.radiometry import DN_COUNT, to_db
from sar_h5.reader import PatchReader
from sar_h5.scene_labels import shorten
from sar_h5.schema import HISTOGRAM
from sar_h5.value_counts import count_values

_LEAST_WIDTH_DB = 0.05
_SHOWN = (1e-4, 1 - 1e-4)
"""Shares of pixels that the axis spans; beyond lie a few point targets, 20 dB away."""


@dataclass(frozen=True)
class _Curve:
    """What is drawn: a density, the bounds, the shares that were clipped, and words."""

    histogram: LevelHistogram
    bounds: tuple[float, float] | None
    outside: tuple[float, float]
    polarization: str
    subtitle: str
    x_label: str
    unit: str
    ends: tuple[str, str]


def plot_histogram(path: str | Path, *, patches: int = 256, seed: int = 0) -> Figure:
    """Draw how often each level occurs, with the bounds of the file and the share of pixels clipped at each of them.

    Where the file counts digital numbers (``/histogram``), these are drawn, in dB: all valid pixels of all scenes, each
    once. Otherwise the values of a sample of patches are, and the title says so; what was clipped lies at the two ends
    then, which the curve leaves out.

    Args:
        path: the file.
        patches: how many to sample where there is no histogram.
        seed: of the sample.

    Returns:
        A figure with one plot: share of pixels per dB, or per unit of value.

    Raises:
        SettingError: where ``patches`` is less than 1.
        SourceError, FormatError, CorruptPatchError: where the file or a patch cannot be read.
    """
    curve = _curve_of_dn(path) or _curve_of_values(path, patches, seed)
    figure = new_picture(7.5, 4.5)
    axes = figure.subplots()
    histogram = curve.histogram
    axes.stairs(100 * histogram.density, histogram.edges, fill=True, color=BLUE, alpha=0.35)
    axes.stairs(100 * histogram.density, histogram.edges, color=BLUE, linewidth=1)
    axes.set_xlim(*_limits(curve))
    axes.set_ylim(0, 118 * histogram.density.max())  # room for the words at the bounds
    if curve.bounds is not None:
        _draw_bounds(axes, curve, curve.bounds)
    axes.set_xlabel(curve.x_label, fontsize=LABEL_PT)
    axes.set_ylabel(f"share of pixels, % per {curve.unit}", fontsize=LABEL_PT)
    axes.tick_params(labelsize=SMALL_PT)
    axes.spines[["top", "right"]].set_visible(False)
    set_title(axes, curve.subtitle, SMALL_PT + 0.5)
    set_heading(figure, f"{shorten(Path(path).name)}{curve.polarization}")
    return figure


def _curve_of_dn(path: str | Path) -> _Curve | None:
    with open_file(path) as file:
        settings = find_patches(file, None).settings
        if settings is None or HISTOGRAM not in file:
            return None
        counts: npt.NDArray[Any] = file[HISTOGRAM][:]
        quantity = str(file.attrs.get("quantity", "digital number"))
    if counts.shape != (DN_COUNT,) or not counts[1:].any():
        raise FormatError(
            f"{path}: expected /{HISTOGRAM} as {DN_COUNT} counts of digital numbers, found {counts.shape} with a "
            f"sum of {counts.sum()}; run `sar-h5 verify {path}`"
        )
    db, counts = to_db(np.arange(1, DN_COUNT)), counts[1:]
    low, high = np.float32(settings.vmin), np.float32(settings.vmax)  # as the pipeline clips
    histogram = level_histogram(db, counts, _LEAST_WIDTH_DB)
    return _Curve(
        histogram,
        (settings.vmin, settings.vmax),
        shares_outside(db, counts, low, high),
        f", {settings.polarization.upper()}",
        f"{histogram.total:,} valid pixels of all scenes",
        f"10 log10 of the {shorten(quantity, 60)}, dB",
        "dB",
        ("clipped to 0", "clipped to 1"),
    )


def _curve_of_values(path: str | Path, patches: int, seed: int) -> _Curve:
    reader = PatchReader(path)
    try:
        numbers = spread_patches(reader.source.shape[0], patches, seed)
        counted = count_values(reader, numbers)
    finally:
        reader.close()
    levels, counts, settings = counted.levels, counted.counts, reader.source.settings
    sample = f"no count of digital numbers; values of {len(numbers):,} of {reader.source.shape[0]:,} patches"
    if counted.missing:
        sample += f", {counted.missing / (counted.missing + counts.sum()):.1%} of their pixels without a value"
    if settings is None:
        return _Curve(level_histogram(levels, counts), None, (0.0, 0.0), "", sample, "value", "unit", ("", ""))
    inside = (levels > 0) & (levels < 1)
    outside = tuple(float(counts[levels == end].sum() / counts.sum()) for end in (0, 1))
    span = settings.vmax - settings.vmin
    db = settings.vmin + levels * span
    # A file of nothing but ends (a mask) has no inside.
    shown = inside if counts[inside].any() else np.ones(len(levels), dtype=bool)
    histogram = level_histogram(db[shown], counts[shown], _LEAST_WIDTH_DB)
    density = histogram.density * (counts[shown].sum() / counts.sum())
    return _Curve(
        LevelHistogram(histogram.edges, density, int(counts.sum())),
        (settings.vmin, settings.vmax),
        (outside[0], outside[1]),
        f", {settings.polarization.upper()}",
        sample,
        "dB, from the values and the bounds",
        "dB",
        ("at 0: clipped or no data", "at 1: clipped"),
    )


def _limits(curve: _Curve) -> tuple[float, float]:
    edges, density = curve.histogram.edges, curve.histogram.density
    share = np.cumsum(density * np.diff(edges))
    first, last = np.searchsorted(share / share[-1], _SHOWN)
    low, high = float(edges[first]), float(edges[min(last, len(density) - 1) + 1])
    if curve.bounds is not None:
        low, high = min(low, curve.bounds[0]), max(high, curve.bounds[1])
    margin = 0.06 * (high - low)
    return low - margin, high + margin


def _draw_bounds(axes: Axes, curve: _Curve, bounds: tuple[float, float]) -> None:
    low, high = axes.get_xlim()
    for edge, outer, name, share, words, side in (
        (bounds[0], low, "vmin", curve.outside[0], curve.ends[0], "right"),
        (bounds[1], high, "vmax", curve.outside[1], curve.ends[1], "left"),
    ):
        axes.axvspan(edge, outer, color=VERMILION, alpha=0.08, linewidth=0)
        axes.axvline(edge, color=VERMILION, linewidth=1.2)
        nearer = edge - low < (high - low) / 3 if side == "right" else high - edge < (high - low) / 3
        # Text goes to the side of the line that has room for it.
        inside = {"right": "left", "left": "right"}[side] if nearer else side
        axes.annotate(
            f"{name} {edge:.2f} dB\n{share:.2%} {words}", (edge, 0.985), xycoords=("data", "axes fraction"),
            xytext=(5 if inside == "left" else -5, 0), textcoords="offset points", ha=inside, va="top",
            fontsize=SMALL_PT, color=VERMILION,
        )  # fmt: skip
