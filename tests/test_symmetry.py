"""The eight symmetries of the square, and that each is drawn as often as any other."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sar_h5.symmetry import SYMMETRIES, apply_symmetry, draw_symmetries, draw_symmetry

PATCH = np.arange(9).reshape(3, 3)
IMAGES = {apply_symmetry(PATCH, number).tobytes(): number for number in range(SYMMETRIES)}

DRAWN = {
    (0, 0): [1, 1, 5, 2, 3, 3, 2, 6, 5, 1, 5, 1, 4, 4, 6, 0],
    (-5, 3): [7, 0, 1, 4, 4, 1, 6, 3, 2, 5, 4, 5, 6, 7, 3, 2],
}

# 99.99 % points of the chi-square distribution with 7 and 63 degrees of freedom (scipy.stats.chi2.ppf). Draws are a
# pure function of their arguments, so a test that passes once always does.
RARE_OF_8, RARE_OF_64 = 29.878, 113.505


def chi_square(counts: np.ndarray) -> float:
    expected = counts.sum() / counts.size
    return float(((counts - expected) ** 2 / expected).sum())


def draw_many(seed: int, epoch: int, patches: range) -> np.ndarray:
    return np.array([draw_symmetry(seed, epoch, patch) for patch in patches])


def test_the_eight_symmetries_are_distinct() -> None:
    assert SYMMETRIES == len(IMAGES) == 8


def test_number_zero_leaves_the_patch_as_it_is() -> None:
    assert np.array_equal(apply_symmetry(PATCH, 0), PATCH)


def test_the_low_bits_turn_counter_clockwise_and_bit_two_mirrors_afterwards() -> None:
    patch = np.array([[1, 2], [3, 4]])
    turned = [[[1, 2], [3, 4]], [[2, 4], [1, 3]], [[4, 3], [2, 1]], [[3, 1], [4, 2]]]
    assert [apply_symmetry(patch, number).tolist() for number in range(4)] == turned
    assert [apply_symmetry(patch, number).tolist() for number in range(4, 8)] == [
        [row[::-1] for row in rows] for rows in turned
    ]


def test_they_are_a_group() -> None:
    table = [
        [IMAGES[apply_symmetry(apply_symmetry(PATCH, first), second).tobytes()] for second in range(8)]
        for first in range(8)
    ]
    for numbers in (*table, *zip(*table, strict=True)):
        assert sorted(numbers) == list(range(8))  # closed, and each has an inverse
    assert table[1][4] != table[4][1]  # that of the square, which is not commutative
    assert sorted(table[number][number] == 0 for number in range(8)) == [False] * 2 + [True] * 6


@given(number=st.integers(0, 7), size=st.integers(1, 12), seed=st.integers(0, 2**32))
def test_a_symmetry_moves_pixels_and_changes_none(number: int, size: int, seed: int) -> None:
    patch = np.random.default_rng(seed).random((size, size), dtype=np.float32)
    moved = apply_symmetry(patch, number)
    assert np.shares_memory(moved, patch)
    assert (moved.shape, moved.dtype) == (patch.shape, patch.dtype)
    assert sorted(moved.ravel()) == sorted(patch.ravel())


# Draws


def test_draws_stay_the_same_for_ever() -> None:
    """Written down once: a change would break the reproducibility of trainings across versions."""
    assert [draw_symmetry(0, 0, patch) for patch in range(16)] == DRAWN[0, 0]
    assert [draw_symmetry(-5, 3, patch) for patch in range(16)] == DRAWN[-5, 3]


@given(seed=st.integers(-(2**200), 2**200), epoch=st.integers(0, 2**40), patch=st.integers(0, 2**40), data=st.data())
def test_draws_are_a_pure_function_of_seed_epoch_and_patch(
    seed: int, epoch: int, patch: int, data: st.DataObject
) -> None:
    drawn = draw_symmetry(seed, epoch, patch)
    draw_symmetry(data.draw(st.integers()), 0, 0)
    assert drawn == draw_symmetry(seed, epoch, patch)
    assert drawn in range(8)
    assert type(drawn) is int


@given(seed=st.integers(-(2**63), 2**63 - 1), epoch=st.integers(0, 2**31 - 1), patch=st.integers(0, 2**63))
def test_integers_of_numpy_draw_the_same(seed: int, epoch: int, patch: int) -> None:
    drawn = draw_symmetry(np.int64(seed), np.int32(epoch), np.uint64(patch))  # type: ignore[arg-type]
    assert drawn == draw_symmetry(seed, epoch, patch)


@given(
    seed=st.integers() | st.integers(-(2**200), 2**200),
    epoch=st.integers() | st.integers(-(2**70), 2**70),
    patches=st.lists(st.integers(-(2**63), 2**63 - 1)),
)
def test_many_draws_at_once_are_those_one_by_one(seed: int, epoch: int, patches: list[int]) -> None:
    drawn = draw_symmetries(seed, epoch, np.array(patches, dtype=np.int64))
    assert drawn.dtype == np.uint8
    assert drawn.tolist() == [draw_symmetry(seed, epoch, patch) for patch in patches]


def test_many_draws_leave_the_numbers_as_they_are_and_warn_of_nothing() -> None:
    patches = np.arange(720_953, dtype=np.int64)[::-3]
    with np.errstate(all="raise"):
        drawn = draw_symmetries(7, 3, patches)
    assert (patches[0], patches[-1]) == (720_952, 720_952 % 3)
    assert drawn[:50].tolist() == [draw_symmetry(7, 3, int(patch)) for patch in patches[:50]]
    assert chi_square(np.bincount(drawn, minlength=8)) < RARE_OF_8


@pytest.mark.parametrize("seed", [0, 1, 2, 42, -1, -(2**63), 2**63, 2**64 - 1, 10**30])
@pytest.mark.parametrize("epoch", [0, 1, 1000])
def test_each_symmetry_is_equally_likely_over_patches(seed: int, epoch: int) -> None:
    counts = np.bincount(draw_many(seed, epoch, range(4000)), minlength=8)
    assert chi_square(counts) < RARE_OF_8


def test_each_symmetry_is_equally_likely_over_seeds_and_over_epochs() -> None:
    over_seeds = [draw_symmetry(seed, 0, 0) for seed in range(-4000, 4000)]
    over_epochs = [draw_symmetry(0, epoch, 7) for epoch in range(8000)]
    for drawn in (over_seeds, over_epochs):
        assert chi_square(np.bincount(drawn, minlength=8)) < RARE_OF_8


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ((0, 0, 0), (0, 1, 0)),  # the next epoch
        ((0, 4, 0), (0, 5, 0)),
        ((0, 0, 0), (1, 0, 0)),  # the next seed
        ((0, 0, 0), (0, 0, 1)),  # the neighbouring patch
        ((0, 1, 0), (1, 0, 0)),  # seed and epoch exchanged
        ((-1, 0, 0), (1, 0, 0)),
        ((0, 0, 0), (0, 0, 720_953)),
    ],
)
def test_two_draws_are_independent(first: tuple[int, int, int], second: tuple[int, int, int]) -> None:
    pairs = np.zeros((8, 8), dtype=int)
    left, right = (draw_many(seed, epoch, range(start, start + 8000)) for seed, epoch, start in (first, second))
    np.add.at(pairs, (left, right), 1)
    assert chi_square(pairs) < RARE_OF_64


def test_a_patch_meets_all_symmetries_in_few_epochs() -> None:
    for patch in range(50):
        assert {draw_symmetry(0, epoch, patch) for epoch in range(80)} == set(range(8))


def test_the_draws_of_many_seeds_differ() -> None:
    rows = [tuple(draw_many(seed, epoch, range(64))) for seed, epoch in itertools.product(range(-10, 10), range(10))]
    assert len(set(rows)) == len(rows)
