"""Stored patches that are made up of blocks, put together one at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from sar_h5.block_table import BlockTable
from sar_h5.chunks import DirectChunks, Extents, LibraryChunks
from sar_h5.errors import SarH5Error


class BlockChunks:
    """Patches read from the blocks of a file; safe wherever the reads of single blocks are.

    Args:
        blocks: reads blocks, (B, B) each.
        table: which ones make up each patch.
        shape: (P, P) of a patch.
        dtype: of what is stored.

    Attributes:
        blocks, table, shape, dtype: see above.
        nbytes: of a patch, decoded.
    """

    def __init__(
        self, blocks: DirectChunks | LibraryChunks, table: BlockTable, shape: tuple[int, ...], dtype: np.dtype[Any]
    ) -> None:
        self.blocks, self.table, self.shape, self.dtype = blocks, table, shape, dtype
        self.nbytes = int(np.prod(shape)) * dtype.itemsize

    @property
    def descriptor(self) -> int:
        """Of the open file; -1 where it is read through HDF5."""
        return self.blocks.descriptor if isinstance(self.blocks, DirectChunks) else -1

    def read(self, number: int) -> npt.NDArray[Any]:
        """Return patch ``number`` as stored, (P, P).

        Raises:
            OSError: where the file cannot be opened.
            ValueError: where its blocks do not exist, are not its own, or cannot be read; it says which.
        """
        fault = self.table.fault(number)
        if fault is not None:
            raise ValueError(fault)
        return join_blocks(
            np.array([[self._read_block(int(block)) for block in row] for row in self.table.grid[number]])
        )

    def extents(self, numbers: npt.NDArray[np.int64]) -> Extents:
        """Return where the blocks of patches lie, each block once; see :meth:`DirectChunks.extents`."""
        if not isinstance(self.blocks, DirectChunks):
            return np.empty(0, np.int64), np.empty(0, np.int64)
        blocks = np.unique(self.table.blocks(numbers))
        return self.blocks.extents(blocks[blocks < self.table.count])

    def close(self) -> None:
        """Close the file."""
        self.blocks.close()

    def _read_block(self, block: int) -> npt.NDArray[Any]:
        try:
            return self.blocks.read(block)
        except SarH5Error:
            raise  # of the file, not of this block
        except (OSError, RuntimeError, ValueError) as error:
            raise ValueError(f"block {block}: {error}") from error


def join_blocks(blocks: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return the patch, (k B, k B), that blocks (k, k, B, B) make up."""
    rows, cols, height, width = blocks.shape
    return blocks.transpose(0, 2, 1, 3).reshape(rows * height, cols * width)
