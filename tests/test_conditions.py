"""Conditions on columns: kinds, types, and columns that are not there."""

from __future__ import annotations

import numpy as np
import pytest

from sar_h5.errors import SettingError
from sar_h5.tables.where import parse_where

COLUMNS = {
    "platform": np.array(["S1A", "S1B"], dtype=object),
    "valid_fraction": np.array([0.95, 1.0], dtype=np.float32),
    "scene": np.array([0, 1], dtype=np.int32),
    "checksum": np.array([0, 2**32 - 1], dtype=np.uint32),
    "ice": np.array([True, False]),
    "land cover": np.array([1, 2]),
}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("platform == 5", r"^where: platform \(character 1\) holds text and 5 \(character 13\) numbers; .*stands in quotes"),
        ("1 < valid_fraction < 'a'", r"valid_fraction \(character 5\) holds numbers and 'a' \(character 22\) text"),
        ("scene in [1, 'a']", r"scene \(character 1\) holds numbers and 'a' \(character 14\) text"),
        ("ice == 1", r"ice \(character 1\) holds truth values and 1 \(character 8\) numbers; these cannot be compared$"),
        ("ice < True", "are truth values, which have no order; use == or !="),
        ("ice and platform", r"platform \(character 9\) holds text, not truth values; compare it with something"),
        ("not 1", "holds numbers, not truth values"),
        ("platfrom == 'S1A'", r"no column platfrom \(character 1\); did you mean platform\? There are platform, valid_fraction, "),
        ("ice or zebra == 1", r"no column zebra \(character 8\); there are platform, .*, ice, `land cover`$"),
        ("x" * 5000 + " == 1", r"no column x+; there"),
    ],
)  # fmt: skip
def test_a_condition_that_does_not_fit_the_columns_says_what_they_hold(text: str, message: str) -> None:
    with pytest.raises(SettingError, match=message) as caught:
        parse_where(text).evaluate(COLUMNS, 2)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("text", "expected"),
    {
        "valid_fraction == 0.95": [True, False],
        "valid_fraction >= 0.95": [True, True],
        "valid_fraction in [0.95, 5]": [True, False],
        "valid_fraction < 1e39": [True, True],
        "valid_fraction in [1e39]": [False, False],
        "checksum == 4294967295": [False, True],
        "checksum > -1": [True, True],
        "scene < 9223372036854775807": [True, True],
        "scene in [9223372036854775807, 1]": [False, True],
        "scene <= valid_fraction": [True, True],
    }.items(),
)
def test_a_number_is_compared_in_the_type_of_its_column(text: str, expected: list[bool]) -> None:
    assert parse_where(text).evaluate(COLUMNS, 2).tolist() == expected


@pytest.mark.parametrize("text", ["platform == 'S1A'", "platform in ['S1A']", "ice", "scene > 1", "True"])
def test_no_rows_give_no_rows(text: str) -> None:
    empty = {name: values[:0] for name, values in COLUMNS.items()}
    result = parse_where(text).evaluate(empty, 0)
    assert (result.dtype, result.shape) == (np.bool_, (0,))


def test_only_the_columns_that_are_needed_are_read_and_none_is_changed() -> None:
    class Watched(dict[str, np.ndarray]):
        def __getitem__(self, name: str) -> np.ndarray:
            read.append(name)
            return super().__getitem__(name)

    read: list[str] = []
    before = COLUMNS["ice"].copy()
    result = parse_where("ice and ice").evaluate(Watched(COLUMNS), 2)
    assert read == ["ice"]
    result[:] = False
    np.testing.assert_array_equal(COLUMNS["ice"], before)
