"""Any way of choosing patches, as their numbers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sar_h5.errors import PatchIndexError, SettingError
from sar_h5.selection import patch_numbers

bounds = st.none() | st.integers(-30, 30)


@given(count=st.integers(0, 20), data=st.data())
def test_numbers_mean_what_they_mean_for_a_list(count: int, data: st.DataObject) -> None:
    indices = data.draw(st.lists(st.integers(-count, count - 1)) if count else st.just([]))
    for given_as in (indices, tuple(indices), np.array(indices, dtype=np.int64), np.array(indices, dtype=np.int16)):
        numbers = patch_numbers(given_as, count)
        assert numbers.dtype == np.int64
        assert numbers.tolist() == [list(range(count))[index] for index in indices]


@given(count=st.integers(0, 20), start=bounds, stop=bounds, step=st.none() | st.integers(-5, 5).filter(bool))
def test_a_slice_means_what_it_means_for_a_list(
    count: int, start: int | None, stop: int | None, step: int | None
) -> None:
    chosen = slice(start, stop, step)
    assert patch_numbers(chosen, count).tolist() == list(range(count))[chosen]


@given(mask=st.lists(st.booleans(), min_size=1, max_size=20))
def test_a_mask_chooses_where_it_is_true(mask: list[bool]) -> None:
    wanted = [number for number, chosen in enumerate(mask) if chosen]
    for given_as in (mask, np.array(mask)):
        numbers = patch_numbers(given_as, len(mask))
        assert numbers.tolist() == wanted
        assert numbers.dtype == np.int64


def test_the_choice_is_memory_of_its_own() -> None:
    indices = np.array([2, 0], dtype=np.int64)
    numbers = patch_numbers(indices, 3)
    indices[0] = 1
    assert numbers.tolist() == [2, 0]


@pytest.mark.parametrize("beyond", [5, 99, -6, np.iinfo(np.int64).max, np.iinfo(np.int64).min])
def test_a_number_outside_is_named(beyond: int) -> None:
    with pytest.raises(PatchIndexError, match=f"patch index {beyond} is out of range for 5 patches") as caught:
        patch_numbers([0, beyond, 77], 5)
    assert (caught.value.index, caught.value.length) == (beyond, 5)


def test_unsigned_numbers_beyond_int64_are_outside() -> None:
    with pytest.raises(PatchIndexError):
        patch_numbers(np.array([2**63 + 3], dtype=np.uint64), 5)
    with pytest.raises(PatchIndexError):
        patch_numbers(np.array([2**64 - 1], dtype=np.uint64), 5)


@pytest.mark.parametrize(
    ("indices", "message"),
    [
        ([[0, 1]], "one row of integers"),
        (np.array(3), "one row of integers"),
        ([0.0, 1.0], "integers, found float64"),
        (["a"], "integers"),
        ([True] * 4, r"mask over all 5 patches, found shape \(4,\)"),
        (np.ones((5, 1), bool), "mask over all 5"),
    ],
)
def test_what_chooses_nothing_is_refused(indices: object, message: str) -> None:
    with pytest.raises(SettingError, match=message):
        patch_numbers(indices, 5)  # type: ignore[arg-type]
