"""Many patches made up of blocks read at once: the compiled loops applied to blocks, each with its place in a sample.

A block's place in memory is a window of a sample: the rows of a block, as far apart as the rows of a patch are. The
loops that read patches into a batch read blocks into such windows just as well.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from sar_h5.block_chunks import BlockChunks
from sar_h5.block_kernels import place_blocks
from sar_h5.buffers import BufferPool
from sar_h5.bulk_reads import BulkReads, ShareOut, bulk_reads, compile_loops
from sar_h5.chunks import DirectChunks
from sar_h5.lookup import COMPILED_DTYPES, Lookup
from sar_h5.native import find_native_reads
from sar_h5.symmetry import SYMMETRIES, apply_symmetry

_MOST_DISTINCT = 0.8
"""Blocks are decoded apart from placing them where at most this part of them is distinct."""

Windows = npt.NDArray[Any]


class BlockReads:
    """Reads slices of batches without the GIL; stops at the first patch that is not as it should be.

    Args:
        chunks: the patches.
        bulk: reads their blocks.
    """

    def __init__(self, chunks: BlockChunks, bulk: BulkReads) -> None:
        self._table, self._dtype, self._bulk = chunks.table, chunks.dtype, bulk
        self._layout = _Layout(chunks.table.grid.shape[1], chunks.shape[0])
        self._nothing = Lookup(None, chunks.dtype)
        self._buffers = BufferPool()

    def prepare(self, numbers: npt.NDArray[np.int64], share_out: ShareOut) -> BlockReads | SharedBlocks:
        """Decode the blocks of a batch beforehand, each once, where many of them belong to several of its patches.

        Args:
            numbers: int64 (n,), patches of the batch.
            share_out: runs a task over slices of a range, in threads.

        Returns:
            What reads slices of this batch.
        """
        wanted = self._table.blocks(numbers)
        if wanted.size < 2 * self._table.per_patch:
            return self
        blocks = np.unique(wanted)
        if len(blocks) > _MOST_DISTINCT * wanted.size:
            return self
        blocks = blocks[blocks < self._table.count].astype(np.int64)
        decoded = self._buffers.take((len(blocks), self._layout.side, self._layout.side), self._dtype)
        readable = np.ones(len(blocks), np.bool_)

        def decode(start: int, stop: int) -> None:
            while start < stop:
                start += self._bulk.stored(blocks[start:stop], decoded[start:stop])
                if start < stop:
                    readable[start] = False
                    start += 1

        share_out(decode, len(blocks))
        return SharedBlocks(self, blocks, decoded, readable)

    def values(
        self,
        numbers: npt.NDArray[np.int64],
        symmetries: npt.NDArray[np.uint8],
        lookup: Lookup,
        places: npt.NDArray[np.int64],
        out: npt.NDArray[Any],
    ) -> int:
        """Read, look up and place patches; arguments and result as of :meth:`sar_h5.bulk_reads.BulkReads.values`."""
        blocks, turns, at = self.spread(numbers, symmetries, places)
        return self._bulk.values(blocks, turns, lookup, at, self._layout.windows(out)) // self._table.per_patch

    def stored(self, numbers: npt.NDArray[np.int64], out: npt.NDArray[Any]) -> int:
        """Read patches as stored into ``out`` (n, P, P), and return how many were read."""
        return self.values(numbers, np.zeros(len(numbers), np.uint8), self._nothing, np.arange(len(numbers)), out)

    def spread(
        self, numbers: npt.NDArray[np.int64], symmetries: npt.NDArray[np.uint8], places: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
        """Return what patches come down to: blocks, their symmetries, and the windows they go to.

        All of them int64 or uint8 (m k k,), of the m patches before the first one whose blocks cannot be its own.
        """
        wanted = self._table.blocks(numbers)
        sound = self._table.count_sound(wanted, numbers)
        turns = symmetries[:sound]
        blocks = np.take_along_axis(wanted[:sound], self._layout.sources[turns], axis=1).astype(np.int64)
        at = places[:sound, None] * self._layout.step + self._layout.corners
        return blocks.reshape(-1), turns.repeat(self._table.per_patch), at.reshape(-1)

    def place(
        self,
        decoded: npt.NDArray[Any],
        positions: npt.NDArray[np.int64],
        turns: npt.NDArray[np.uint8],
        lookup: Lookup | None,
        at: npt.NDArray[np.int64],
        out: npt.NDArray[Any],
    ) -> int:
        """Place blocks that are decoded, and return how many patches that completes; None looks nothing up."""
        table, levels = (None, 0) if lookup is None else (lookup.table, lookup.levels)
        done: int = place_blocks(decoded, positions, turns, table, levels, at, self._layout.windows(out))
        return done // self._table.per_patch


class SharedBlocks:
    """A batch whose blocks are decoded: makes its patches of them.

    Args:
        reads: of the file.
        blocks: int64 (m,), numbers of the blocks, growing.
        decoded: (m, B, B), as stored.
        readable: bool (m,), which of them could be read.
    """

    def __init__(
        self,
        reads: BlockReads,
        blocks: npt.NDArray[np.int64],
        decoded: npt.NDArray[Any],
        readable: npt.NDArray[np.bool_],
    ) -> None:
        self._reads, self._blocks, self._decoded, self._readable = reads, blocks, decoded, readable

    def values(
        self,
        numbers: npt.NDArray[np.int64],
        symmetries: npt.NDArray[np.uint8],
        lookup: Lookup | None,
        places: npt.NDArray[np.int64],
        out: npt.NDArray[Any],
    ) -> int:
        """Make patches of the batch; arguments and result as of :meth:`BlockReads.values`."""
        blocks, turns, at = self._reads.spread(numbers, symmetries, places)
        positions = np.searchsorted(self._blocks, blocks)
        readable = self._readable[positions]
        if not readable.all():
            first = int(readable.argmin())
            positions, turns, at = positions[:first], turns[:first], at[:first]
        return self._reads.place(self._decoded, positions, turns, lookup, at, out)

    def stored(self, numbers: npt.NDArray[np.int64], out: npt.NDArray[Any]) -> int:
        """Make patches as stored, and return how many were made."""
        return self.values(numbers, np.zeros(len(numbers), np.uint8), None, np.arange(len(numbers)), out)


class _Layout:
    """How k x k blocks make up a patch under each of the eight symmetries.

    Args:
        per_side: k.
        size: P.

    Attributes:
        side: B, of a block in pixels.
        step: how many windows the samples are apart.
        sources: int64 (8, k * k), which block of the patch comes to each place of the sample, by symmetry.
        corners: int64 (k * k,), the window of each place, counted from the sample's first.
    """

    def __init__(self, per_side: int, size: int) -> None:
        grid = np.arange(per_side**2).reshape(per_side, per_side)
        rows, cols = np.divmod(grid.ravel(), per_side)
        self._size = size
        self.side, self.step = size // per_side, size**2 if per_side > 1 else 1
        self.sources = np.array([apply_symmetry(grid, number).ravel() for number in range(SYMMETRIES)], np.int64)
        self.corners = (rows * size + cols) * self.side

    def windows(self, out: npt.NDArray[Any]) -> Windows:
        """Return views (l, B, B) of samples (m, P, P): number i begins at pixel i of them all.

        Where blocks are whole patches, that is the samples themselves.
        """
        if self.side == self._size or out.size == 0:
            return out
        step, count = out.itemsize, out.size - (self.side - 1) * (self._size + 1)
        return np.ndarray((count, self.side, self.side), out.dtype, out, 0, (step, self._size * step, step))


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
    layout, none = _Layout(per_side, 2 * per_side), np.empty(0, np.int64)
    for kind, table in ((np.dtype(np.float32), lookup), (dtype, Lookup(None, dtype))):
        out = layout.windows(np.empty((1, 2 * per_side, 2 * per_side), kind))
        compile_loops((2, 2), dtype, table, checked=checked, out=out)
        place_blocks(np.empty((1, 2, 2), dtype), none, none.astype(np.uint8), table.table, table.levels, none, out)
