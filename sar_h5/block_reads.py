"""Many patches made up of blocks read at once: the compiled loops applied to blocks and their windows of samples."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from sar_h5.block_chunks import BlockChunks
from sar_h5.block_kernels import lay_out, place_blocks
from sar_h5.block_windows import BlockWindows
from sar_h5.buffers import BufferPool
from sar_h5.bulk_reads import BulkReads, Fill, ShareOut, bulk_reads, compile_loops
from sar_h5.chunks import DirectChunks
from sar_h5.lookup import COMPILED_DTYPES, Lookup
from sar_h5.native import find_native_reads

_MOST_DISTINCT = 0.9
"""Blocks are decoded before they are placed where at most this part of them is distinct. Measured for VV (VH), in
microseconds a patch: 84 in place of 115 (38 as well) at 0.35, 108 of 124 (42 of 40) at 0.6, 125 of 126 (45 of 41) at
0.93; most blocks of VH are stored as they are, so that reading one again costs next to nothing."""

_Place = Callable[[npt.NDArray[np.int64], npt.NDArray[np.uint8], npt.NDArray[np.int64]], int]


class BlockReads:
    """Reads batches without the GIL, in any number of threads.

    Args:
        chunks: the patches.
        bulk: reads their blocks.
    """

    def __init__(self, chunks: BlockChunks, bulk: BulkReads) -> None:
        self._table, self._dtype, self._bulk = chunks.table, chunks.dtype, bulk
        self._grid = chunks.table.grid.reshape(len(chunks.table.grid), chunks.table.per_patch)
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
        batch = self._lay_out(numbers, symmetries, places)
        windows = self._windows.of(out)
        if len(numbers) > 1 and _count_distinct(batch.pieces) <= _MOST_DISTINCT * batch.pieces.size:
            blocks = np.unique(batch.pieces)
            blocks = blocks[blocks < self._table.count]
            decoded, readable = self._decode(blocks, share_out)
            batch = batch.among(blocks, readable)

            def place(pieces: npt.NDArray[np.int64], turns: npt.NDArray[np.uint8], at: npt.NDArray[np.int64]) -> int:
                done: int = place_blocks(decoded, pieces, turns, lookup.table, lookup.levels, at, windows)
                return done

        else:

            def place(pieces: npt.NDArray[np.int64], turns: npt.NDArray[np.uint8], at: npt.NDArray[np.int64]) -> int:
                return self._bulk.values(pieces, turns, lookup, at, windows)

        return partial(batch.fill, place)

    def prepare_stored(self, numbers: npt.NDArray[np.int64], out: npt.NDArray[Any], share_out: ShareOut) -> Fill:
        """Return what reads slices of a batch as stored into ``out`` (n, P, P)."""
        upright, places = np.zeros(len(numbers), np.uint8), np.arange(len(numbers))
        return self.prepare_values(numbers, upright, Lookup(None, self._dtype), places, out, share_out)

    def _lay_out(
        self, numbers: npt.NDArray[np.int64], symmetries: npt.NDArray[np.uint8], places: npt.NDArray[np.int64]
    ) -> _Batch:
        shape, windows = (len(numbers), self._windows.per_patch), self._windows
        kinds = (np.int64, np.uint8, np.int64)
        pieces, turns, at = (np.empty(shape, kind) for kind in kinds)
        sound = np.empty(len(numbers), np.bool_)
        where = windows.sources, windows.corners, windows.step
        lay_out(self._grid, self._table.count, numbers, symmetries, places, *where, pieces, turns, at, sound)
        if self._table.tells_blocks:
            sound = self._table.are_sound(numbers)
        return _Batch(pieces, turns, at, sound)

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
        pieces: int64 (n, k k), numbers of blocks, or places among decoded ones.
        turns: uint8 (n, k k), their symmetries.
        windows: int64 (n, k k), where they go.
        sound: bool (n,), for which patches all pieces are there.
    """

    pieces: npt.NDArray[np.int64]
    turns: npt.NDArray[np.uint8]
    windows: npt.NDArray[np.int64]
    sound: npt.NDArray[np.bool_]

    def among(self, blocks: npt.NDArray[np.int64], readable: npt.NDArray[np.bool_]) -> _Batch:
        """Return the batch with places among decoded blocks, growing, of which some can be read."""
        pieces, sound = np.searchsorted(blocks, self.pieces), self.sound.copy()
        sound[sound] = readable[pieces[sound]].all(axis=1)
        return replace(self, pieces=pieces, sound=sound)

    def fill(self, place: _Place, start: int, stop: int) -> int:
        """Place the pieces of patches ``start`` to ``stop``; return how many patches, before the first that cannot be.

        Args:
            place: places pieces with their symmetries in windows, and tells how many until the first that cannot be.
            start: see above.
            stop: see above.
        """
        if not self.sound[start:stop].all():
            stop = start + int(self.sound[start:stop].argmin())
        per_patch = int(self.pieces.shape[1])
        some = slice(start, stop)
        placed = place(self.pieces[some].reshape(-1), self.turns[some].reshape(-1), self.windows[some].reshape(-1))
        return placed // per_patch


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
    windows, none, turns = BlockWindows(per_side, 2 * per_side), np.empty(0, np.int64), np.empty(0, np.uint8)
    for kind, table in ((np.dtype(np.float32), lookup), (dtype, Lookup(None, dtype))):
        out = windows.of(np.empty((1, 2 * per_side, 2 * per_side), kind))
        compile_loops((2, 2), dtype, table, checked=checked, out=out)
        place_blocks(np.empty((1, 2, 2), dtype), none, turns, table.table, table.levels, none, out)
    pairs = np.empty((0, windows.per_patch), np.int64)
    where = windows.sources, windows.corners, windows.step
    sound = np.empty(0, np.bool_)
    lay_out(pairs.astype(np.uint32), 0, none, turns, none, *where, pairs, pairs.astype(np.uint8), pairs, sound)
