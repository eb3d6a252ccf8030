"""Metadata files, ``.npy`` or bare pickles, read as plain data."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy

from sar_h5.errors import SourceError
from sar_h5.plain_arrays import HOSTILE, describe_hostile, plain_dtype, to_array
from sar_h5.unpickle import loads_plain

_MAX_HEADER_NBYTES = 2048
_HEADER_READERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


def read_plain_data(path: Path, max_nbytes: int = 64 * 2**20) -> object:
    """Read a `.npy` file or a bare pickle that holds plain data, whoever wrote it.

    Args:
        path: a `.npy` file of numbers or strings, one of objects (as `np.save` makes of a dict), or a pickle.
        max_nbytes: the largest file that is read.

    Returns:
        The array of a numeric or string `.npy` file; the item of an object array without dimensions; an
        object array with dimensions as it is; otherwise whatever the pickle holds.

    Raises:
        SourceError: when the file is missing, unreadable, larger than `max_nbytes`, or not a plain array.
        PickleRefusedError: when a pickle is damaged or asks for anything but plain data.
    """
    data = _read_bounded(path, max_nbytes)
    if not data.startswith(npy.MAGIC_PREFIX):
        return _unwrap(loads_plain(data, str(path)))
    stream = io.BytesIO(data)
    try:
        shape, dtype, order = _read_header(stream)
        if not dtype.hasobject:
            return to_array(stream.read(), dtype, shape, order)
    except HOSTILE as error:
        raise SourceError(
            f"{path}: cannot be used as a .npy file: {describe_hostile(error)}. Copy or write it again, with np.save."
        ) from error
    return _unwrap(loads_plain(stream.read(), str(path)))


def _read_bounded(path: Path, max_nbytes: int) -> bytes:
    try:
        with path.open("rb") as stream:
            nbytes = os.fstat(stream.fileno()).st_size
            data = stream.read(nbytes) if nbytes <= max_nbytes else b""
    except (OSError, ValueError) as error:  # ValueError: a path that holds a NUL character
        reason = getattr(error, "strerror", None) or str(error)
        raise SourceError(f"{path}: cannot be read: {reason}. Check the path and its permissions.") from error
    if nbytes > max_nbytes:
        raise SourceError(
            f"{path}: holds {nbytes:,} bytes where at most {max_nbytes:,} are expected. "
            "Check that this is metadata and not a shard."
        )
    return data


def _read_header(stream: io.BytesIO) -> tuple[tuple[int, ...], np.dtype[Any], str]:
    version = npy.read_magic(stream)
    if version not in _HEADER_READERS:  # NumPy writes version 3 for field names of structured dtypes only
        raise ValueError(f"its format version is {version} where (1, 0) or (2, 0) is expected")
    read = _HEADER_READERS[version]
    shape, fortran, dtype = read(stream, max_header_size=_MAX_HEADER_NBYTES)
    return shape, plain_dtype(dtype.str), "F" if fortran else "C"


def _unwrap(value: object) -> object:
    if isinstance(value, np.ndarray) and value.dtype == object and value.ndim == 0:
        return value.item()
    return value
