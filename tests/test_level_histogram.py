"""Counts of levels as a density: nothing lost, no gaps, and the shares beyond the bounds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sar_h5.errors import SettingError
from sar_h5.level_histogram import level_histogram, shares_outside

LEVELS = 10 * np.log10(np.arange(1, 300))


@given(arrays(np.int64, len(LEVELS), elements=st.integers(0, 1000)), st.sampled_from([0.0, 0.05, 0.5, 100.0]))
def test_the_density_holds_all_counts(counts: np.ndarray, least_width: float) -> None:
    counts[7] += 1
    histogram = level_histogram(LEVELS, counts, least_width)
    assert histogram.total == counts.sum()
    assert (np.diff(histogram.edges) > 0).all()
    assert np.sum(histogram.density * np.diff(histogram.edges)) == pytest.approx(1)


def test_a_level_stands_for_what_is_nearer_to_it_than_to_its_neighbors() -> None:
    histogram = level_histogram([0, 1, 3, 4], [0, 2, 6, 0])
    assert histogram.edges.tolist() == [0, 2, 4]
    assert histogram.density.tolist() == [0.125, 0.375]


def test_uniform_counts_of_uneven_levels_leave_no_gap() -> None:
    histogram = level_histogram(LEVELS, np.ones(len(LEVELS)), 0.1)
    assert (histogram.density > 0).all()
    assert np.diff(histogram.edges)[-20:].max() < 0.2
    assert level_histogram([5.0], [3], 0.1).density.tolist() == pytest.approx([10])


def test_shares_outside_are_those_of_a_count_one_by_one() -> None:
    counts = np.random.default_rng(0).integers(0, 50, len(LEVELS))
    values = np.repeat(LEVELS, counts)
    expected = (np.mean(values < LEVELS[20]), np.mean(values > 20.5))
    assert shares_outside(LEVELS, counts, LEVELS[20], 20.5) == pytest.approx(expected)


def test_counts_of_nothing_are_refused() -> None:
    with pytest.raises(SettingError, match="expected counts of at least one level"):
        level_histogram([1, 2], [0, 0])
