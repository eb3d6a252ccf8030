"""Settings of splits: what is refused, and attributes as exact inverses."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sar_h5 import BlockSplit, DateSplit, PatchSplit, SceneSplit
from sar_h5.errors import SettingError
from sar_h5.splits.methods import METHODS, SplitMethod, method_from_attrs

SEEDS = st.integers(0, (1 << 63) - 1)
FRACTIONS = st.sampled_from([(0.8, 0.1, 0.1), (1 / 3, 1 / 3, 1 / 3), (0.9, 0.1), (1, 0, 0), (0, 0.5, 0.5)])
SIZES = st.none() | st.integers(1, 1 << 40)


@given(
    st.builds(SceneSplit, FRACTIONS, SEEDS)
    | st.builds(DateSplit, FRACTIONS, SEEDS)
    | st.builds(BlockSplit, FRACTIONS, SEEDS, SIZES, SIZES)
    | st.builds(PatchSplit, FRACTIONS, SEEDS, st.booleans())
)
def test_attributes_tell_exactly_how_a_split_was_made(method: SplitMethod) -> None:
    again = method_from_attrs(method.to_attrs())
    assert (type(again), again) == (type(method), method)
    assert str(again) == str(method)


@pytest.mark.parametrize("kind", METHODS.values())
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fractions": (0.8, 0.1, 0.2)}, r"fractions that sum to 1, .*0\.8, 0\.1, 0\.2 sum to 1\.1"),
        ({"fractions": (0.8, 0.1)}, "sum to 0.9"),
        ({"fractions": (0.8, 0.2001)}, "sum to 1.0001"),
        ({"fractions": (1,)}, "2 or 3 fractions.*found 1"),
        ({"fractions": ()}, "2 or 3 fractions.*found none"),
        ({"fractions": (0.25,) * 4}, "2 or 3 fractions"),
        ({"fractions": (1.5, -0.5)}, "fractions from 0 to 1.*found 1.5, -0.5"),
        ({"fractions": (math.nan, 0.5, 0.5)}, "fractions from 0 to 1.*nan"),
        ({"fractions": (math.inf, 0)}, "fractions from 0 to 1"),
        ({"seed": -1}, "seed that is an integer of at least 0; found -1"),
        ({"seed": 0.5}, "seed that is an integer"),
        ({"seed": True}, "seed that is an integer"),
        ({"seed": 1 << 63}, "seed that is an integer"),
    ],
)
def test_what_makes_no_sense_is_refused(kind: type[SplitMethod], options: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        kind(**options)


@pytest.mark.parametrize(
    ("options", "message"), [({"block_px": 0}, "block that is an integer"), ({"guard_px": -1}, "guard")]
)
def test_blocks_have_sizes_that_can_be(options: dict[str, int], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        BlockSplit(**options)


def test_fractions_of_thirds_and_arrays_are_taken() -> None:
    assert SceneSplit((0.3333333, 0.3333333, 0.3333333)).wanted == dict.fromkeys((1, 2, 3), 0.3333333)
    assert SceneSplit(np.array([0.5, 0.5])) == SceneSplit([0.5, 0.5])  # type: ignore[arg-type]
    assert SceneSplit((0.7, 0, 0.3)).wanted == {1: 0.7, 3: 0.3}


@pytest.mark.parametrize(
    "attrs",
    [{}, {"by": "moon"}, {"by": "scene", "fractions": [1, 2], "seed": 0}, {"by": "scene", "fractions": 1, "seed": 0}],
)
def test_attributes_of_others_are_no_method(attrs: dict[str, Any]) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        method_from_attrs(attrs)
