"""How the pixels of patches get into a new file of layout "blocks": each block once, in the order of first use."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import h5py
import numpy as np
import numpy.typing as npt

from sar_h5 import schema
from sar_h5.block_table import sum_checksums
from sar_h5.columns import write_column
from sar_h5.derivation.block_numbers import BlockNumbers, Blocks
from sar_h5.derivation.patch_chunks import compress_chunk, write_chunk
from sar_h5.derivation.pixel_form import PixelForm
from sar_h5.derivation.taken_patch import StoredChunk, TakenPatch, Write
from sar_h5.shared_blocks.contents import BlockContents, hash_blocks
from sar_h5.shared_blocks.grid import cut_blocks
from sar_h5.shared_blocks.held_blocks import HeldBlocks
from sar_h5.shared_blocks.sharing import BlockSharing, measure_sharing
from sar_h5.shared_blocks.table import Hashes
from sar_h5.workers import Workers

IN_FLIGHT_NBYTES = 20 << 20
"""How many bytes of blocks are compressed, or read as they are stored, at once."""

_ROOM = 256
"""By how many blocks the dataset grows: nobody knows how many there will be."""


class BlockPixels:
    """Writes ``/blocks`` of a new file; see :class:`sar_h5.derivation.taken_patch.PixelTarget`.

    Args:
        path: the new file, for messages.
        file: the same, open.
        like: the pixels of an existing one, whose attributes and storage it has as well.
        form: how pixels are stored.
        count: how many patches there are at most.
        counts: how many blocks each piece's file has; 0 where it has patches.
        by_place: how equal blocks of patches that are to be matched are found; see ``block_matching``.
        jobs: number of threads.
        errors: turns what h5py raises into errors of this package.

    Attributes:
        dataset: see above.
    """

    def __init__(
        self,
        path: Path,
        file: h5py.File,
        like: h5py.Dataset,
        form: PixelForm,
        count: int,
        counts: Sequence[int],
        jobs: int,
        errors: Callable[[], AbstractContextManager[None]],
        *,
        by_place: bool,
    ) -> None:
        self.dataset = form.create(file, like, 0)
        self._form, self._errors, self._by_place = form, errors, by_place
        self._held = HeldBlocks(path, form.side, form.dtype)
        contents = None if by_place else BlockContents(lambda number: self._held.read(self.dataset, number))
        self._side = form.settings.blocks_per_side
        self._numbers = BlockNumbers(counts, form.side, self._side, contents)
        self._grid = np.zeros((count, self._side**2), np.uint32)
        self._workers = Workers[list[StoredChunk]](jobs, IN_FLIGHT_NBYTES)
        self._checksums: list[int] = []

    def prepare(self, taken: TakenPatch) -> Write:
        """Cut a patch into blocks, and hash these where they are to be matched."""
        blocks = np.empty((1, self._side**2, self._form.side, self._form.side), self._form.dtype)
        cut_blocks(taken.pixels[np.newaxis], blocks)
        return functools.partial(self._take, taken, blocks[0], hash_blocks(blocks[0]) if taken.matches else None)

    def flush(self) -> None:
        """Write the blocks that wait."""
        self._write(self._workers.drain())

    def finish(self, count: int) -> npt.NDArray[np.uint32]:
        """Write the blocks that wait, and return the checksums of patches."""
        self.flush()
        with self._errors():
            self.dataset.resize(len(self._checksums), axis=0)
        self._grid = self._grid[:count]
        return sum_checksums(np.array(self._checksums, np.uint32)[self._grid])

    def write_tables(self, file: h5py.File) -> None:
        """Write which blocks make up each patch, and the checksums of all blocks."""
        grid = self._grid.reshape(-1, self._side, self._side)
        write_column(file[schema.INDEX], schema.BLOCK_GRID_COLUMN, grid)
        write_column(file, schema.BLOCK_CHECKSUM_COLUMN, self._checksums)

    def measure_sharing(self) -> BlockSharing:
        """Count how many patches share blocks, once finished."""
        return measure_sharing([self._grid.astype("<u4").tobytes()], self._form.side, self._form.settings.patch_size)

    def close(self) -> None:
        """Drop what is not written, and leave no thread behind."""
        self._workers.__exit__(None, None, None)

    def _take(self, taken: TakenPatch, blocks: Blocks, hashes: Hashes | None, place: int) -> None:
        """Number the blocks of a patch, and have those written that are new."""
        numbers, new = self._numbers.number(taken, blocks, hashes)
        self._grid[place] = numbers
        if not new:
            return
        if hashes is not None and not self._by_place:
            for position in new:
                self._held.hold(int(numbers[position]), blocks[position])
        self._write(self._workers.submit(self._work(taken, blocks, new), len(new) * blocks[0].nbytes))

    def _work(self, taken: TakenPatch, blocks: Blocks, new: Sequence[int]) -> Callable[[], list[StoredChunk]]:
        """Return what makes the chunks of new blocks; it holds on to nothing but these, which may be few of many."""
        if taken.fetch is None or taken.blocks is None:
            pixels, codec = blocks[new], self._form.codec
            return lambda: [compress_chunk(block, codec) for block in pixels]
        fetch, sources = taken.fetch, taken.blocks[new].tolist()
        return lambda: [fetch(source) for source in sources]

    def _write(self, ready: Iterable[list[StoredChunk]]) -> None:
        for chunks in ready:
            with self._errors():
                for chunk in chunks:
                    if len(self._checksums) == len(self.dataset):
                        self.dataset.resize(len(self.dataset) + _ROOM, axis=0)
                    write_chunk(self.dataset, len(self._checksums), chunk)
                    self._checksums.append(chunk.checksum)
        self._held.forget_old(len(self._checksums))
