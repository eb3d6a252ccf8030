"""The allocation of groups to splits: by hash, near the fractions, no split without a group."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sar_h5.errors import SettingError
from sar_h5.splits.groups import allocate_groups, draw_number

WANTED = {1: 0.8, 2: 0.1, 3: 0.1}


def test_the_draw_is_the_same_for_ever() -> None:
    # Written down once: another number would split the same scenes differently than files made before.
    assert draw_number(0, "S1A") == 0x5F73933C27B908AD
    assert draw_number(0, "S1A") != draw_number(1, "S1A")
    assert draw_number(1, "2") != draw_number(12, "")
    assert draw_number(0, "odd \udcff name") == draw_number(0, "odd \udcff name")


@given(
    weights=st.dictionaries(st.text(max_size=5), st.integers(1, 1 << 40), min_size=3, max_size=40),
    wanted=st.sampled_from([WANTED, {1: 0.5, 2: 0.5}, {1: 1.0}, {2: 0.01, 3: 0.99}]),
    seed=st.integers(0, 100),
)
def test_every_group_is_in_one_split_and_no_split_is_far_from_its_share(
    weights: dict[str, int], wanted: dict[int, float], seed: int
) -> None:
    codes = allocate_groups(weights, wanted, seed, "scenes")
    assert codes.keys() == weights.keys()
    assert set(codes.values()) == set(wanted)
    total, largest = sum(weights.values()), max(weights.values())
    for code, fraction in wanted.items():
        held = sum(weights[key] for key, found in codes.items() if found == code)
        # The split that lacks most gets the next one: it exceeds its share by less than a group, and others lack that.
        assert abs(held - fraction * total) <= len(wanted) * largest
    shuffled = dict(sorted(weights.items(), reverse=True))
    assert allocate_groups(shuffled, wanted, seed, "scenes") == codes


def test_equal_groups_come_out_as_the_fractions_say_and_seeds_differ() -> None:
    weights = {f"scene {number}": 1 for number in range(100)}
    draws = [allocate_groups(weights, WANTED, seed, "scenes") for seed in range(3)]
    for codes in draws:
        assert [list(codes.values()).count(code) for code in (1, 2, 3)] == [80, 10, 10]
    assert draws[0] != draws[1] != draws[2]
    assert any(draws[0][key] == 1 for key in weights)


def test_few_groups_still_fill_every_split() -> None:
    for seed in range(20):
        codes = allocate_groups({"a": 1000, "b": 1, "c": 1}, WANTED, seed, "scenes")
        assert sorted(codes.values()) == [1, 2, 3]


def test_groups_that_can_hold_no_patch_fill_no_split() -> None:
    for seed in range(20):
        codes = allocate_groups({"a": 5, "b": 5, "c": 5, **{f"thin {n}": 0 for n in range(9)}}, WANTED, seed, "blocks")
        assert sorted(codes[key] for key in "abc") == [1, 2, 3]
    with pytest.raises(SettingError, match="at least 3 blocks, one for each of train, val, test; found 2"):
        allocate_groups({"a": 5, "b": 5, "thin": 0}, WANTED, 0, "blocks")


def test_fewer_groups_than_splits_are_refused_with_what_to_do() -> None:
    with pytest.raises(
        SettingError, match=r"at least 2 days, one for each of train, test; found 1; .*--by block.*fraction 0"
    ):
        allocate_groups({"2021-01-01": 7}, {1: 0.5, 3: 0.5}, 0, "days")
