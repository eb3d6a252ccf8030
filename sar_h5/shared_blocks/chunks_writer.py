"""The pixels of layout "blocks": one chunk for each block, however many patches share it.

Two stages in threads, with one decision between them. First patches are made, cut into blocks and hashed. Then the
thread that writes decides, in order, which blocks are new, so that the file is the same for any number of threads. Only
these are compressed, in threads again, and written in order.
"""

from __future__ import annotations

import functools
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import numpy.typing as npt

from sar_h5 import schema
from sar_h5.buffers import BufferPool
from sar_h5.columns import write_column
from sar_h5.compression import Codec
from sar_h5.cutting import BatchToMake, Stored
from sar_h5.encoding import Storage
from sar_h5.finished_scene import FinishedScene
from sar_h5.packing import Frame, MadeBatch, Packer
from sar_h5.pixel_writer import WrittenBatch, append_chunks, create_pixels, writing_errors
from sar_h5.place_recovery import FilePlaces, recover_file_places
from sar_h5.schema import UNKNOWN, FileSettings
from sar_h5.shared_blocks.contents import BlockContents, hash_blocks
from sar_h5.shared_blocks.grid import cut_blocks
from sar_h5.shared_blocks.held_blocks import HeldBlocks
from sar_h5.shared_blocks.numbering import BlockNumbers
from sar_h5.shared_blocks.places import BlockPlaces
from sar_h5.shared_blocks.table import Hashes
from sar_h5.shared_blocks.telling import are_telling
from sar_h5.workers import Workers

_CHECKSUM_NBYTES = 4


@dataclass(frozen=True)
class _CutBatch:
    """Patches as blocks (n * k, B, B), and the hashes of these where nothing else tells which are equal."""

    made: MadeBatch
    blocks: Stored
    hashes: Hashes | None


@dataclass(frozen=True)
class _NumberedBatch:
    """Patches whose blocks have their numbers (n, k); the new ones are to be written, with their hashes."""

    made: MadeBatch
    numbers: BlockNumbers
    blocks: list[Stored]
    hashes: bytes


@dataclass(frozen=True)
class _CompressedBatch:
    batch: _NumberedBatch
    frames: Sequence[Frame]
    checksums: npt.NDArray[np.uint32]
    telling: bytes


class BlockChunksWriter:
    """Writes ``/blocks``; see :class:`sar_h5.pixel_writer.PixelWriter` for the methods.

    Args:
        path: the file that is written.
        settings: what holds for all patches.
        storage: how values are stored.
        codec: how chunks are compressed.
        jobs: number of threads of each stage.
        in_flight_nbytes: how many bytes of patches wait at most in each stage.
    """

    def __init__(
        self,
        path: Path,
        settings: FileSettings,
        storage: Storage,
        codec: Codec,
        jobs: int,
        in_flight_nbytes: int,
    ) -> None:
        self._path, self._settings, self._storage, self._codec = path, settings, storage, codec
        self._size = settings.block_size or settings.patch_size
        self._per_patch = settings.blocks_per_side**2
        self._packer, self._buffers = Packer(storage, codec), BufferPool()
        self._cutters = Workers[_CutBatch](jobs, in_flight_nbytes)
        self._compressors = Workers[_CompressedBatch](jobs, in_flight_nbytes)
        self._places = BlockPlaces(self._size, settings.blocks_per_side)
        self._held = HeldBlocks(path, self._size, storage.dtype)
        self._contents = BlockContents(lambda number: self._held.read(self._blocks, number))
        self._numbered = 0
        self._checksums = bytearray()
        self._telling = bytearray()
        self._before_scene = 0
        self._scene: FinishedScene
        self._blocks: h5py.Dataset

    def create(self, file: h5py.File) -> None:
        """Make the dataset."""
        long_name = schema.BLOCKS_LONG_NAME[self._storage.encoding]
        create_pixels(file, schema.BLOCKS, long_name, self._size, self._storage, self._codec)

    def open(self, file: h5py.File) -> h5py.Dataset:
        """Go on with the dataset."""
        self._blocks = file[schema.BLOCKS]
        return self._blocks

    def take_over(self, scene: FinishedScene) -> None:
        """Know the blocks of an earlier scene."""
        self._contents.take_over(np.frombuffer(scene.blocks.hashes, "<u8").reshape(-1, 2), self._numbered)
        self._numbered += scene.blocks.count
        self._checksums += scene.blocks.checksums
        self._telling += scene.blocks.telling
        scene.blocks.forget_chunks()

    def start_scene(self, scene: FinishedScene) -> None:
        """Begin a scene, whose places are its own."""
        self._scene, self._before_scene = scene, self._numbered
        self._places.start_scene()

    def append(self, batch: BatchToMake) -> Iterator[WrittenBatch]:
        """Have patches cut, number the blocks of those that are, and write the ones that are compressed."""
        return self._compress_all(self._cutters.submit(lambda: self._cut(batch), batch.nbytes))

    def flush(self) -> Iterator[WrittenBatch]:
        """Write all that waits."""
        yield from self._compress_all(self._cutters.drain())
        yield from map(self._write, self._compressors.drain())

    def abandon_scene(self) -> None:
        """Forget the scene's blocks."""
        self._cutters.discard()
        self._compressors.discard()
        self._held.clear()
        self._numbered = self._before_scene
        del self._checksums[self._numbered * _CHECKSUM_NBYTES :]
        del self._telling[self._numbered :]
        self._contents.forget(self._numbered)

    def recover_places(self, scenes: Sequence[FinishedScene]) -> FilePlaces | None:
        """Find out by shared blocks where patches lie, where the sources tell nothing at all about that."""
        if any((scene.column("row") != UNKNOWN).any() for scene in scenes):
            return None
        side = self._settings.blocks_per_side
        grids = [np.frombuffer(scene.blocks.grid, "<u4").reshape(-1, side, side) for scene in scenes]
        return recover_file_places(grids, np.frombuffer(self._telling, np.bool_), self._size)

    def write_tables(self, file: h5py.File, scenes: Sequence[FinishedScene]) -> None:
        """Write which blocks make up each patch, and the checksums of all blocks."""
        side = self._settings.blocks_per_side
        grid = np.frombuffer(b"".join(scene.blocks.grid for scene in scenes), "<u4").reshape(-1, side, side)
        write_column(file[schema.INDEX], schema.BLOCK_GRID_COLUMN, grid)
        write_column(file, schema.BLOCK_CHECKSUM_COLUMN, np.frombuffer(self._checksums, "<u4"))

    def close(self) -> None:
        """Leave no thread behind."""
        self._cutters.__exit__(None, None, None)
        self._compressors.__exit__(None, None, None)

    def _cut(self, batch: BatchToMake) -> _CutBatch:
        made = self._packer.make(batch)
        shape = (len(made.stored), self._per_patch, self._size, self._size)
        cut = self._buffers.take(shape, self._storage.dtype)
        cut_blocks(made.stored, cut)
        blocks = cut.reshape(-1, *shape[2:])
        return _CutBatch(made, blocks, hash_blocks(blocks) if (made.rows == UNKNOWN).any() else None)

    def _compress_all(self, batches: Iterable[_CutBatch]) -> Iterator[WrittenBatch]:
        for cut in batches:
            numbered = self._number(cut)
            yield from map(
                self._write, self._compressors.submit(functools.partial(self._compress, numbered), cut.blocks.nbytes)
            )

    def _number(self, cut: _CutBatch) -> _NumberedBatch:
        made = cut.made
        hashes = b""
        if cut.hashes is None:
            numbering = self._places.number(made.rows, made.cols, self._numbered)
        else:
            numbering = self._contents.number(cut.blocks, cut.hashes, self._per_patch, self._numbered)
            hashes = cut.hashes[numbering.new].astype("<u8").tobytes()
        blocks = [cut.blocks[position] for position in numbering.new]
        if cut.hashes is not None:
            for number, block in enumerate(blocks, start=self._numbered):
                self._held.hold(number, block)
        self._numbered += len(blocks)
        return _NumberedBatch(made, numbering.numbers, blocks, hashes)

    def _compress(self, batch: _NumberedBatch) -> _CompressedBatch:
        frames = self._packer.compress(batch.blocks)
        checksums = np.array([zlib.crc32(frame.data) for frame in frames], "<u4")
        # Where places are told nobody asks.
        telling = are_telling(batch.blocks) if batch.hashes else np.zeros(len(frames), np.bool_)
        return _CompressedBatch(batch, frames, checksums, telling.tobytes())

    def _write(self, compressed: _CompressedBatch) -> WrittenBatch:
        batch, made = compressed.batch, compressed.batch.made
        first = len(self._blocks)
        with writing_errors(self._path):
            append_chunks(self._blocks, compressed.frames)
        self._held.forget_old(first + len(batch.blocks))
        checksums = compressed.checksums.tobytes()
        self._checksums += checksums
        self._telling += compressed.telling
        self._scene.blocks.add(batch.numbers, checksums, batch.hashes, compressed.telling)
        of_blocks = np.frombuffer(self._checksums, "<u4")[batch.numbers]
        of_patches = [zlib.crc32(one.tobytes()) for one in of_blocks]
        return WrittenBatch(of_patches, made.contents, made.rows, made.cols, made.valid_fraction)
