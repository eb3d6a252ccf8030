"""Tensorstore on Zarr 3: whole batches by one indexed read, on all of its threads, without a cache."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorstore
from torch.utils.data import DataLoader

from benchmarks.data import PATCH_SIZE, Floats, PatchSource
from benchmarks.rivals.batching import BatchedPatches, shuffled
from benchmarks.rivals.protocol import LoaderSettings, Rival

STORE = "patches.zarr"
_WRITTEN_AT_ONCE = 64


def _spec(directory: Path) -> dict[str, Any]:
    return {"driver": "zarr3", "kvstore": {"driver": "file", "path": str(directory / STORE)}}


def prepare(source: PatchSource, directory: Path) -> None:
    """Write all patches into one array, uncompressed, one chunk per patch."""
    shape = [source.count, PATCH_SIZE, PATCH_SIZE]
    chunk = {"name": "regular", "configuration": {"chunk_shape": [1, PATCH_SIZE, PATCH_SIZE]}}
    metadata = {"shape": shape, "data_type": "float32", "chunk_grid": chunk}
    array = tensorstore.open(_spec(directory) | {"metadata": metadata}, create=True).result()
    start = 0
    for shard in source.maps():
        for first in range(0, len(shard), _WRITTEN_AT_ONCE):
            part = shard[first : first + _WRITTEN_AT_ONCE]
            array[start : start + len(part)].write(np.asarray(part)).result()
            start += len(part)


class TensorstorePatches:
    """The array, opened in each process: its threads do not survive a fork."""

    def __init__(self, directory: Path, count: int) -> None:
        self._directory, self._count = directory, count
        self._arrays: dict[int, Any] = {}

    def __len__(self) -> int:
        return self._count

    def views(self, numbers: Sequence[int]) -> Iterable[Floats]:
        """Read a batch at once."""
        process = os.getpid()
        if process not in self._arrays:
            # The metadata is read once, not again for every batch.
            options = {"recheck_cached_metadata": "open", "recheck_cached_data": "open"}
            self._arrays = {process: tensorstore.open(_spec(self._directory) | options, read=True).result()}
        patches: Floats = self._arrays[process][np.asarray(numbers)].read().result()
        return iter(patches)


def make_loader(source: PatchSource, directory: Path, settings: LoaderSettings) -> DataLoader[Any]:
    """Make the loader."""
    return shuffled(BatchedPatches(TensorstorePatches(directory, source.count), settings.seed), settings)


RIVAL = Rival(prepare, make_loader)
