"""A hash table of block hashes: from 16 bytes to the numbers of the blocks that have them, in little memory."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from sar_h5.shared_blocks.kernels import insert, probe

Hashes = npt.NDArray[np.uint64]
"""Hashes of 16 bytes each, uint64 (..., 2)."""

HASH_NBYTES = 16
MOST_NBYTES_PER_BLOCK = 30
"""Of memory: the hash, with an eighth of room to grow (18), and slots of 4 bytes of which a third to two thirds are
used (12 at most). Measured with 2,883,812 blocks, four for each of 720,953 patches: 28.4."""

_LEAST = 1 << 10


class HashTable:
    """Numbers blocks 0, 1, ... in the order in which they are added, and finds numbers by hash.

    Several blocks may have the same hash. Open addressing with linear probing; a Python dict would take six times the
    memory.
    """

    def __init__(self) -> None:
        self._keys: Hashes = np.empty((_LEAST, 2), np.uint64)
        self._slots: npt.NDArray[np.uint32] = np.zeros(2 * _LEAST, np.uint32)
        self._count = 0

    def __len__(self) -> int:
        return self._count

    @property
    def nbytes(self) -> int:
        """How much memory it takes."""
        return self._keys.nbytes + self._slots.nbytes

    def find(self, key: Hashes) -> Iterator[int]:
        """Yield the numbers of the blocks with a hash, uint64 (2,), in the order in which they were added.

        Nothing may be added in between.
        """
        high, low = key
        place = int(low) & (len(self._slots) - 1)
        while True:
            place, number = probe(self._slots, self._keys, high, low, place)
            if number < 0:
                return
            yield number
            place += 1

    def add(self, keys: Hashes) -> None:
        """Add blocks by their hashes, uint64 (n, 2)."""
        count = self._count + len(keys)
        if count > len(self._keys):
            # In place where the C library can move pages instead of bytes; no view of it is ever handed out.
            self._keys.resize((count + count // 8, 2), refcheck=False)
        self._keys[self._count : count] = keys
        first, self._count = self._count, count
        if 3 * count > 2 * len(self._slots):
            self._make_slots()
        else:
            insert(self._slots, self._keys, first, count)

    def forget(self, count: int) -> None:
        """Keep only the first ``count`` blocks."""
        if count < self._count:
            self._count = count
            self._make_slots()

    def _make_slots(self) -> None:
        size = 2 * _LEAST
        while 3 * self._count > 2 * size:
            size *= 2
        self._slots = np.zeros(0, np.uint32)  # the old ones go before the new ones come
        self._slots = np.zeros(size, np.uint32)
        insert(self._slots, self._keys, 0, self._count)
