"""A map of the scenes of a file and of its patches, colored by split."""

from __future__ import annotations

import math
from collections import defaultdict
from pathlib import Path

import numpy as np
from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter

from sar_h5.maps.gcp_mapping import Floats64
from sar_h5.maps.reference_systems import is_geographic, system_name
from sar_h5.maps.scene_map import SceneMap, read_scene_map
from sar_h5.pictures.style import (
    BLUE,
    GRAY,
    GREEN,
    LABEL_PT,
    ORANGE,
    SMALL_PT,
    new_picture,
    set_heading,
    set_title,
)
from sar_h5.scene_labels import scene_labels, shorten
from sar_h5.schema import DEFAULT_SPLIT

SPLIT_COLORS = {0: ("unused", GRAY), 1: ("train", BLUE), 2: ("val", ORANGE), 3: ("test", GREEN)}
"""Name and color of each number in ``/splits/<name>``."""

MOST_PATCHES = 20_000

_MOST_NAMES, _MOST_NUMBERS = 12, 100
_MAP_WIDTH_IN, _LETTER_IN = 7.0, 0.065


def plot_footprints(path: str | Path, split: str = DEFAULT_SPLIT, *, most_patches: int = MOST_PATCHES) -> Figure:
    """Draw where the scenes of a file lie and which of their patches are used for what.

    Scenes are outlined where they lie on the ground, by their transform or their control points, in the reference
    system that they share, or else in longitude and latitude; scenes without a geo-reference stand side by side in
    pixels. Patches that overlap are drawn as the cells at their middles, in the size of the stride, colored by split.
    Nothing is fetched from the network.

    Args:
        path: a file of this package.
        split: name of the file's way of splitting; does not matter where it has none.
        most_patches: how many patches to draw at most, spread over the file.

    Returns:
        A figure with one plot.

    Raises:
        SourceError: where the file is not there.
        FormatError: where it is not one of this package, or has splits, but none of this name.
        SettingError: where neither places nor sizes of its scenes are known (files made from shards), or
            ``most_patches`` is less than 1.
    """
    scene_map = read_scene_map(path, split, most_patches)
    outlines = [place.outline() for place in scene_map.places]
    low, high = _extent(outlines)
    ratio = _aspect(scene_map, (low[1] + high[1]) / 2)
    shape = min(max(ratio * (high[1] - low[1]) / (high[0] - low[0]), 0.4), 1.6)
    figure = new_picture(8.0, 8.0 * shape * 0.8 + 1.6)
    axes = figure.subplots()
    axes.set_aspect(ratio)
    axes.add_collection(_cells(scene_map))
    axes.add_collection(
        PolyCollection(outlines, facecolors="none", edgecolors=rcParams["axes.edgecolor"], linewidths=1.0, zorder=3)
    )
    margin = 0.04 * (high - low)
    axes.set_xlim(low[0] - margin[0], high[0] + margin[0])
    axes.set_ylim(low[1] - margin[1], high[1] + margin[1])
    _label_axes(axes, scene_map)
    _label_scenes(axes, scene_map, outlines, high - low)
    figure.legend(
        handles=_legend(scene_map), loc="outside lower center", ncols=4, fontsize=SMALL_PT + 0.5, frameon=False
    )
    set_title(axes, _subtitle(scene_map, split), SMALL_PT + 0.5)
    set_heading(figure, f"{shorten(Path(path).name)}: {len(outlines):,} scene{'s' if len(outlines) > 1 else ''}")
    return figure


def _extent(outlines: list[Floats64]) -> tuple[Floats64, Floats64]:
    points = np.concatenate(outlines)
    points = points[np.isfinite(points).all(axis=1)]
    low, high = points.min(axis=0), points.max(axis=0)
    return low, np.where(high > low, high, low + 1)


def _aspect(scene_map: SceneMap, latitude: float) -> float:
    """Return how long a unit of y is drawn in units of x: a degree of longitude shrinks with the cosine of latitude."""
    if not (scene_map.on_ground and is_geographic(scene_map.places[0].crs)):
        return 1.0
    return 1 / max(math.cos(math.radians(latitude)), 0.05)


def _cells(scene_map: SceneMap) -> PolyCollection:
    if scene_map.split is None:
        order, colors = np.arange(len(scene_map.patches)), [BLUE] * len(scene_map.patches)
    else:
        members = scene_map.split[scene_map.patches]
        order = np.argsort(members, kind="stable")  # the few for validation and test over the many for training
        colors = [SPLIT_COLORS.get(member, SPLIT_COLORS[0])[1] for member in members[order].tolist()]
    return PolyCollection(list(scene_map.cells[order]), facecolors=colors, edgecolors="none", alpha=0.6, zorder=2)


def _legend(scene_map: SceneMap) -> list[Patch]:
    if scene_map.split is None:
        return [Patch(color=BLUE, alpha=0.6, label=f"patches ({scene_map.total:,})")]
    counts = np.bincount(scene_map.split, minlength=4)
    return [
        Patch(color=color, alpha=0.6, label=f"{name} ({counts[number]:,})")
        for number, (name, color) in SPLIT_COLORS.items()
        if counts[number]
    ]


def _subtitle(scene_map: SceneMap, split: str) -> str:
    parts = [f"split {shorten(split, 24)!r}" if scene_map.split is not None else "no splits in the file"]
    if len(scene_map.patches) < scene_map.total:
        wide = f", {scene_map.thinning} strides wide" if scene_map.thinning > 1 else ""
        parts.append(f"{len(scene_map.patches):,} of {scene_map.total:,} patches drawn{wide}")
    if not scene_map.on_ground:
        parts.append("no geo-reference: scenes side by side in pixels")
    left_out = len(scene_map.scenes["name"]) - len(scene_map.places)
    if left_out:
        parts.append(f"{left_out:,} scene{'s' if left_out > 1 else ''} without a known place left out")
    return "; ".join(parts)


def _label_axes(axes: Axes, scene_map: SceneMap) -> None:
    axes.tick_params(labelsize=SMALL_PT)
    axes.set_axisbelow(True)
    axes.grid(color=GRAY, alpha=0.25, linewidth=0.5)
    crs = scene_map.places[0].crs
    if not scene_map.on_ground:
        axes.invert_yaxis()
        names = ("columns, px", "rows, px")
    elif is_geographic(crs):
        names = ("longitude, °", "latitude, °")
        if axes.get_xlim()[1] > 180:  # over the date line longitudes go on counting
            axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{(x + 180) % 360 - 180:.6g}"))
    else:
        name = shorten(system_name(crs)) or "unknown reference system"
        names = (f"x, {name}", "y")
        axes.ticklabel_format(useOffset=False, style="plain")
    axes.set_xlabel(names[0], fontsize=LABEL_PT, parse_math=False)
    axes.set_ylabel(names[1], fontsize=LABEL_PT)


def _label_scenes(axes: Axes, scene_map: SceneMap, outlines: list[Floats64], extent: Floats64) -> None:
    """Name the scenes at their middles, or number them where names do not fit; scenes on each other share a label."""
    labels = scene_labels(scene_map.scenes)
    stacks: dict[tuple[int, ...], list[tuple[int, Floats64]]] = defaultdict(list)
    for place, outline in zip(scene_map.places, outlines, strict=True):
        middle = (outline.min(axis=0) + outline.max(axis=0)) / 2
        if np.isfinite(middle).all():
            stacks[tuple(np.round(middle / (0.05 * extent)).astype(int).tolist())].append((place.scene, middle))
    width_in = _MAP_WIDTH_IN * min(float(np.ptp(outline[:, 0])) for outline in outlines) / extent[0]
    has_names = len(stacks) <= _MOST_NAMES and width_in > _LETTER_IN * max(map(len, labels))
    for stack in stacks.values() if len(stacks) <= _MOST_NUMBERS else ():
        scene, more = stack[0][0], len(stack) - 1
        text = labels[scene] if has_names else f"#{scene}"
        x, y = np.mean([middle for _, middle in stack], axis=0).tolist()
        axes.text(
            x, y, f"{text}\nand {more} more here" if more else text,
            ha="center", va="center", fontsize=SMALL_PT, color="black", parse_math=False, zorder=4,
            bbox={"boxstyle": "round,pad=0.2", "facecolor": "white", "edgecolor": "none", "alpha": 0.7},
        )  # fmt: skip
