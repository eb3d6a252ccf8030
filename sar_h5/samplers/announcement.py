"""Blocks of patches announced to the operating system, so that it reads each from the disk in one go.

A shuffle within blocks alone saves a slow disk little: the reads are of single patches all the same, in random order.
"""

from __future__ import annotations

import contextlib
import os

import numpy as np
import numpy.typing as npt

from sar_h5.block_chunks import BlockChunks
from sar_h5.chunks import DirectChunks
from sar_h5.contents import find_patches
from sar_h5.errors import FormatError
from sar_h5.opening import open_file
from sar_h5.stored_patches import open_chunks, read_patch_table

_PAGE_NBYTES = 4096


class PatchAnnouncer:
    """Announces samples of a file that will be read soon; it is advice, and does nothing where none is taken.

    Args:
        path: a file of this package.
        patches: int64 (n,), the patch of the file that each sample is.
    """

    def __init__(self, path: str, patches: npt.NDArray[np.int64]) -> None:
        self._path, self._patches = path, patches
        self._opened: tuple[int, DirectChunks | BlockChunks | None] | None = None

    def announce(self, samples: npt.NDArray[np.int64]) -> None:
        """Tell the operating system that samples, int64 (n,), are about to be read."""
        if not hasattr(os, "posix_fadvise"):
            return
        chunks = self._chunks()
        if chunks is None:
            return
        numbers = self._patches[samples]
        with contextlib.suppress(OSError):  # places that cannot be: the read itself says so
            for offset, nbytes in byte_ranges(*chunks.extents(numbers)):
                os.posix_fadvise(chunks.descriptor, offset, nbytes, os.POSIX_FADV_WILLNEED)

    def _chunks(self) -> DirectChunks | BlockChunks | None:
        if self._opened is None or self._opened[0] != os.getpid():
            self._opened = os.getpid(), self._open()
        return self._opened[1]

    def _open(self) -> DirectChunks | BlockChunks | None:
        try:
            with open_file(self._path) as file:
                source = find_patches(file, None)
                table = read_patch_table(self._path, file, source)
            chunks = open_chunks(self._path, source, table)
            return chunks if isinstance(chunks, (DirectChunks, BlockChunks)) else None
        except (OSError, FormatError):  # whoever reads the file says what is wrong with it
            return None

    def __getstate__(self) -> dict[str, object]:
        return self.__dict__ | {"_opened": None}


def byte_ranges(offsets: npt.NDArray[np.int64], sizes: npt.NDArray[np.int64]) -> list[tuple[int, int]]:
    """Join the places of chunks to runs without gaps, as the page cache sees them.

    Args:
        offsets: int64 (n,), bytes from the start of the file, in any order.
        sizes: int64 (n,), bytes stored.

    Returns:
        Offset and length of each run, in ascending order.
    """
    order = np.argsort(offsets, kind="stable")
    starts, ends = offsets[order], np.maximum.accumulate((offsets + sizes)[order])
    first = np.flatnonzero(np.append(True, starts[1:] - ends[:-1] > _PAGE_NBYTES)) if len(order) else order
    last = np.append(first[1:] - 1, len(order) - 1) if len(order) else order
    return list(zip(starts[first].tolist(), (ends[last] - starts[first]).tolist(), strict=True))
