"""Blocks by their numbers while their file is written: those numbered last from memory, all others from the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from sar_h5.compression import decompress
from sar_h5.errors import OutputError
from sar_h5.pixel_writer import writing_errors

RECENT_NBYTES = 16 << 20
"""How much stays in memory: where patches come row by row, equal blocks are among those, and need not be read back."""

_ARRAY_NBYTES = 200
"""What a small array takes beside its data."""

Block = npt.NDArray[Any]


class HeldBlocks:
    """Blocks that have a number, whether they have been written or wait.

    Args:
        path: the file that is written, for messages.
        side: of a block in pixels.
        dtype: of what is stored.
    """

    def __init__(self, path: Path, side: int, dtype: np.dtype[Any]) -> None:
        self._path, self._shape, self._dtype = path, (side, side), dtype
        self._nbytes = side * side * dtype.itemsize
        self._recent: dict[int, Block] = {}

    def hold(self, number: int, block: Block) -> None:
        """Keep a block; as a copy, since a view would hold on to the whole batch."""
        self._recent[number] = block.copy()

    def forget_old(self, written: int) -> None:
        """Forget the blocks longest known, of those that are in the file, beyond what is to be held.

        Args:
            written: how many blocks are in the file.
        """
        most = RECENT_NBYTES // (self._nbytes + _ARRAY_NBYTES)
        while len(self._recent) > most and (oldest := next(iter(self._recent))) < written:
            del self._recent[oldest]

    def clear(self) -> None:
        """Forget all of them."""
        self._recent.clear()

    def read(self, dataset: h5py.Dataset, number: int) -> Block:
        """Return a block, (B, B).

        Args:
            dataset: the file's blocks.
            number: of one that is held or written.

        Raises:
            OutputError: where it does not come back as it was written.
        """
        if number in self._recent:
            return self._recent[number]
        with writing_errors(self._path):
            plain, frame = dataset.id.read_direct_chunk((number, 0, 0))
        try:
            content = frame if plain else decompress(frame, self._nbytes)
            return np.frombuffer(content, self._dtype).reshape(self._shape)
        except ValueError as error:
            raise OutputError(
                f"{self._path}: block {number}, written a moment ago, comes back damaged ({error}): is the disk sound?"
            ) from error
