"""Values in [0, 1] are told from all others."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sar_h5.stores import unit_interval
from sar_h5.stores.unit_interval import all_in_unit_interval, describe_bad_values, find_bad_patch


@given(st.lists(st.floats(width=32), min_size=1, max_size=9))
def test_it_is_the_comparison_with_both_ends(numbers: list[float]) -> None:
    values = np.array(numbers, dtype=np.float32)
    assert all_in_unit_interval(values) == bool(((values >= 0) & (values <= 1)).all())


@pytest.mark.parametrize("value", [-0.0, 0.0, 1e-45, 1.0])
def test_the_ends_and_negative_zero_are_inside(value: float) -> None:
    assert all_in_unit_interval(np.full((2, 2), value, dtype=np.float32))


@pytest.mark.parametrize("value", [np.nextafter(np.float32(1), np.float32(2)), -1e-45, np.nan, -np.nan, np.inf])
def test_the_first_bad_patch_is_found_whatever_the_steps(value: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unit_interval, "CHECKED_NBYTES", 3 * 16)
    patches = np.zeros((8, 2, 2), dtype=np.float32)
    assert find_bad_patch(patches) is None
    patches[4:, 1, 0] = value
    assert find_bad_patch(patches) == 4


def test_bad_values_are_described() -> None:
    assert describe_bad_values(np.array([[2, 0], [3, 1]], np.float32)) == (
        "values outside [0, 1] such as 2.0 (2 of 4 pixels)"
    )
    assert describe_bad_values(np.array([2, np.nan, 1], np.float32)) == "NaN (2 of 3 pixels)"
