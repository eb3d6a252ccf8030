"""What all pictures share: the figure, sizes of type, colors, and bars that say what the grays mean."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colorbar import Colorbar
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

DPI = 120
TITLE_PT, LABEL_PT, SMALL_PT, CAPTION_PT = 11, 9, 7.5, 7

GRAYS = "gray"
ERRORS = "RdBu_r"
"""Diverging, and told apart with every common kind of color blindness: Brewer, https://colorbrewer2.org."""

# Okabe and Ito, Color Universal Design, 2008: https://jfly.uni-koeln.de/color/
BLUE, ORANGE, GREEN, VERMILION, GRAY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#999999"

Side = Literal["right", "bottom"]

_BAR_SHARE, _BAR_IN = 0.6, 0.13
"""Length of a bar as a share of the figure, and its width in inches."""


class Picture(Figure):
    """A figure that notebooks show also where nobody has imported pyplot."""

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png")
        return buffer.getvalue()


def new_picture(width: float, height: float) -> Picture:
    """Make an empty figure.

    Args:
        width: in inches.
        height: likewise.
    """
    return Picture(figsize=(width, height), dpi=DPI, layout="constrained")


def set_heading(figure: Figure, text: str) -> None:
    """Write a title over the whole figure; a dollar sign in a file name starts no formula."""
    figure.suptitle(text, fontsize=TITLE_PT, parse_math=False)


def set_title(axes: Axes, text: str, size: float = LABEL_PT) -> None:
    """Write a title over one plot, literally."""
    axes.set_title(text, fontsize=size, parse_math=False)


def as_image(axes: Axes) -> None:
    """Take ticks and labels away: rows and columns of a patch mean little."""
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)


def add_value_bar(
    figure: Figure,
    image: ScalarMappable,
    axes: Sequence[Axes],
    bounds_db: tuple[float, float] | None,
    location: Side = "right",
) -> Colorbar:
    """Add the bar that says what the grays mean: in dB where the bounds are known, otherwise in values.

    Args:
        figure: the figure.
        image: what was drawn.
        axes: the plots that the bar belongs to.
        bounds_db: (vmin, vmax) in dB, which values 0 and 1 stand for; None where they are unknown.
        location: at which side of them.
    """
    bar = add_bar(figure, image, axes, "value" if bounds_db is None else "dB", location)
    if bounds_db is not None:
        set_db_ticks(bar, bounds_db)
    return bar


def add_bar(
    figure: Figure,
    image: ScalarMappable,
    axes: Sequence[Axes],
    label: str,
    location: Side = "right",
    extend: Literal["neither", "both"] = "neither",
) -> Colorbar:
    """Add a bar of colors, of the same width in every figure.

    Args:
        figure: the figure.
        image: what was drawn.
        axes: the plots that the bar belongs to.
        label: what the colors are.
        location: at which side of them.
        extend: whether colors stand for what lies beyond their ends.
    """
    length_in = _BAR_SHARE * (figure.get_figheight() if location == "right" else figure.get_figwidth() / 2)
    bar = figure.colorbar(
        image, ax=list(axes), location=location, shrink=_BAR_SHARE, aspect=length_in / _BAR_IN, pad=0.02, extend=extend
    )
    bar.outline.set(linewidth=0.5, edgecolor=GRAY)  # the white end would vanish on white paper
    bar.set_label(label, fontsize=LABEL_PT)
    bar.ax.tick_params(labelsize=SMALL_PT)
    return bar


def set_db_ticks(bar: Colorbar, bounds_db: tuple[float, float]) -> None:
    """Write dB beside a bar over values in [0, 1]: the two bounds, and round numbers between them."""
    vmin, vmax = bounds_db
    span = vmax - vmin
    between = [db for db in MaxNLocator(6).tick_values(vmin, vmax) if vmin + 0.06 * span < db < vmax - 0.06 * span]
    levels = np.array([vmin, *between, vmax])
    bar.set_ticks(
        ((levels - vmin) / span).tolist(), labels=[f"{vmin:.2f}", *(f"{db:g}" for db in between), f"{vmax:.2f}"]
    )
