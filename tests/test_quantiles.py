"""Streamed percentiles against ``numpy.percentile`` of all values in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from sar_h5.conversion_kernels import ordered_key
from sar_h5.quantiles import (
    FloatPercentiles,
    count_coarse,
    count_dn,
    dn_percentiles,
    interpolated_ranks,
)
from sar_h5.radiometry import to_db
from tests.conftest import make_dn

Array = npt.NDArray[Any]

finite = st.floats(-(2.0**125), 2.0**125, width=32)
ties = st.sampled_from([0.0, -0.0, 1.0, -1.0, 1e-45, -1e-45, 1.5])
samples = npst.arrays(np.float32, st.integers(1, 60), elements=finite | ties)
percentile_lists = st.lists(st.floats(0, 100) | st.sampled_from([0, 1, 50, 99, 100]), min_size=1, max_size=4)


def stream(parts: list[Array], percentiles: list[float]) -> list[float]:
    """Percentiles of the parts in two passes, the second in reverse order."""
    exact = FloatPercentiles(sum((count_coarse(part) for part in parts), np.zeros(65536, np.uint64)), percentiles)
    for part in reversed(parts):
        exact.count_fine(part)
    return exact.values()


@settings(deadline=None)
@given(values=samples, percentiles=percentile_lists)
def test_percentiles_of_floats_are_those_of_numpy(values: Array, percentiles: list[float]) -> None:
    expected = np.percentile(values.astype(np.float64), percentiles)
    assert stream([values], percentiles) == expected.tolist()


@settings(deadline=None)
@given(values=samples, cuts=st.lists(st.integers(0, 60), max_size=4), data=st.data())
def test_percentiles_do_not_depend_on_how_the_values_are_split(
    values: Array, cuts: list[int], data: st.DataObject
) -> None:
    shuffled = np.array(data.draw(st.permutations(values.tolist())), dtype=np.float32)
    parts = np.split(shuffled, sorted(min(cut, len(values)) for cut in cuts))
    assert stream(parts, [0, 1, 33.3, 50, 99, 100]) == stream([values], [0, 1, 33.3, 50, 99, 100])


@pytest.mark.parametrize("n", [1, 2, 3, 100, 101, 100_000])
def test_percentiles_of_decibels_are_exact_at_any_number(n: int) -> None:
    db = np.random.default_rng(n).normal(-12, 6, n).astype(np.float32)
    percentiles = [0, 1, 2.5, 50, 99, 99.9, 100]
    expected = np.percentile(db.astype(np.float64), percentiles).tolist()
    assert stream(np.array_split(db, 7), percentiles) == expected


def test_values_that_share_their_upper_bits_are_told_apart() -> None:
    values = (np.arange(1000, dtype=np.uint32) + np.uint32(0x41200000)).view(np.float32)  # ten and its neighbours
    assert np.count_nonzero(count_coarse(values)) == 1
    assert stream([values], [0, 50, 100]) == np.percentile(values.astype(np.float64), [0, 50, 100]).tolist()


def test_arrays_of_any_shape_and_stride_are_counted_whole() -> None:
    values = np.random.default_rng(1).normal(0, 1, (40, 60)).astype(np.float32)[::2, ::-3]
    assert count_coarse(values).sum() == values.size
    assert stream([values], [10, 90]) == np.percentile(values.astype(np.float64), [10, 90]).tolist()


@given(npst.arrays(np.float32, 2, elements=st.floats(width=32, allow_nan=False)))
def test_keys_order_as_the_numbers_do(pair: Array) -> None:
    keys = [int(ordered_key(bits)) for bits in pair.view(np.uint32)]
    assert all(0 <= key < 1 << 32 for key in keys)
    if pair[0] != pair[1]:
        assert (keys[0] < keys[1]) == (pair[0] < pair[1])
    elif pair[0] != 0:
        assert keys[0] == keys[1]


# Digital numbers


def test_digital_numbers_are_counted_but_zero() -> None:
    dn = np.array([[0, 1, 1], [65535, 0, 7]], dtype=np.uint16)
    counts = count_dn(dn)
    assert counts.dtype == np.uint64
    assert counts.shape == (65536,)
    assert {int(number): int(counts[number]) for number in np.flatnonzero(counts)} == {1: 2, 7: 1, 65535: 1}


@settings(deadline=None)
@given(
    dn=npst.arrays(np.uint16, st.integers(1, 50), elements=st.integers(1, 65535) | st.integers(1, 4)),
    percentiles=percentile_lists,
)
def test_percentiles_of_digital_numbers_are_those_of_numpy_over_all_pixels(dn: Array, percentiles: list[float]) -> None:
    table = np.arange(65536, dtype=np.float32) ** np.float32(0.5)
    expected = np.percentile(table[dn].astype(np.float64), percentiles)
    assert dn_percentiles(count_dn(dn), table, percentiles) == expected.tolist()


def test_histograms_add_up_over_scenes_and_leave_out_borders() -> None:
    scenes = [make_dn(seed, (50, 70), median=40.0 * seed) for seed in (1, 2, 3)]
    table = to_db(np.maximum(np.arange(65536), 1))
    expected = np.percentile(table[np.stack(scenes)].astype(np.float64), [1, 99]).tolist()
    bordered = [np.pad(scene, 9) for scene in scenes]
    counts = sum((count_dn(scene) for scene in bordered), np.zeros(65536, np.uint64))
    assert dn_percentiles(counts, table, [1, 99]) == expected


def test_counts_beyond_32_bits_are_exact() -> None:
    counts = np.zeros(65536, dtype=np.uint64)
    counts[[10, 20]] = 3 << 33, 1 << 33
    table = np.arange(65536, dtype=np.float32)
    assert dn_percentiles(counts, table, [0, 74.9, 75.1, 100]) == [10, 10, 20, 20]


@given(total=st.integers(1, 10**12), percentile=st.floats(0, 100))
def test_ranks_lie_within_the_data(total: int, percentile: float) -> None:
    ((lower, upper, weight),) = interpolated_ranks(total, [percentile])
    assert 0 <= lower <= upper <= min(lower + 1, total - 1)
    assert 0 <= weight < 1
    assert lower + weight == pytest.approx(percentile / 100 * (total - 1))
