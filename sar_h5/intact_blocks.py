"""Patches made up of blocks whose checksums hold; those of other blocks with what is wrong with them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from sar_h5.block_chunks import BlockChunks
from sar_h5.block_kernels import place_blocks
from sar_h5.block_windows import BlockWindows
from sar_h5.recent_blocks import Read, RecentBlocks


class IntactBlocks:
    """Makes patches of the blocks of a file, each of which is read about once. Threads may share it.

    Args:
        chunks: the patches.
        read: reads blocks.

    Attributes:
        chunks: see above.
    """

    def __init__(self, chunks: BlockChunks, read: Read) -> None:
        self.chunks = chunks
        self._windows = BlockWindows(chunks.table.grid.shape[1], chunks.shape[0])
        side = self._windows.side
        self._recent = RecentBlocks(read, chunks.table.count, (side, side), chunks.dtype)

    def read(self, numbers: npt.NDArray[np.int64], out: npt.NDArray[Any]) -> dict[int, str]:
        """Make patches.

        Args:
            numbers: int64 (n,).
            out: (n, P, P) in the stored dtype, filled.

        Returns:
            What is wrong with those that cannot be made, by their position in ``numbers``.
        """
        table, windows = self.chunks.table, self._windows
        sound = table.are_sound(numbers)
        broken = {place: table.fault(int(numbers[place])) or "" for place in np.flatnonzero(~sound).tolist()}
        places = np.flatnonzero(sound)
        wanted = table.blocks(numbers[places])
        blocks = np.unique(wanted)
        decoded, faults = self._recent.take(blocks)
        pieces = np.searchsorted(blocks, wanted)
        at = places[:, None] * windows.step + windows.corners
        upright = np.zeros(pieces.size, np.uint8)
        place_blocks(decoded, pieces.reshape(-1), upright, None, 0, at.reshape(-1), windows.of(out))
        for piece, reason in faults.items():
            for place in places[(pieces == piece).any(axis=1)].tolist():
                broken.setdefault(place, f"block {blocks[piece]}: {reason}")
        return broken
