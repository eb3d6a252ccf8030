"""SplitMix64: the published generator, one number at a time or many."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sar_h5.splitmix import MASK, fold, mix, mix_array, random_keys

WORDS = st.integers(0, MASK)


def test_the_keys_are_the_generators_first_outputs() -> None:
    # Of Vigna's C code, https://prng.di.unimi.it/splitmix64.c, with the state 1234567.
    published = [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]
    assert random_keys(1234567, 5).tolist() == published


@given(st.lists(WORDS, max_size=20))
def test_many_at_once_are_as_one_at_a_time(values: list[int]) -> None:
    assert mix_array(np.array(values, dtype=np.uint64)).tolist() == [mix(value) for value in values]


@given(WORDS, st.integers(0, 2000))
def test_keys_are_distinct_and_do_not_depend_on_how_many_are_drawn(state: int, count: int) -> None:
    keys = random_keys(state, count).tolist()
    assert len(set(keys)) == count
    assert keys[: count // 2] == random_keys(state, count // 2).tolist()


def test_folding_tells_integers_of_either_sign_apart_by_their_low_64_bits_in_any_order() -> None:
    parts = [0, 1, -1, 2**70 + 3, -(2**63)]
    states = {fold(*pair) for pair in [(one, other) for one in parts for other in parts]}
    assert len(states) == 25
    assert all(0 <= state <= MASK for state in states)
    assert fold(2**64 + 3) == fold(3)
    assert fold(np.int64(5), np.uint8(3)) == fold(5, 3)
