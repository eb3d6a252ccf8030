"""Amounts as people want to read them: rounded to what an estimate is worth."""

from __future__ import annotations

from math import floor, log10

_MINUTE, _HOUR, _DAY = 60, 3600, 86400


def round_to_two_digits(value: float) -> float:
    """Round to two significant digits, as an estimate deserves."""
    if value == 0:
        return 0.0
    return float(round(value, 1 - floor(log10(abs(value)))))


def bytes_in_words(nbytes: float) -> str:
    """Write a number of bytes with two significant digits, in decimal units: 47 GB."""
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if round_to_two_digits(nbytes) >= size:
            return f"{_plain(nbytes / size)} {unit}"
    return f"{_plain(nbytes)} B"


def seconds_in_words(seconds: float) -> str:
    """Write a duration with two significant digits: 3.4 min; 26 h; less than a second where it is."""
    if seconds < 1:
        return "less than 1 s"
    for unit, size, least in (("d", _DAY, 2 * _DAY), ("h", _HOUR, 2 * _HOUR), ("min", _MINUTE, 2 * _MINUTE)):
        if seconds >= least:
            return f"{_plain(seconds / size)} {unit}"
    return f"{_plain(seconds)} s"


def _plain(value: float) -> str:
    return f"{round_to_two_digits(value):,.10g}"
