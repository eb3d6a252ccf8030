"""Many patches made up of blocks read at once: the compiled loops applied to blocks and their windows of samples."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sar_h5.block_chunks import BlockChunks
from sar_h5.block_kernels import place_blocks
from sar_h5.block_windows import BlockWindows
from sar_h5.buffers import BufferPool
from sar_h5.bulk_reads import BulkReads, Fill, ShareOut, bulk_reads, compile_loops
from sar_h5.chunks import DirectChunks
from sar_h5.lookup import COMPILED_DTYPES, Lookup
from sar_h5.native import find_native_reads

_MOST_DISTINCT = 0.8
"""Blocks are decoded apart from placing them where at most this part of them is distinct."""

_Place = Callable[[npt.NDArray[np.int64], npt.NDArray[np.uint8], npt.NDArray[np.int64]], int]


class BlockReads:
    """Reads batches without the GIL, in any number of threads.

    Args:
        chunks: the patches.
        bulk: reads their blocks.
    """

    def __init__(self, chunks: BlockChunks, bulk: BulkReads) -> None:
        self._table, self._dtype, self._bulk = chunks.table, chunks.dtype, bulk
        self._windows = BlockWindows(chunks.table.grid.shape[1], chunks.shape[0])
        self._buffers = BufferPool()

    def prepare_values(
        self,
        numbers: npt.NDArray[np.int64],
        symmetries: npt.NDArray[np.uint8],
        lookup: Lookup,
        places: npt.NDArray[np.int64],
        out: npt.NDArray[Any],
        share_out: ShareOut,
    ) -> Fill:
        """Return what reads slices of a batch; see :meth:`sar_h5.bulk_reads.BulkReads.prepare_values`.

        Where many blocks belong to several patches of the batch, all are decoded at once, each of them one time.
        """
        pieces = self._table.blocks(numbers, self._windows.sources[symmetries])
        sound = self._table.are_sound(numbers)
        windows = self._windows.of(out)

        def read(blocks: npt.NDArray[np.int64], turns: npt.NDArray[np.uint8], at: npt.NDArray[np.int64]) -> int:
            return self._bulk.values(blocks, turns, lookup, at, windows)

        place: _Place = read
        if _count_distinct(pieces) <= _MOST_DISTINCT * pieces.size and len(numbers) > 1:
            blocks = np.unique(pieces)
            blocks = blocks[blocks < self._table.count]
            decoded, readable = self._decode(blocks, share_out)
            pieces = np.searchsorted(blocks, pieces)
            if not (sound.all() and readable.all()):
                sound[sound] = readable[pieces[sound]].all(axis=1)

            def look_up(
                at_decoded: npt.NDArray[np.int64], turns: npt.NDArray[np.uint8], at: npt.NDArray[np.int64]
            ) -> int:
                done: int = place_blocks(decoded, at_decoded, turns, lookup.table, lookup.levels, at, windows)
                return done

            place = look_up
        per_patch = self._windows.per_patch
        at = self._windows.numbers(places).reshape(-1)
        return _Batch(per_patch, pieces.reshape(-1), symmetries.repeat(per_patch), at, sound, place).fill

    def prepare_stored(self, numbers: npt.NDArray[np.int64], out: npt.NDArray[Any], share_out: ShareOut) -> Fill:
        """Return what reads slices of a batch as stored into ``out`` (n, P, P)."""
        upright, places = np.zeros(len(numbers), np.uint8), np.arange(len(numbers))
        return self.prepare_values(numbers, upright, Lookup(None, self._dtype), places, out, share_out)

    def _decode(
        self, blocks: npt.NDArray[np.int64], share_out: ShareOut
    ) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]:
        """Return blocks (m, B, B) as stored, and which of them could be read."""
        decoded = self._buffers.take((len(blocks), self._windows.side, self._windows.side), self._dtype)
        readable = np.ones(len(blocks), np.bool_)

        def decode(start: int, stop: int) -> None:
            while start < stop:
                start += self._bulk.stored(blocks[start:stop], decoded[start:stop])
                if start < stop:
                    readable[start] = False
                    start += 1

        share_out(decode, len(blocks))
        return decoded, readable


@dataclass(frozen=True)
class _Batch:
    """A batch of n patches as pieces to place: of each patch k * k in a row.

    Attributes:
        per_patch: k * k.
        pieces: int64 (n k k,), numbers of blocks, or places among decoded ones.
        turns: uint8 (n k k,), their symmetries.
        at: int64 (n k k,), their windows.
        sound: bool (n,), for which patches all pieces are there.
        place: places some of them, and tells how many until the first that cannot be.
    """

    per_patch: int
    pieces: npt.NDArray[np.int64]
    turns: npt.NDArray[np.uint8]
    at: npt.NDArray[np.int64]
    sound: npt.NDArray[np.bool_]
    place: _Place

    def fill(self, start: int, stop: int) -> int:
        """Make patches ``start`` to ``stop``, and return how many were made before the first that cannot be."""
        if not self.sound[start:stop].all():
            stop = start + int(self.sound[start:stop].argmin())
        some = slice(start * self.per_patch, stop * self.per_patch)
        return self.place(self.pieces[some], self.turns[some], self.at[some]) // self.per_patch


def _count_distinct(numbers: npt.NDArray[np.int64]) -> int:
    """Return how many different numbers there are; in a fifth of the time of ``np.unique``."""
    grown = np.sort(numbers, axis=None)
    return int(np.count_nonzero(grown[1:] != grown[:-1])) + min(len(grown), 1)


def block_reads(chunks: BlockChunks) -> BlockReads | None:
    """Return bulk reads of a file, or None where there is no compiled way; see :func:`sar_h5.bulk_reads.bulk_reads`."""
    bulk = bulk_reads(chunks.blocks) if isinstance(chunks.blocks, DirectChunks) else None
    return None if bulk is None else BlockReads(chunks, bulk)


def compile_block_loops(per_side: int, dtype: np.dtype[Any], lookup: Lookup, *, checked: bool = False) -> None:
    """Compile the loops for a kind of file, as :func:`sar_h5.bulk_reads.compile_loops` does.

    Args:
        per_side: how many blocks make up a side of a patch.
        dtype: of what is stored.
        lookup: the file's table.
        checked: whether checksums are checked.
    """
    if dtype not in COMPILED_DTYPES or find_native_reads() is None:
        return
    windows, none = BlockWindows(per_side, 2 * per_side), np.empty(0, np.int64)
    for kind, table in ((np.dtype(np.float32), lookup), (dtype, Lookup(None, dtype))):
        out = windows.of(np.empty((1, 2 * per_side, 2 * per_side), kind))
        compile_loops((2, 2), dtype, table, checked=checked, out=out)
        place_blocks(np.empty((1, 2, 2), dtype), none, none.astype(np.uint8), table.table, table.levels, none, out)
