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


def find_bounds(data: object, polarization: str, origin: str) -> Bounds | None:
    """Find the bounds of a polarization in plain data.

    Args:
        data: a mapping with ``vmin`` and ``vmax`` in dB, or with such a mapping or pair under the polarization's
            name or
            under ``global_bounds``, ``bounds`` or ``clip_bounds``; or a sequence or array of the two.
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
        for key in (polarization, *_NESTED):
            if key in named:
                return find_bounds(named[key], polarization, origin)
        return None
    if isinstance(data, (list, tuple, np.ndarray)) and len(np.shape(data)) == 1 and len(data) == 2:
        return _pair(data[0], data[1], origin)
    return None


def _pair(vmin: object, vmax: object, origin: str) -> Bounds:
    try:
        return Bounds(float(vmin), float(vmax), origin)  # type: ignore[arg-type]  # the next line is for what it refuses
    except (TypeError, ValueError) as error:
        if isinstance(error, BoundsError):
            raise
        raise BoundsError(f"{origin}: expected vmin and vmax as numbers in dB, found {vmin!r} and {vmax!r}") from error


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
            f"{path}: expected a dict with vmin and vmax in dB, an array of the two, or JSON such as "
            '{"vmin": 14.77, "vmax": 24.54}; found no bounds'
        )
    return bounds


def _read_data(path: Path) -> object:
    try:
        with path.open("rb") as file:
            head = file.read(_MOST_NBYTES)
    except OSError as error:
        raise SourceError(f"{path}: the bounds file cannot be read: {error.strerror or error}") from error
    if head.lstrip()[:1] in (b"{", b"["):
        try:
            return json.loads(head)
        except ValueError as error:
            raise BoundsError(f"{path}: expected JSON, found {error}") from error
    return read_plain_data(path)
