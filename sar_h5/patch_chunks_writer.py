"""The pixels of layout "patches": one chunk for each patch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import h5py

from sar_h5 import schema
from sar_h5.compression import Codec
from sar_h5.cutting import BatchToMake
from sar_h5.encoding import Storage
from sar_h5.finished_scene import FinishedScene
from sar_h5.packing import PackedBatch, Packer
from sar_h5.pixel_writer import WrittenBatch, append_chunks, create_pixels, writing_errors
from sar_h5.schema import FileSettings
from sar_h5.workers import Workers


class PatchChunksWriter:
    """Writes ``/patches``; see :class:`sar_h5.pixel_writer.PixelWriter` for the methods.

    Args:
        path: the file that is written.
        settings: what holds for all patches.
        storage: how values are stored.
        codec: how chunks are compressed.
        jobs: number of threads.
        in_flight_nbytes: how many bytes of patches wait at most.
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
        self._packer = Packer(storage, codec)
        self._workers = Workers[PackedBatch](jobs, in_flight_nbytes)
        self._patches: h5py.Dataset

    def create(self, file: h5py.File) -> None:
        """Make the dataset."""
        long_name = schema.PATCHES_LONG_NAME[self._storage.encoding]
        create_pixels(file, schema.PATCHES, long_name, self._settings.patch_size, self._storage, self._codec)

    def open(self, file: h5py.File) -> h5py.Dataset:
        """Go on with the dataset."""
        self._patches = file[schema.PATCHES]
        return self._patches

    def take_over(self, scene: FinishedScene) -> None:
        """Nothing to know of earlier scenes."""

    def start_scene(self, scene: FinishedScene) -> None:
        """Nothing to know of the scene."""

    def append(self, batch: BatchToMake) -> Iterator[WrittenBatch]:
        """Have patches packed, and write what is ready."""
        return self._write(self._workers.submit(lambda: self._packer.pack(batch), batch.nbytes))

    def flush(self) -> Iterator[WrittenBatch]:
        """Write all that waits."""
        return self._write(self._workers.drain())

    def abandon_scene(self) -> None:
        """Drop what waits."""
        self._workers.discard()

    def recover_places(self, scenes: Sequence[FinishedScene]) -> None:
        """Tell nothing: which pixels patches share is not known."""

    def write_tables(self, file: h5py.File, scenes: Sequence[FinishedScene]) -> None:
        """There are none: the columns that all layouts have say everything."""

    def close(self) -> None:
        """Leave no thread behind."""
        self._workers.__exit__(None, None, None)

    def _write(self, batches: Iterable[PackedBatch]) -> Iterator[WrittenBatch]:
        for batch in batches:
            with writing_errors(self._path):
                append_chunks(self._patches, batch.frames)
            yield WrittenBatch(batch.checksums, batch.contents, batch.rows, batch.cols, batch.valid_fraction)
