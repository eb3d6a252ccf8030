"""Shared blocks of patches that have lost their places: found by a strong hash, and compared before they are shared."""

from __future__ import annotations

import bisect
import hashlib
import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from sar_h5.shared_blocks.numbering import Numbering
from sar_h5.shared_blocks.table import HASH_NBYTES, Hashes, HashTable

Blocks = npt.NDArray[np.generic]
"""Blocks (n, B, B) as they are stored, C-contiguous."""


def hash_block(block: npt.NDArray[np.generic]) -> bytes:
    """Return the first half of the SHA-256 of a block's bytes."""
    return hashlib.sha256(block.data).digest()[:HASH_NBYTES]


def hash_blocks(blocks: Blocks) -> Hashes:
    """Return the hash of each block, uint64 (n, 2)."""
    joined = b"".join(map(hash_block, blocks))
    return np.frombuffer(joined, "<u8").astype(np.uint64, copy=False).reshape(len(blocks), 2)


class BlockContents:
    """Numbers blocks by their content, over all scenes of a file, but those whose blocks have numbers from elsewhere.

    Args:
        read: returns the block of a number that was given in an earlier call of :meth:`number`, (B, B).
    """

    def __init__(self, read: Callable[[int], npt.NDArray[np.generic]]) -> None:
        self._read = read
        self._table = HashTable()
        # Entries of the table are consecutive, numbers only between scenes of other kinds: first entry and its number.
        self._runs: list[tuple[int, int]] = []

    @property
    def nbytes(self) -> int:
        """How much memory the search takes."""
        return self._table.nbytes

    def take_over(self, hashes: Hashes, first: int = 0) -> None:
        """Know blocks that are in the file already, in their order, from number ``first`` on."""
        if len(hashes):
            self._start_at(first)
            self._table.add(hashes)

    def forget(self, count: int) -> None:
        """Keep only blocks with numbers below ``count``."""
        kept = len(self._table)
        while self._runs and self._runs[-1][1] >= count:
            kept = self._runs.pop()[0]
        if self._runs:
            entry, number = self._runs[-1]
            kept = min(kept, entry + count - number)
        self._table.forget(kept)

    def _start_at(self, first: int) -> None:
        """Have the next entry stand for number ``first``."""
        if not self._runs or self._number_of(len(self._table)) != first:
            self._runs.append((len(self._table), first))

    def _number_of(self, entry: int) -> int:
        start, number = self._runs[bisect.bisect_right(self._runs, (entry, math.inf)) - 1]
        return number + entry - start

    def number(self, blocks: Blocks, hashes: Hashes, per_patch: int, first: int) -> Numbering:
        """Number the blocks of patches.

        Args:
            blocks: (n * per_patch, B, B).
            hashes: uint64 (n * per_patch, 2).
            per_patch: blocks of each patch.
            first: the next number to give.
        """
        self._start_at(first)
        known_before = len(self._table)
        numbers: list[int] = []
        new: list[int] = []
        for position, block in enumerate(blocks):
            for entry in self._table.find(hashes[position]):
                number = self._number_of(entry)
                known = blocks[new[entry - known_before]] if entry >= known_before else self._read(number)
                # As bytes: 0.0 and -0.0 are different values in a file.
                if known.tobytes() == block.tobytes():
                    break
            else:
                number = first + len(new)
                self._table.add(hashes[position : position + 1])
                new.append(position)
            numbers.append(number)
        return Numbering(np.array(numbers, np.uint32).reshape(-1, per_patch), new)
