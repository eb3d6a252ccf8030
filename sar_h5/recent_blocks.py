"""Blocks that were read a moment ago, kept decoded: patches of a scene share them with those of the next row."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from sar_h5.buffers import BufferPool

RECENT_NBYTES = 64 << 20
"""How much is kept: two rows of patches of 256 x 256 pixels across the widest scenes take 27 MB."""

Read = Callable[[npt.NDArray[np.int64], npt.NDArray[Any]], dict[int, str]]
"""Reads chunks, int64 (n,), into memory (n, B, B); tells what is wrong with those that cannot be, by position."""


class RecentBlocks:
    """Blocks by number, read where they are not among the last ones that were. Threads may share it.

    Read in the order of the patches, each block is read once, as long as what patches share lies not further apart than
    what is kept.

    Args:
        read: reads blocks; threads may share it.
        count: of all blocks.
        shape: (B, B) of a block.
        dtype: of what is stored.
        limit_nbytes: how much to keep.
    """

    def __init__(
        self,
        read: Read,
        count: int,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        limit_nbytes: int = RECENT_NBYTES,
    ) -> None:
        self._read, self._buffers = read, BufferPool()
        slots = max(1, min(count, limit_nbytes // (int(np.prod(shape)) * dtype.itemsize)))
        self._kept = np.empty((slots, *shape), dtype)
        self._slot = np.full(count, -1, np.int32)
        self._owner = np.full(slots, -1, np.int64)
        self._next = 0
        self._broken: dict[int, str] = {}
        self._lock = threading.Lock()

    def take(self, blocks: npt.NDArray[np.int64]) -> tuple[npt.NDArray[Any], dict[int, str]]:
        """Return blocks.

        Args:
            blocks: int64 (n,), each once.

        Returns:
            (n, B, B) as stored, in memory that is used again once it is dropped; and what is wrong with those that
            cannot be read, by their position in ``blocks``.
        """
        decoded = self._buffers.take((len(blocks), *self._kept.shape[1:]), self._kept.dtype)
        with self._lock:
            slots = self._slot[blocks]
            here = slots >= 0
            decoded[here] = self._kept[slots[here]]
        absent = [place for place in np.flatnonzero(~here).tolist() if int(blocks[place]) not in self._broken]
        missing = blocks[absent]
        fresh = self._buffers.take((len(missing), *self._kept.shape[1:]), self._kept.dtype)
        broken = {int(missing[position]): reason for position, reason in self._read(missing, fresh).items()}
        decoded[absent] = fresh
        with self._lock:
            self._broken |= broken
            sound = np.array([int(block) not in broken for block in missing], np.bool_)
            self._keep(missing[sound], fresh[sound])
        known = ((place, self._broken.get(int(block))) for place, block in enumerate(blocks))
        return decoded, {place: reason for place, reason in known if reason is not None}

    def _keep(self, blocks: npt.NDArray[np.int64], decoded: npt.NDArray[Any]) -> None:
        """Put blocks in the place of those that were kept longest."""
        new = np.flatnonzero(self._slot[blocks] < 0)[-len(self._owner) :]  # another thread may have kept some
        slots = (self._next + np.arange(len(new))) % len(self._owner)
        leaving = self._owner[slots]
        self._slot[leaving[leaving >= 0]] = -1
        self._owner[slots], self._kept[slots], self._slot[blocks[new]] = blocks[new], decoded[new], slots
        self._next = int(slots[-1] + 1) if len(slots) else self._next
