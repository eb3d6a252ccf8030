"""What owns the dataset with the pixels while a file is written; one class for each layout provides it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import h5py
import numpy as np
import numpy.typing as npt

from sar_h5.compression import Codec
from sar_h5.cutting import BatchToMake
from sar_h5.encoding import Storage
from sar_h5.errors import OutputError
from sar_h5.finished_scene import FinishedScene
from sar_h5.place_recovery import FilePlaces


@dataclass(frozen=True)
class WrittenBatch:
    """Some patches of one scene whose pixels are in the file.

    Attributes:
        checksums: what ``/index/checksum`` holds of each.
        contents: SHA-256 of each patch's content, see ``digest``.
        rows, cols: int32 (n,), top-left corners in the scene; -1 where unknown.
        valid_fraction: float32 (n,), in [0, 1].
    """

    checksums: Sequence[int]
    contents: Sequence[bytes]
    rows: npt.NDArray[np.int32]
    cols: npt.NDArray[np.int32]
    valid_fraction: npt.NDArray[np.float32]


class PixelWriter(Protocol):
    """Writes the pixels of patches, scene by scene, and the tables that only its layout has.

    Batches are made and compressed in threads, and written in order by the thread that takes them; errors of making
    one, those of the source, come out where it would have.
    """

    def create(self, file: h5py.File) -> None:
        """Make the dataset, empty, in an empty file."""

    def open(self, file: h5py.File) -> h5py.Dataset:
        """Go on with the dataset of a file that has been opened anew; return it."""

    def take_over(self, scene: FinishedScene) -> None:
        """Know a scene that is in the file already; they come in order."""

    def start_scene(self, scene: FinishedScene) -> None:
        """Begin a scene."""

    def append(self, batch: BatchToMake) -> Iterator[WrittenBatch]:
        """Have patches packed; write those that are ready, and yield them."""

    def flush(self) -> Iterator[WrittenBatch]:
        """Wait for all patches appended, write and yield them."""

    def abandon_scene(self) -> None:
        """Forget the scene begun last; the file has gone back to what it was before."""

    def recover_places(self, scenes: Sequence[FinishedScene]) -> FilePlaces | None:
        """Return what follows from the pixels about where patches lie, once all scenes are there; None if nothing."""

    def write_tables(self, file: h5py.File, scenes: Sequence[FinishedScene]) -> None:
        """Write what only this layout has, once all scenes are finished and ``/index`` is there."""

    def close(self) -> None:
        """Drop what is not written, and leave no thread behind."""


@contextlib.contextmanager
def writing_errors(path: Path) -> Iterator[None]:
    """Raise what HDF5 raises while it writes a file as OutputError."""
    try:
        yield
    except (OSError, RuntimeError) as error:  # h5py raises either, depending on where HDF5 noticed
        raise OutputError(f"{path}: cannot be written (disk full, or no longer there?): {error}") from error


def create_pixels(file: h5py.File, name: str, long_name: str, side: int, storage: Storage, codec: Codec) -> None:
    """Make an empty dataset of squares, one chunk each.

    Args:
        file: an open file.
        name: of the dataset.
        long_name: what it holds, for people.
        side: of a square in pixels.
        storage: how values are stored.
        codec: how chunks are compressed.
    """
    dataset = file.create_dataset(
        name,
        shape=(0, side, side),
        maxshape=(None, side, side),
        chunks=(1, side, side),
        dtype=storage.dtype.newbyteorder("<"),
        **codec.dataset_arguments(),
    )
    dataset.attrs["long_name"] = long_name
    dataset.attrs["units"] = "1"


def append_chunks(dataset: h5py.Dataset, frames: Sequence[npt.NDArray[np.uint8]]) -> None:
    """Add compressed chunks at the end of such a dataset."""
    start = len(dataset)
    dataset.resize(start + len(frames), axis=0)
    for number, frame in enumerate(frames, start=start):
        dataset.id.write_direct_chunk((number, 0, 0), frame)
