"""A checksum over the texts in a file's attributes: they lie in HDF5's global heap, which has none of its own."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import h5py
import numpy as np

from sar_h5 import schema


def seal_texts(file: h5py.File) -> None:
    """Note the checksum of all texts of an open file but those of its splits, which have one each.

    To be called whenever such a text has been written.
    """
    file.attrs[schema.TEXTS_CHECKSUM] = np.uint32(sum_texts(file))


def seal_split(split: h5py.Dataset) -> None:
    """Note the checksum of the texts that say how a split was made."""
    split.attrs[schema.TEXTS_CHECKSUM] = np.uint32(sum_texts(split))


def find_changed_texts(file: h5py.File) -> Iterator[tuple[str, int, int]]:
    """Yield the place, the expected and the found checksum of texts that are not as they were written.

    Texts without a checksum are passed over: of files from before there was one, of splits that others have made.

    Raises:
        OSError, RuntimeError: where HDF5 cannot read one.
    """
    splits = file.get(schema.SPLITS)
    members = list(splits.values()) if isinstance(splits, h5py.Group) else []
    for holder in (file, *(split for split in members if isinstance(split, h5py.Dataset))):
        stated = holder.attrs.get(schema.TEXTS_CHECKSUM)
        if isinstance(stated, np.uint32) and (found := sum_texts(holder)) != stated:
            yield holder.name, int(stated), found


def sum_texts(holder: h5py.File | h5py.Dataset) -> int:
    """Return the CRC-32 of the texts of a file, or of a split: places, names of attributes, and what they say."""
    checksum = 0
    for item in _sealed_objects(holder) if isinstance(holder, h5py.File) else [holder]:
        place = "" if item is holder else item.name
        for name in sorted(schema.TEXT_ATTRIBUTES.intersection(item.attrs)):
            texts = np.atleast_1d(np.asarray(item.attrs[name], dtype=object)).tolist()
            content = "\0".join([place, name, *map(str, texts)])
            checksum = zlib.crc32(content.encode(errors="surrogateescape"), checksum)
    return checksum


def _sealed_objects(file: h5py.File) -> Iterator[h5py.HLObject]:
    yield file
    for path in sorted({*schema.PIXELS.values(), *schema.COLUMN_PATHS}):
        item = file.get(path)
        if isinstance(item, h5py.Dataset):
            yield item
