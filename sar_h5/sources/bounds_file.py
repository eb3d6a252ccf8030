"""Clip bounds as people keep them: a pickled dict, an array of the two, or JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from sar_h5.errors import BoundsError, SourceError
from sar_h5.plain_data import read_plain_data
from sar_h5.radiometry import Bounds

_NESTED = ("global_bounds", "bounds", "clip_bounds")
_MOST_NBYTES = 1 << 20

_BLANKS_AND_MARKS = b" \t\r\n\x00\xef\xbb\xbf\xfe\xff"
"""What may come before the first character of JSON: blanks and the byte order marks of UTF-8 and UTF-16."""


def find_bounds(data: object, polarization: str, origin: str) -> Bounds | None:
    """Find the bounds of a polarization in plain data.

    Args:
        data: a mapping with ``vmin`` and ``vmax`` in dB, or with such a mapping or pair under the polarization's
            name or under ``global_bounds``, ``bounds`` or ``clip_bounds``; or a sequence or array of the two.
        polarization: "vv", "vh", "hh" or "hv".
        origin: where the data come from, for errors and for the file's attributes.

    Returns:
        The bounds, or None where the data hold none.

    Raises:
        BoundsError: where they hold some that are no bounds.
    """
    if isinstance(data, Mapping):
        named = {str(key).lower(): value for key, value in data.items()}
        if "vmin" in named and "vmax" in named:
            return _pair(named["vmin"], named["vmax"], origin)
        nested = (find_bounds(named[key], polarization, origin) for key in (polarization, *_NESTED) if key in named)
        return next((bounds for bounds in nested if bounds is not None), None)
    values = data.tolist() if isinstance(data, np.ndarray) else data
    if isinstance(values, (list, tuple)) and len(values) == 2 and all(_is_number(value) for value in values):
        return _pair(values[0], values[1], origin)
    return None


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)


def _pair(vmin: object, vmax: object, origin: str) -> Bounds:
    try:
        return Bounds(float(vmin), float(vmax), origin)  # type: ignore[arg-type]  # the next line is for what it refuses
    except BoundsError:
        raise
    except (TypeError, ValueError, OverflowError) as error:
        raise BoundsError(
            f"{origin}: expected vmin and vmax as numbers in dB, found {vmin!r:.100} and {vmax!r:.100}"
        ) from error


def read_bounds_file(path: Path, polarization: str) -> Bounds:
    """Read bounds from ``.npy``, pickle or JSON, told apart by content.

    Args:
        path: the file.
        polarization: whose bounds, where the file holds several.

    Raises:
        BoundsError: where it holds none.
        SourceError: where it cannot be read, or is pickled and holds anything but plain data.
    """
    bounds = find_bounds(_read_data(path), polarization, str(path))
    if bounds is None:
        raise BoundsError(
            f"{path}: found no bounds of {polarization}; expected a dict with vmin and vmax in dB (or one for each "
            'polarization), an array of the two, or JSON such as {"vmin": 14.77, "vmax": 24.54}'
        )
    return bounds


def _read_data(path: Path) -> object:
    try:
        with path.open("rb") as file:
            head = file.read(_MOST_NBYTES)
    except OSError as error:
        raise SourceError(f"{path}: the bounds file cannot be read: {error.strerror or error}") from error
    if head.lstrip(_BLANKS_AND_MARKS)[:1] in (b"{", b"["):
        try:
            return json.loads(head)
        except (ValueError, RecursionError) as error:
            raise BoundsError(f"{path}: expected JSON, but it cannot be parsed: {error}") from error
    return read_plain_data(path)
