"""Amounts in words: two digits, the unit that fits."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sar_h5.forecasts.rounding import bytes_in_words, round_to_two_digits, seconds_in_words


@given(st.floats(1e-6, 1e30))
def test_rounding_is_within_five_percent_and_stable(value: float) -> None:
    rounded = round_to_two_digits(value)
    assert rounded == pytest.approx(value, rel=0.0501)
    assert round_to_two_digits(rounded) == pytest.approx(rounded, rel=1e-12)


@pytest.mark.parametrize(
    ("nbytes", "text"),
    [
        (0, "0 B"),
        (17, "17 B"),
        (999, "1 kB"),
        (1234, "1.2 kB"),
        (47_248_375_808, "47 GB"),
        (999_900_000_000, "1 TB"),
        (188_993_000_000, "190 GB"),
    ],
)
def test_bytes_take_the_unit_that_fits(nbytes: int, text: str) -> None:
    assert bytes_in_words(nbytes) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "less than 1 s"), (3.14, "3.1 s"), (119, "120 s"), (125, "2.1 min"), (7300, "2 h"), (200_000, "2.3 d")],
)
def test_durations_take_the_unit_that_fits(seconds: float, text: str) -> None:
    assert seconds_in_words(seconds) == text
