"""How a column of a table is stored: in chunks, compressed, each with a checksum, and with what it means."""

from __future__ import annotations

import math
from collections.abc import Sequence

import h5py
import numpy.typing as npt

from sar_h5.schema import Column

_CHUNK_ROWS = 1 << 16


def write_column(group: h5py.Group, column: Column, values: npt.ArrayLike | Sequence[object]) -> h5py.Dataset:
    """Write a column into a group.

    Args:
        group: an open group, or file.
        column: its name, type and meaning.
        values: one per row; str for text.

    Returns:
        The new dataset.
    """
    data = column.to_array(values)
    guarded = data.size > 0  # HDF5 cannot filter a table without rows
    # A row of the numbers of a patch's blocks can be long.
    most_rows = max(_CHUNK_ROWS // math.prod(data.shape[1:]), 1) if data.ndim > 2 else _CHUNK_ROWS
    chunks = (min(len(data), most_rows), *data.shape[1:]) if guarded else None
    filters = {"compression": "gzip", "shuffle": True, "fletcher32": True} if guarded else {}
    dataset = group.create_dataset(column.name, data=data, chunks=chunks, **filters)
    dataset.attrs["long_name"] = column.long_name
    if column.units:
        dataset.attrs["units"] = column.units
    return dataset
