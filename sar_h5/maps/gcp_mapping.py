"""From rows and columns of a scene to places on the ground, by its ground control points. Pure arithmetic.

The control points of Sentinel-1 products come from the annotation's ``geolocationGrid`` (S1-RS-MDA-52-7441): a regular
grid of about 10 x 21 points over the scene, between which the map is smooth enough for bilinear interpolation. Points
that form no such grid get a polynomial by least squares, as GDAL's ``GDALCreateGCPTransformer`` fits it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from sar_h5.errors import SettingError

Floats64 = npt.NDArray[np.float64]

_DEGREES = ((2, 6), (1, 3))
"""Degree of a polynomial of two variables, and how many points determine it."""


class GroundMapping(Protocol):
    """Maps pixels of a scene to places."""

    def __call__(self, rows: npt.ArrayLike, cols: npt.ArrayLike) -> Floats64:
        """Return float64 (n, 2), x and y of n pixel corners given by row and column."""


@dataclass(frozen=True)
class AffineMapping:
    """``x = a col + b row + c, y = d col + e row + f``.

    Attributes:
        transform: (a, b, c, d, e, f).
    """

    transform: tuple[float, float, float, float, float, float]

    def __call__(self, rows: npt.ArrayLike, cols: npt.ArrayLike) -> Floats64:
        """Return float64 (n, 2), x and y."""
        row, col = np.asarray(rows, dtype=np.float64), np.asarray(cols, dtype=np.float64)
        a, b, c, d, e, f = self.transform
        return np.stack([a * col + b * row + c, d * col + e * row + f], axis=-1)


@dataclass(frozen=True)
class GridMapping:
    """Bilinear interpolation between points on a regular grid; beyond its edges the outermost cells go on.

    Attributes:
        rows: float64 (R,), growing, at least two.
        cols: float64 (C,), likewise.
        places: float64 (R, C, 2), x and y of the points.
    """

    rows: Floats64
    cols: Floats64
    places: Floats64

    def __call__(self, rows: npt.ArrayLike, cols: npt.ArrayLike) -> Floats64:
        """Return float64 (n, 2), x and y."""
        i, u = _cell(self.rows, np.asarray(rows, dtype=np.float64))
        j, v = _cell(self.cols, np.asarray(cols, dtype=np.float64))
        u, v = u[..., None], v[..., None]
        upper = self.places[i, j] * (1 - v) + self.places[i, j + 1] * v
        lower = self.places[i + 1, j] * (1 - v) + self.places[i + 1, j + 1] * v
        return np.asarray(upper * (1 - u) + lower * u)


def _cell(knots: Floats64, values: Floats64) -> tuple[npt.NDArray[np.intp], Floats64]:
    """Return in which interval each value lies, and how far along it."""
    cell = np.clip(np.searchsorted(knots, values, side="right") - 1, 0, len(knots) - 2)
    return cell, (values - knots[cell]) / (knots[cell + 1] - knots[cell])


@dataclass(frozen=True)
class PolynomialMapping:
    """A polynomial in row and column, of degree 1 or 2.

    Attributes:
        degree: of the polynomial.
        middle, reach: float64 (2,), what row and column are shifted and divided by, to condition the fit well.
        coefficients: float64 (k, 2), for x and y.
    """

    degree: int
    middle: Floats64
    reach: Floats64
    coefficients: Floats64

    def __call__(self, rows: npt.ArrayLike, cols: npt.ArrayLike) -> Floats64:
        """Return float64 (n, 2), x and y."""
        pixels = np.stack([np.asarray(rows, dtype=np.float64), np.asarray(cols, dtype=np.float64)], axis=-1)
        return np.asarray(_terms((pixels - self.middle) / self.reach, self.degree) @ self.coefficients)


def _terms(pixels: Floats64, degree: int) -> Floats64:
    row, col = pixels[..., 0], pixels[..., 1]
    terms = [np.ones_like(row), row, col]
    if degree == 2:
        terms += [row * row, row * col, col * col]
    return np.stack(terms, axis=-1)


def gcp_mapping(points: npt.ArrayLike) -> GridMapping | PolynomialMapping:
    """Make the mapping that ground control points describe.

    Args:
        points: (n, 4) or (n, 5): row, col, x, y and possibly z.

    Raises:
        SettingError: where fewer than three points, points on one line, or numbers that are not finite leave it open.
    """
    table = np.asarray(points, dtype=np.float64)
    if table.ndim != 2 or table.shape[1] < 4 or not np.isfinite(table[:, :4]).all():
        raise SettingError(f"expected control points as finite rows of row, col, x, y; found shape {table.shape}")
    rows, row_numbers = np.unique(table[:, 0], return_inverse=True)
    cols, col_numbers = np.unique(table[:, 1], return_inverse=True)
    cells = row_numbers * len(cols) + col_numbers
    if min(len(rows), len(cols)) >= 2 and np.array_equal(np.sort(cells), np.arange(len(rows) * len(cols))):
        return GridMapping(rows, cols, table[np.argsort(cells), 2:4].reshape(len(rows), len(cols), 2))
    return _fit(table)


def _fit(table: Floats64) -> PolynomialMapping:
    pixels = table[:, :2]
    middle = pixels.mean(axis=0) if len(pixels) else np.zeros(2)
    reach = np.abs(pixels - middle).max(axis=0, initial=0)
    reach[reach == 0] = 1
    for degree, needed in _DEGREES:
        terms = _terms((pixels - middle) / reach, degree)
        if len(table) >= needed and np.linalg.matrix_rank(terms) == terms.shape[1]:
            return PolynomialMapping(degree, middle, reach, np.asarray(np.linalg.lstsq(terms, table[:, 2:4])[0]))
    raise SettingError(f"expected at least three control points that lie on no line; found {len(table)} that do not do")
