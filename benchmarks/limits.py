"""What this machine can do at best with the same bytes, on all cores, without a loader around it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import torch
from numcodecs import blosc

from benchmarks.data import PATCH_SIZE, PatchSource
from benchmarks.rivals import ours
from benchmarks.rivals.maps import Maps
from benchmarks.rivals.protocol import LoaderSettings, Rival, no_preparation
from benchmarks.rivals.shards import shard_files
from sar_h5.reader import PatchReader
from sar_h5.schema import LUT, PATCHES
from sar_h5.symmetry import SYMMETRIES

Numbers = npt.NDArray[np.int64]


class ThreadedBatches:
    """Batches in two buffers that are used again and again, filled by all cores, each a slice.

    The next batch is begun before this one is done, so that no core ever waits for another: nothing can be faster.

    Args:
        count: number of patches.
        buffers: two of (batch_size, 256, 256).
        fill: writes patches of these numbers into a part of a buffer, without the GIL for the most part.
        seed: of the order.
        pack: turns the filled part of a buffer into what is served.
    """

    def __init__(
        self,
        count: int,
        buffers: npt.NDArray[Any],
        fill: Callable[[npt.NDArray[Any], Numbers], None],
        seed: int,
        pack: Callable[[npt.NDArray[Any]], Any],
    ) -> None:
        self._count, self._buffers, self._fill, self._pack = count, buffers, fill, pack
        self._generator = np.random.default_rng(seed)
        self._threads = len(os.sched_getaffinity(0))
        self._pool = ThreadPoolExecutor(self._threads)

    def __iter__(self) -> Iterator[Any]:
        order = self._generator.permutation(self._count)
        size = self._buffers.shape[1]
        parts = [order[start : start + size] for start in range(0, self._count, size)]
        begun = self._begin(0, parts[0])
        for turn in range(len(parts)):
            following = self._begin(turn + 1, parts[turn + 1]) if turn + 1 < len(parts) else []
            for slice_done in begun:
                slice_done.result()
            begun = following
            yield self._pack(self._buffers[turn % 2, : len(parts[turn])])

    def _begin(self, turn: int, numbers: Numbers) -> list[Future[None]]:
        batch = self._buffers[turn % 2, : len(numbers)]
        parts = zip(np.array_split(batch, self._threads), np.array_split(numbers, self._threads), strict=True)
        return [self._pool.submit(self._fill, *part) for part in parts]


def _buffers(settings: LoaderSettings, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    return np.zeros((2, settings.batch_size, PATCH_SIZE, PATCH_SIZE), dtype=dtype)


def _as_tensor(part: npt.NDArray[Any]) -> torch.Tensor:
    return torch.from_numpy(part[:, None])


def copy_loader(source: PatchSource, directory: Path, settings: LoaderSettings) -> ThreadedBatches:
    """Copy float32 patches from memory maps of the shards."""
    del directory
    maps = Maps(source)

    def fill(places: npt.NDArray[Any], numbers: Numbers) -> None:
        for place, patch in zip(places, maps.views(numbers.tolist()), strict=True):
            np.copyto(place, patch)

    return ThreadedBatches(source.count, _buffers(settings, np.float32), fill, settings.seed, _as_tensor)


@dataclass(frozen=True)
class Codes:
    """A batch as stored.

    Attributes:
        codes: (n, 256, 256), of the buffer that the next batch overwrites.
        lut: float32 (K,), the value of each code.
    """

    codes: npt.NDArray[Any]
    lut: npt.NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.codes)


def look_up(batch: Codes) -> torch.Tensor:
    """Return the values of a batch of codes, (n, 1, 256, 256)."""
    return torch.from_numpy(batch.lut[batch.codes][:, None])


def decode_loader(source: PatchSource, directory: Path, settings: LoaderSettings) -> ThreadedBatches:
    """Decode the chunks of the package's file into a batch of codes, without look-up or symmetry."""
    blosc.use_threads = False  # one context per call, so that threads do not wait for each other
    path = ours.file_of(source, directory)
    with h5py.File(path) as file:
        dataset, lut = file[PATCHES], file[LUT][:]
        chunks: list[Any] = [None] * source.count
        dataset.id.chunk_iter(lambda chunk: chunks.__setitem__(chunk.chunk_offset[0], chunk))
        dtype = dataset.dtype
    stored = np.memmap(path, mode="r").view(np.ndarray)
    spans = [(chunk.byte_offset, chunk.byte_offset + chunk.size, chunk.filter_mask == 0) for chunk in chunks]

    def fill(places: npt.NDArray[Any], numbers: Numbers) -> None:
        for place, number in zip(places, numbers.tolist(), strict=True):
            start, stop, is_compressed = spans[number]
            if is_compressed:
                blosc.decompress(stored[start:stop], place)
            else:
                np.copyto(place, stored[start:stop].view(dtype).reshape(place.shape))

    return ThreadedBatches(source.count, _buffers(settings, dtype), fill, settings.seed, lambda part: Codes(part, lut))


def fused_loader(source: PatchSource, directory: Path, settings: LoaderSettings) -> ThreadedBatches:
    """Decode, look up and turn the patches of the package's file into the batch, by its own compiled loop."""
    reader = PatchReader(ours.file_of(source, directory))
    symmetries = np.random.default_rng(settings.seed).integers(0, SYMMETRIES, source.count).astype(np.uint8)

    def fill(places: npt.NDArray[Any], numbers: Numbers) -> None:
        reader.values(numbers, places, symmetries[numbers])

    return ThreadedBatches(source.count, _buffers(settings, np.float32), fill, settings.seed, _as_tensor)


COPY = Rival(no_preparation, copy_loader, shard_files, turned=False)
DECODE = Rival(ours.prepare, decode_loader, to_values=look_up, turned=False)
FUSED = Rival(ours.prepare, fused_loader)
