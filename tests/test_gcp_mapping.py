"""Control points as a mapping: exact where they are exact, smooth elsewhere, refused where they do not determine it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sar_h5.errors import SettingError
from sar_h5.maps.gcp_mapping import AffineMapping, GridMapping, PolynomialMapping, gcp_mapping

ROWS, COLS = np.array([0.0, 300.5, 700]), np.array([0.0, 100, 250, 900])


def ground(rows: np.ndarray, cols: np.ndarray) -> np.ndarray:
    """A bent map: bilinear, with a term that no plane has."""
    return np.stack([5 + 0.01 * cols + 0.002 * rows + 1e-6 * rows * cols, 50 - 0.01 * rows + 0.001 * cols], axis=-1)


def points(rows: np.ndarray, cols: np.ndarray) -> np.ndarray:
    return np.column_stack([rows, cols, ground(rows, cols), np.zeros(len(rows))])


GRID = points(*(axis.ravel() for axis in np.meshgrid(ROWS, COLS, indexing="ij")))


@given(st.permutations(range(len(GRID))), st.integers(0, 2**32 - 1))
def test_points_on_a_grid_in_any_order_are_interpolated_and_continued(order: list[int], seed: int) -> None:
    mapping = gcp_mapping(GRID[order])
    assert isinstance(mapping, GridMapping)
    rows, cols = np.random.default_rng(seed).uniform(-100, 1000, (2, 50))
    assert mapping(rows, cols) == pytest.approx(ground(rows, cols))
    assert mapping(GRID[:, 0], GRID[:, 1]) == pytest.approx(GRID[:, 2:4])


def test_points_that_form_no_grid_get_a_polynomial() -> None:
    rows, cols = np.random.default_rng(0).uniform(0, 1000, (2, 12))
    mapping = gcp_mapping(points(rows, cols))
    assert isinstance(mapping, PolynomialMapping)
    assert mapping.degree == 2
    assert mapping(cols, rows) == pytest.approx(ground(cols, rows))
    plane = gcp_mapping(points(rows[:4], cols[:4]))
    assert isinstance(plane, PolynomialMapping)
    assert plane.degree == 1


def test_the_shape_of_what_is_mapped_is_kept() -> None:
    box = np.arange(12.0).reshape(3, 4)
    for mapping in (gcp_mapping(GRID), AffineMapping((10, 0, 5, 0, -10, 7))):
        assert mapping(box, box).shape == (3, 4, 2)
    assert AffineMapping((10, 1, 5, 2, -10, 7))([3], [4]).tolist() == [[10 * 4 + 3 + 5, 2 * 4 - 30 + 7]]


@pytest.mark.parametrize(
    "table",
    [
        np.zeros((0, 5)),
        GRID[:2],
        np.column_stack([np.arange(5), np.arange(5), np.ones((5, 3))]),
        np.repeat(GRID[:1], 6, axis=0),
        np.where(GRID == 100, np.nan, GRID),
        np.zeros(5),
    ],
    ids=["none", "two", "a line", "one place", "NaN", "no table"],
)
def test_points_that_leave_the_map_open_are_refused(table: np.ndarray) -> None:
    with pytest.raises(SettingError, match=r"expected (at least three )?control points"):
        gcp_mapping(table)
