"""How the pixels of patches get into a new file of layout "patches": one chunk each, written as it is."""

from __future__ import annotations

from typing import Any

import h5py
import numpy as np

from sar_h5 import schema
from sar_h5.compression import Codec
from sar_h5.derivation.attributes import copy_attributes


class PatchChunks:
    """``/patches`` of a new file.

    Args:
        file: the new file.
        like: ``/patches`` of an existing one, whose attributes, and where they fit filters, it has as well.
        count: how many patches there are at most.
        dtype: of what is stored.
        codec: what chunks are compressed with, those of ``like`` as well.
    """

    def __init__(self, file: h5py.File, like: h5py.Dataset, count: int, dtype: np.dtype[Any], codec: Codec) -> None:
        shape, maxshape = (count, *like.shape[1:]), (None, *like.shape[1:])
        if dtype == like.dtype:
            space = h5py.h5s.create_simple(shape, (h5py.h5s.UNLIMITED, *like.shape[1:]))
            plan = like.id.get_create_plist()
            made = h5py.h5d.create(file.id, schema.PATCHES.encode(), like.id.get_type(), space, dcpl=plan)
            self.dataset = h5py.Dataset(made)
        else:
            filters = codec.dataset_arguments()
            chunks = (1, *like.shape[1:])
            self.dataset = file.create_dataset(
                schema.PATCHES, shape=shape, maxshape=maxshape, chunks=chunks, dtype=dtype.newbyteorder("<"), **filters
            )
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
