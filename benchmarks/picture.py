"""The results of a run as a bar chart."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import StrMethodFormatter

from benchmarks.summary import Cell, Line, summarize

# Okabe and Ito, Color Universal Design (2008): told apart with any kind of colour vision.
_COLOURS = {"ours": "#D55E00", "rival": "#0072B2", "limit": "#999999"}
_LEGEND = {"ours": "sar_h5", "rival": "others", "limit": "limits of the machine (no loader)"}
_TITLES = {
    "warm": "files in the page cache",
    "cold": "page cache dropped",
    "limited": "memory for a quarter of float32",
}
_ROW_INCHES, _WIDTH_INCHES, _DPI = 0.3, 9.0, 150


def draw(results: Mapping[str, Any], path: Path, state: str = "warm") -> None:
    """Draw the best setting of each row, fastest first, with the spread over the rounds.

    Args:
        results: the JSON of a run.
        path: of the picture; its suffix tells the format.
        state: "warm", "cold" or "limited".
    """
    measured = [(line, cell) for line in summarize(results, state) if (cell := line.best) is not None]
    measured.sort(key=lambda pair: pair[1].median)
    figure = Figure(figsize=(_WIDTH_INCHES, 1.3 + _ROW_INCHES * len(measured)), layout="constrained")
    axes = figure.add_subplot()
    cells = [cell for _, cell in measured]
    axes.barh(
        range(len(measured)),
        [cell.median for cell in cells],
        xerr=[[cell.median - cell.least for cell in cells], [cell.most - cell.median for cell in cells]],
        color=[_COLOURS[line.kind] for line, _ in measured],
        error_kw={"elinewidth": 1, "capsize": 2, "ecolor": "#333333"},
    )
    for place, (_, cell) in enumerate(measured):
        axes.annotate(
            f"{cell.median:,.0f}", (cell.most, place), (6, 0), textcoords="offset points", va="center", fontsize=8
        )
    axes.set_yticks(range(len(measured)), [_label(line, cell) for line, cell in measured], fontsize=9)
    axes.set_xlim(0, max((cell.most for cell in cells), default=1) * 1.12)
    axes.set_ylim(-0.6, len(measured) - 0.4)
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    data = results["data"]
    axes.set_xlabel(
        "patches per second (256 x 256 pixels, float32, shuffled, with random symmetries)\n"
        "in brackets: workers of the faster setting (FFCV: threads); whiskers: all rounds",
        fontsize=9,
    )
    axes.set_title(f"Loading {data['patches']:,} {data['polarization'].upper()} patches, {_TITLES[state]}", fontsize=11)
    axes.spines[["top", "right"]].set_visible(False)
    kinds = [kind for kind in _COLOURS if any(line.kind == kind for line, _ in measured)]
    handles = [Patch(color=_COLOURS[kind], label=_LEGEND[kind]) for kind in kinds]
    axes.legend(handles=handles, loc="lower right", frameon=False, fontsize=9)
    figure.savefig(path, dpi=_DPI)


def _label(line: Line, cell: Cell) -> str:
    if line.parallel == "own":
        return line.title
    (workers,) = [number for number, other in line.cells.items() if other is cell]
    return f"{line.title} ({max(workers, 1) if line.parallel == 'threads' else workers})"
