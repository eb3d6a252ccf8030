"""Which blocks make up each patch of a file in layout "blocks", as arrays that processes can share."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sar_h5.chunk_table import ChunkTable


@dataclass(frozen=True)
class BlockTable:
    """The blocks of each of N patches, and the place of each of M blocks in a file.

    Attributes:
        grid: uint32 (N, k, k), numbers of the blocks of each patch, row by row. A damaged file may name any.
        count: M.
        chunks: where blocks lie, with their checksums where those are to be checked whenever a block is read; None
            where blocks are read through HDF5.
        checksums: uint32 (N,), what :func:`sum_checksums` must give for the blocks of each patch; None to take the
            numbers in ``grid`` as they are.
    """

    grid: npt.NDArray[np.uint32]
    count: int
    chunks: ChunkTable | None
    checksums: npt.NDArray[np.uint32] | None = None

    @property
    def per_patch(self) -> int:
        """How many blocks make up a patch."""
        return self.grid.shape[1] * self.grid.shape[2]

    def blocks(self, numbers: npt.NDArray[np.int64]) -> npt.NDArray[np.uint32]:
        """Return the numbers of the blocks of patches, (n, k * k), row by row."""
        return self.grid[numbers].reshape(len(numbers), self.per_patch)

    def count_sound(self, blocks: npt.NDArray[np.uint32], numbers: npt.NDArray[np.int64]) -> int:
        """Return how many patches, from the first on, are made up of blocks that exist and are theirs.

        Args:
            blocks: uint32 (n, k * k), as :meth:`blocks` gives them.
            numbers: int64 (n,), of these patches.
        """
        outside = blocks >= self.count
        sound = int(outside.any(axis=1).argmax()) if outside.any() else len(blocks)
        if self.checksums is None or self.chunks is None or self.chunks.checksums is None:
            return sound
        stored = self.chunks.checksums[blocks[:sound]]
        for position, (expected, row) in enumerate(zip(self.checksums[numbers[:sound]].tolist(), stored, strict=True)):
            if sum_checksums(row) != expected:
                return position
        return sound

    def fault(self, number: int) -> str | None:
        """Return what is wrong with the numbers of a patch's blocks; None where nothing is."""
        blocks = self.blocks(np.array([number]))
        if self.count_sound(blocks, np.array([number])):
            return None
        if blocks.max() >= self.count:
            return f"expected blocks below {self.count}, found {blocks.max()}"
        return "its blocks are not those that its checksum was made of"


def sum_checksums(checksums: npt.NDArray[np.uint32]) -> int:
    """Return a patch's own checksum: CRC-32 of the checksums of its blocks, row by row, little-endian."""
    return zlib.crc32(np.ascontiguousarray(checksums, dtype="<u4"))
