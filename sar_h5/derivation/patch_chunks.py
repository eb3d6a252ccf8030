"""How the pixels of patches get into a new file of layout "patches": one chunk each, written as it is."""

from __future__ import annotations

from typing import Any

import h5py
import numpy as np

from sar_h5 import schema
from sar_h5.derivation.attributes import copy_attributes


class PatchChunks:
    """``/patches`` of a new file.

    Args:
        file: the new file.
        like: ``/patches`` of an existing one, whose attributes, chunks and filters it has as well.
        count: how many patches there are at most.
        dtype: of what is stored.
    """

    def __init__(self, file: h5py.File, like: h5py.Dataset, count: int, dtype: np.dtype[Any]) -> None:
        size = like.shape[1:]
        space = h5py.h5s.create_simple((count, *size), (h5py.h5s.UNLIMITED, *size))
        kind = h5py.h5t.py_create(dtype.newbyteorder("<"), logical=True)
        # The filter comes along with its options. It asks for the size of an item when the dataset is made; chunks know
        # that of the old one until they are set again.
        plan = like.id.get_create_plist()
        plan.set_chunk((1, *size))
        self.dataset = h5py.Dataset(h5py.h5d.create(file.id, schema.PATCHES.encode(), kind, space, dcpl=plan))
        copy_attributes(like, self.dataset)

    def write(self, place: int, frame: bytes, *, plain: bool = False) -> None:
        """Write one patch.

        Args:
            place: its number.
            frame: the bytes to store.
            plain: whether they are the patch itself, which the filter has left as it was.
        """
        self.dataset.id.write_direct_chunk((place, 0, 0), frame, filter_mask=int(plain))

    def finish(self, count: int) -> None:
        """Say how many patches have been written, where they are fewer than was announced."""
        if count < len(self.dataset):
            self.dataset.resize(count, axis=0)
