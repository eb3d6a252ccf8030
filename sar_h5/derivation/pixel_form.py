"""How a new file stores its pixels, and the dataset for them, made like that of an existing file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np

from sar_h5 import schema
from sar_h5.compression import Codec
from sar_h5.derivation.attributes import copy_attributes
from sar_h5.derivation.pieces import Piece, read_codec
from sar_h5.schema import FileSettings


@dataclass(frozen=True)
class PixelForm:
    """How pixels are stored.

    Attributes:
        settings: of the new file; its layout and the sides of patches and blocks count here.
        codec: what chunks are compressed with.
        dtype: of what is stored.
    """

    settings: FileSettings
    codec: Codec
    dtype: np.dtype[Any]

    @classmethod
    def of(cls, piece: Piece) -> PixelForm:
        """Return that of an existing file."""
        return cls(piece.found.settings, piece.codec, piece.found.dtype)

    @property
    def side(self) -> int:
        """Of what is stored in one chunk, in pixels."""
        return self.settings.block_size or self.settings.patch_size

    def is_cut_like(self, piece: Piece) -> bool:
        """Whether a file cuts its patches into chunks alike."""
        theirs = piece.found.settings
        return (theirs.layout, theirs.block_size) == (self.settings.layout, self.settings.block_size)

    def takes_chunks_of(self, piece: Piece) -> bool:
        """Whether chunks of a file can be written as they are, if its codes stay."""
        return self.is_cut_like(piece) and piece.codec == self.codec

    def create(self, file: h5py.File, like: h5py.Dataset, count: int) -> h5py.Dataset:
        """Make the dataset.

        Args:
            file: the new file.
            like: the pixels of an existing one, of either layout, whose attributes and storage come along.
            count: how many chunks there are.
        """
        settings, side = self.settings, self.side
        space = h5py.h5s.create_simple((count, side, side), (h5py.h5s.UNLIMITED, side, side))
        kind = h5py.h5t.py_create(self.dtype.newbyteorder("<"), logical=True)
        # The filter comes along with its options. It asks for the size of an item when the dataset is made; chunks know
        # that of the old one until they are set again.
        plan = like.id.get_create_plist()
        plan.set_chunk((1, side, side))
        self._set_filter(plan, like)
        name = schema.PIXELS[settings.layout].encode()
        dataset = h5py.Dataset(h5py.h5d.create(file.id, name, kind, space, dcpl=plan))
        copy_attributes(like, dataset)
        if like.name != dataset.name:
            names = schema.PATCHES_LONG_NAME if settings.layout == "patches" else schema.BLOCKS_LONG_NAME
            dataset.attrs["long_name"] = names[settings.encoding]
        return dataset

    def _set_filter(self, plan: h5py.h5p.PropDCID, like: h5py.Dataset) -> None:
        """Take over the filter where it is that of the codec."""
        numbers = [plan.get_filter(position)[0] for position in range(plan.get_nfilters())]
        if numbers and read_codec(like) == self.codec:
            return
        for number in numbers:
            plan.remove_filter(number)
        arguments = self.codec.dataset_arguments()
        plan.set_filter(arguments["compression"], h5py.h5z.FLAG_OPTIONAL, arguments["compression_opts"])
