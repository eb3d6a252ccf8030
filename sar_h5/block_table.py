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
        checksums: uint32 (N,), what :func:`sum_checksums` gives for the blocks of each patch; None to take the
            numbers in ``grid`` as they are.
    """

    grid: npt.NDArray[np.uint32]
    count: int
    chunks: ChunkTable | None
    checksums: npt.NDArray[np.uint32] | None = None

    @property
    def per_patch(self) -> int:
        """How many blocks make up a patch."""
        return int(self.grid.shape[1] * self.grid.shape[2])

    @property
    def tells_blocks(self) -> bool:
        """Whether it tells by checksums which blocks are a patch's own."""
        return self.checksums is not None and self.chunks is not None and self.chunks.checksums is not None

    def blocks(self, numbers: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return the numbers of the blocks of patches, int64 (n, k * k), row by row."""
        return self.grid[numbers].reshape(len(numbers), self.per_patch).astype(np.int64)

    def are_sound(self, numbers: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Tell which patches, bool (n,), are made up of blocks that exist and, where checksums tell, are theirs."""
        blocks = self.blocks(numbers)
        sound: npt.NDArray[np.bool_] = np.all(blocks < self.count, axis=1)
        if self.checksums is not None and self.chunks is not None and self.chunks.checksums is not None:
            stored = self.chunks.checksums[np.where(sound[:, None], blocks, 0)] if self.count else blocks.astype("<u4")
            sound &= sum_checksums(stored) == self.checksums[numbers]
        return sound

    def fault(self, number: int) -> str | None:
        """Return what is wrong with the numbers of a patch's blocks; None where nothing is."""
        some = np.array([number])
        if self.are_sound(some).all():
            return None
        highest = self.blocks(some).max()
        if highest >= self.count:
            return f"expected blocks below {self.count}, found {highest}"
        return "its blocks are not those that its checksum was made of"


def sum_checksums(checksums: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint32]:
    """Return the checksums of patches: CRC-32 of the checksums of their blocks, row by row, little-endian.

    Args:
        checksums: uint32 (n, k * k), of the blocks of each patch.

    Returns:
        uint32 (n,).
    """
    content = np.ascontiguousarray(checksums, dtype="<u4").tobytes()
    step = 4 * checksums.shape[1]
    return np.array([zlib.crc32(content[start : start + step]) for start in range(0, len(content), step)], np.uint32)
