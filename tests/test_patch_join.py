"""Joins of places: what a dictionary would find, at the size of a real archive, and what cannot be told."""

from __future__ import annotations

import time
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sar_h5.errors import SettingError
from sar_h5.stores.patch_join import MISSING, How, Key, join_patches

Places = list[tuple[int, int, int]]

PLACES = st.tuples(st.integers(0, 3), st.integers(0, 3).map(lambda n: n * 128), st.integers(0, 2).map(lambda n: n * 96))
FILES = st.lists(st.lists(PLACES, unique=True, max_size=20), min_size=1, max_size=4)  # each in an order of its own
PATHS = ["a.h5", "b.h5", "c.h5", "d.h5"]


def key_of(places: Places) -> Key:
    scene, row, col = np.array(places, dtype=np.int32).reshape(-1, 3).T
    return scene, row, col


def join_by_dictionary(files: list[Places], how: How) -> list[list[int]]:
    numbers = [{place: number for number, place in enumerate(places)} for places in files]
    combine = set.union if how == "outer" else set.intersection
    return [[each.get(place, MISSING) for each in numbers] for place in sorted(combine(*map(set, numbers)))]


@given(FILES, st.sampled_from(get_args(How)))
def test_the_join_is_that_of_a_dictionary(files: list[Places], how: How) -> None:
    joined = join_patches([key_of(places) for places in files], how, PATHS)
    assert joined.dtype == np.int64
    assert joined.shape[1] == len(files)
    assert joined.tolist() == join_by_dictionary(files, how)


@given(FILES, st.data())
def test_a_place_that_a_file_has_twice_is_refused(files: list[Places], data: st.DataObject) -> None:
    number = data.draw(st.integers(0, len(files) - 1))
    first = data.draw(st.integers(0, len(files[number])))
    place = files[number][first] if first < len(files[number]) else (0, 0, 0)
    twice = [*files[number], place] if first < len(files[number]) else [*files[number], (9, 0, 0), (9, 0, 0)]
    keys = [key_of(twice if file == number else places) for file, places in enumerate(files)]
    with pytest.raises(
        SettingError, match=rf"^{PATHS[number]}: expected one patch of each place, found patches \d+ and"
    ):
        join_patches(keys, "inner", PATHS)


def test_the_message_about_a_place_twice_says_which_patches_and_where() -> None:
    keys = [key_of([(0, 0, 0)]), key_of([(0, 5, 7), (1, 5, 7), (0, 5, 8), (1, 5, 7)])]
    with pytest.raises(SettingError, match=r"b\.h5: .* found patches 1 and 3 both at row 5, column 7 of one scene"):
        join_patches(keys, "outer", PATHS)


def test_rows_and_columns_of_any_integer_type_are_compared_as_numbers() -> None:
    small = tuple(np.array([value], dtype=dtype) for value, dtype in ((1, "u1"), (200, "u1"), (7, "i2")))
    large = tuple(np.array([value], dtype=np.int64) for value in (1, 200, 7))
    assert join_patches([small, large], "inner", PATHS).tolist() == [[0, 0]]  # type: ignore[list-item]


def test_an_archive_of_720_953_patches_joins_in_two_seconds() -> None:
    count = 720_953
    number = np.arange(count)
    key = number // 2400, number % 2400 // 60 * 128, number % 60 * 128
    order = np.random.default_rng(0).permutation(count)
    kept = order[: count - 1000]
    started = time.perf_counter()
    joined = join_patches([key, tuple(part[kept] for part in key)], "inner", PATHS)  # type: ignore[list-item]
    assert time.perf_counter() - started < 2
    assert len(joined) == count - 1000
    np.testing.assert_array_equal(joined[:, 0], np.sort(kept))
    np.testing.assert_array_equal(kept[joined[:, 1]], joined[:, 0])
