"""Pixels become the values of the reference pipeline, no data becomes 0."""

from __future__ import annotations

import numpy as np
import pytest

from sar_h5.radiometry import Bounds, preprocess_sar_complete
from sar_h5.stores.pixel_values import PixelValues
from sar_h5.units import Units
from tests.conftest import make_dn

BOUNDS = Bounds(14.77, 24.54)


def values_of(units: Units, bounds: Bounds, pixels: np.ndarray, nodata: float | None = None) -> np.ndarray:
    scale = PixelValues(units, bounds)
    kept = scale.prepare(pixels, nodata)
    assert kept.dtype == scale.dtype
    out = np.empty(pixels.shape, dtype=np.float32)
    scale.lookup.place(kept, 0, out)
    return out


@pytest.mark.parametrize("dtype", [np.uint16, np.float32, np.float64])
def test_values_are_those_of_the_reference_pipeline(dtype: type) -> None:
    pixels = make_dn(0, (300, 300)).astype(dtype)
    pixels[:9] = 0
    expected, _ = preprocess_sar_complete(pixels, 14.77, 24.54)
    units = Units.DN if dtype == np.uint16 else Units.LINEAR
    assert values_of(units, BOUNDS, pixels).tobytes() == expected.tobytes()


def test_values_in_db_are_scaled_as_they_are() -> None:
    pixels = np.array([[-20, -15, -10, np.nan, -99]], dtype=np.float32)
    assert values_of(Units.DB, Bounds(-20, -10), pixels, -99).tolist() == [[0, 0.5, 1, 0, 0]]


@pytest.mark.parametrize("units", [Units.DN, Units.LINEAR])
def test_no_data_is_0_even_where_the_bounds_reach_below_it(units: Units) -> None:
    pixels = np.array([[0, 7, 100]]).astype(np.uint16 if units == Units.DN else np.float32)
    values = values_of(units, Bounds(-200, 30), pixels, 7.0)
    assert values[0, :2].tolist() == [0, 0]
    assert values[0, 2] > 0.9
    assert pixels[0, 1] == 7
