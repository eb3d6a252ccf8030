"""Stored patches whose checksums hold, many at once; the others with what is wrong with them."""

from __future__ import annotations

import contextlib
import os
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from sar_h5.block_chunks import BlockChunks
from sar_h5.block_table import BlockTable
from sar_h5.buffers import BufferPool
from sar_h5.bulk_reads import bulk_reads
from sar_h5.chunks import DirectChunks
from sar_h5.file_structure import Structure
from sar_h5.intact_blocks import IntactBlocks


class IntactReads:
    """Reads patches of a file as stored, without HDF5 and without the GIL; threads may share it. A context manager.

    Args:
        path: the file.
        found: its structure.

    Attributes:
        chunks: the file's chunks: of patches, or of the blocks that patches are made of.

    Raises:
        OSError: where the file cannot be opened any more.
        FormatError: where it has been replaced by another one.
    """

    def __init__(self, path: str, found: Structure) -> None:
        self.chunks = DirectChunks(path, found.table, found.chunk_shape, found.dtype)
        self._bulk = bulk_reads(self.chunks)
        self._buffers = BufferPool()
        self._shape, self._blocks = found.shape, None
        if found.grid is not None:
            table = BlockTable(found.grid, len(found.table.offsets), found.table, found.index["checksum"])
            self._blocks = IntactBlocks(BlockChunks(self.chunks, table, found.shape, found.dtype), self._read_chunks)

    def __enter__(self) -> IntactReads:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.chunks.close()

    def announce(self, numbers: npt.NDArray[np.int64]) -> None:
        """Tell the operating system which patches are about to be read; those that lie together in one go."""
        if not hasattr(os, "posix_fadvise") or not len(numbers):
            return
        offsets, sizes = (self.chunks if self._blocks is None else self._blocks.chunks).extents(numbers)
        start, end = int(offsets.min(initial=0)), int((offsets + sizes).max(initial=0))
        if end - start <= 2 * int(sizes.sum()):
            places = [(start, end - start)]
        else:
            places = list(zip(offsets.tolist(), sizes.tolist(), strict=True))
        with contextlib.suppress(OSError, OverflowError):  # places that cannot be: the read itself says so
            for offset, nbytes in places:
                os.posix_fadvise(self.chunks.descriptor, offset, nbytes, os.POSIX_FADV_WILLNEED)

    def read(self, numbers: npt.NDArray[np.int64]) -> tuple[npt.NDArray[Any], dict[int, str]]:
        """Read patches.

        Args:
            numbers: int64 (n,).

        Returns:
            (n, P, P) as stored, in memory that is used again once it is dropped; and what is wrong with those that
            cannot be read, by their position in ``numbers``.
        """
        patches = self._buffers.take((len(numbers), *self._shape), self.chunks.dtype)
        read = self._read_chunks if self._blocks is None else self._blocks.read
        return patches, read(numbers, patches)

    def _read_chunks(self, numbers: npt.NDArray[np.int64], out: npt.NDArray[Any]) -> dict[int, str]:
        broken: dict[int, str] = {}
        position = 0
        while position < len(numbers):
            if self._bulk is not None:
                position += self._bulk.stored(numbers[position:], out[position:])
            if position < len(numbers):  # this one is not as it should be, or there is no way to read many
                try:
                    out[position] = self.chunks.read(int(numbers[position]))
                except (OSError, ValueError) as error:
                    broken[position] = str(error)
                position += 1
        return broken
