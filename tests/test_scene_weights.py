"""Weights of scenes, in every way in which users write them, and in some in which they should not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sar_h5.errors import SettingError
from sar_h5.samplers.scene_weights import weights_by_scene

SCENES = np.array([2, 0, 2, 0])
NAMES = ["a", "b", "c"]


@pytest.mark.parametrize(
    ("weights", "names", "expected"),
    [
        ("equal", None, [1, 1]),
        ({"c": 3, "a": 0.5, "b": 7}, NAMES, [0.5, 3]),  # b has no samples here
        ({"a": 1, "c": 0}, NAMES, [1, 0]),
        ({0: 1, 2: np.float32(0.25)}, None, [1, 0.25]),
        ([1, 9, 4], NAMES, [1, 4]),
        (np.array([1.5, 0, 0, 0]), None, [1.5, 0]),
    ],
)
def test_weights_are_those_of_the_scenes_that_have_samples(weights: Any, names: Any, expected: list[float]) -> None:
    assert weights_by_scene(weights, SCENES, names) == expected


def test_no_samples_need_no_weights() -> None:
    assert weights_by_scene([], SCENES[:0], None) == weights_by_scene("equal", SCENES[:0], None) == []


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ("even", "expected weights \"equal\", a mapping or a list; found 'even'"),
        ({"a": 1}, r"each of the 2 scenes that have samples, such as \['a', 'c'\]; missing are \['c'\]"),
        ({"a": 1, "c": 1, "d": 2}, r"unknown are \['d'\]"),
        ({0: 1, 2: 1}, r"unknown are \[0, 2\]"),
        ([1, 1], "which are 0 to 2; found 2 weights"),
        ([[1, 1, 1]], r"one weight per scene number; found int64 of shape \(1, 3\)"),
        (["x", "y", "z"], "one weight per scene number; found <U1"),
        (None, "one weight per scene number; found object"),
        ([-1, 0, 1], "finite weights, 0 or more; found -1"),
        ([np.nan, 0, 1], "found nan"),
        ({"a": np.inf, "c": 1}, "found inf"),
        ({"a": "much", "c": 1}, "weights as numbers; found 'much'"),
        ([0, 5, 0], "above 0 for at least one scene"),
    ],
)
def test_weights_that_make_no_sense_are_refused(weights: Any, message: str) -> None:
    with pytest.raises(SettingError, match=message):
        weights_by_scene(weights, SCENES, NAMES)


def test_scene_numbers_below_zero_do_not_count_from_the_end() -> None:
    with pytest.raises(SettingError, match="which are -1 to 0; found 2 weights"):
        weights_by_scene([1, 2], np.array([0, -1]), None)
