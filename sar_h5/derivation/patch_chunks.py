"""How the pixels of patches get into a new file of layout "patches": one chunk each."""

from __future__ import annotations

import functools
import zlib
from collections.abc import Callable
from contextlib import AbstractContextManager

import h5py
import numpy as np
import numpy.typing as npt

from sar_h5.compression import Codec
from sar_h5.derivation.pixel_form import PixelForm
from sar_h5.derivation.taken_patch import Pixels, StoredChunk, TakenPatch, Write


class PatchChunks:
    """Writes ``/patches`` of a new file; see :class:`sar_h5.derivation.taken_patch.PixelTarget`.

    Args:
        file: the new file.
        like: the pixels of an existing one, whose attributes and storage it has as well.
        form: how pixels are stored.
        count: how many patches there are at most.
        errors: turns what h5py raises into errors of this package.

    Attributes:
        dataset: see above.
    """

    def __init__(
        self,
        file: h5py.File,
        like: h5py.Dataset,
        form: PixelForm,
        count: int,
        errors: Callable[[], AbstractContextManager[None]],
    ) -> None:
        self.dataset = form.create(file, like, count)
        self._form, self._errors = form, errors
        self._checksums = np.zeros(count, np.uint32)

    def prepare(self, taken: TakenPatch) -> Write:
        """Compress a patch, unless its chunk can stay."""
        chunk = taken.chunk or compress_chunk(taken.pixels, self._form.codec)
        return functools.partial(self._write, chunk)

    def flush(self) -> None:
        """Do nothing: nothing waits."""

    def finish(self, count: int) -> npt.NDArray[np.uint32]:
        """Say how many patches have been written, where they are fewer than was announced."""
        with self._errors():
            if count < len(self.dataset):
                self.dataset.resize(count, axis=0)
        return self._checksums[:count]

    def write_tables(self, file: h5py.File) -> None:
        """Write nothing: patches are all there is."""

    def measure_sharing(self) -> None:
        """Tell nothing: patches share no pixels."""

    def close(self) -> None:
        """Do nothing: nothing waits."""

    def _write(self, chunk: StoredChunk, place: int) -> None:
        with self._errors():
            write_chunk(self.dataset, place, chunk)
        self._checksums[place] = chunk.checksum


def compress_chunk(pixels: Pixels, codec: Codec) -> StoredChunk:
    """Return pixels as they are stored."""
    frame = codec.compress(np.ascontiguousarray(pixels))
    return StoredChunk(frame, plain=False, checksum=zlib.crc32(frame))


def write_chunk(dataset: h5py.Dataset, place: int, chunk: StoredChunk) -> None:
    """Write a chunk as it is."""
    dataset.id.write_direct_chunk((place, 0, 0), chunk.data, filter_mask=int(chunk.plain))
