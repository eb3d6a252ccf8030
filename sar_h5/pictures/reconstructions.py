"""Inputs of a model, its reconstructions, and the errors between them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from sar_h5.errors import SettingError
from sar_h5.pictures.samples import Floats, to_array
from sar_h5.pictures.style import (
    ERRORS,
    GRAYS,
    LABEL_PT,
    SMALL_PT,
    add_bar,
    add_value_bar,
    as_image,
    new_picture,
    set_title,
)

MOST_ROWS = 32

_CELL_IN = 2.1
_SHOWN_PERCENTILE = 99.5


@dataclass(frozen=True)
class _Triplet:
    """One row: what went in, what came out, both (H, W)."""

    given: Floats
    made: Floats

    @property
    def error(self) -> Floats:
        return self.made - self.given

    @property
    def rmse(self) -> float:
        return float(np.sqrt(np.mean(np.square(self.error, dtype=np.float64))))


def plot_reconstructions(
    inputs: object,
    outputs: object,
    *,
    vmin: float | None = None,
    vmax: float | None = None,
    count: int = 4,
    suptitle: str | None = None,
) -> Figure:
    """Draw rows of input, reconstruction and error, all rows on the same scales.

    The error is reconstruction minus input; its colors are symmetric about zero and reach to the 99.5th percentile of
    its size. Over each error stand its root mean square, in dB where the bounds are given, and the peak signal-to-noise
    ratio with the range of the values as peak: ``20 log10(1 / RMSE)``
    (https://en.wikipedia.org/wiki/Peak_signal-to-noise_ratio).

    Args:
        inputs: (n, 1, H, W) or (n, H, W) in [0, 1]: tensor on any device, with or without gradient, or array.
        outputs: reconstructions of the same shape.
        vmin: bound in dB that became 0, for axes in dB; ``dataset.vmin``.
        vmax: bound in dB that became 1.
        count: how many rows at most, the first ones.
        suptitle: over the whole figure.

    Returns:
        A figure with three plots per row and two bars.

    Raises:
        SettingError: where the shapes differ or are none of these, nothing is there, ``count`` is not 1 to 32, or only
            one bound is given or they leave no range.
    """
    given, made = (_as_patches(values, name) for values, name in ((inputs, "inputs"), (outputs, "outputs")))
    if given.shape != made.shape:
        raise SettingError(f"expected outputs of the shape of inputs; found {made.shape} and {given.shape}")
    if not 1 <= count <= MOST_ROWS:
        raise SettingError(f"expected 1 to {MOST_ROWS} rows; found count={count}")
    bounds = _bounds(vmin, vmax)
    unit = bounds[1] - bounds[0] if bounds else 1.0
    rows = [_Triplet(*pair) for pair in zip(given[:count], made[:count], strict=True)]
    reach = _reach(rows) * unit
    figure = new_picture(3 * _CELL_IN + 0.4, len(rows) * (_CELL_IN * given.shape[1] / given.shape[2] + 0.3) + 1.3)
    grid = figure.subplots(len(rows), 3, squeeze=False)
    for row, axes in zip(rows, grid, strict=True):
        image = axes[0].imshow(row.given, cmap=GRAYS, vmin=0, vmax=1)
        axes[1].imshow(row.made, cmap=GRAYS, vmin=0, vmax=1)
        errors = axes[2].imshow(row.error * unit, cmap=ERRORS, vmin=-reach, vmax=reach)
        for axis, title in zip(axes, ("input", "reconstruction", _scores(row, bounds)), strict=True):
            as_image(axis)
            set_title(axis, title, SMALL_PT)
    add_value_bar(figure, image, grid[:, :2].ravel().tolist(), bounds, location="bottom")
    add_bar(figure, errors, grid[:, 2].tolist(), f"error{', dB' if bounds else ''}", location="bottom", extend="both")
    shown = f"{len(rows)} of {len(given):,} reconstructions" if len(given) > len(rows) else ""
    heading = "\n".join(filter(None, [suptitle, shown]))
    if heading:
        figure.suptitle(heading, fontsize=LABEL_PT + 1, parse_math=False)
    return figure


def _as_patches(values: object, name: str) -> Floats:
    array = to_array(values, f"{name} as (n, 1, H, W) or (n, H, W)")
    shaped = array[:, 0] if array.ndim == 4 and array.shape[1] == 1 else array
    if shaped.ndim != 3 or shaped.size == 0:
        raise SettingError(f"expected {name} as (n, 1, H, W) or (n, H, W) with n of at least 1; found {array.shape}")
    return shaped


def _bounds(vmin: float | None, vmax: float | None) -> tuple[float, float] | None:
    if vmin is None and vmax is None:
        return None
    if vmin is None or vmax is None or not (math.isfinite(vmin) and math.isfinite(vmax) and vmin < vmax):
        raise SettingError(f"expected both bounds in dB, vmin below vmax, or neither; found vmin={vmin}, vmax={vmax}")
    return float(vmin), float(vmax)


def _reach(rows: list[_Triplet]) -> float:
    """Return the size of error that gets the full color; a few outliers must not wash out the rest."""
    sizes = np.abs(np.stack([row.error for row in rows]))
    sizes = sizes[np.isfinite(sizes)]
    reach = float(np.percentile(sizes, _SHOWN_PERCENTILE)) if sizes.size else 0.0
    return reach or (float(sizes.max()) if sizes.size else 0.0) or 1.0


def _scores(row: _Triplet, bounds: tuple[float, float] | None) -> str:
    rmse = row.rmse
    if not math.isfinite(rmse):
        return "error: not finite"
    in_db = f" = {rmse * (bounds[1] - bounds[0]):.2f} dB" if bounds else ""
    ratio = f"{-20 * math.log10(rmse):.1f} dB" if rmse else "infinite"
    return f"RMSE {rmse:.4f}{in_db}, PSNR {ratio}"
