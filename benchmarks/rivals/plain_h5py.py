"""Plain h5py on float32 with Blosc (lz4, byte shuffle), one chunk per patch."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
import numpy as np
from torch.utils.data import DataLoader

from benchmarks.data import PATCH_SIZE, Floats, PatchSource
from benchmarks.rivals.batching import BatchedPatches, shuffled
from benchmarks.rivals.protocol import LoaderSettings, Rival

FILE, DATASET = "patches.h5", "patches"


def prepare(source: PatchSource, directory: Path) -> None:
    """Write all patches into one dataset."""
    with h5py.File(directory / FILE, "w") as file:
        dataset = file.create_dataset(
            DATASET,
            (source.count, PATCH_SIZE, PATCH_SIZE),
            "f4",
            chunks=(1, PATCH_SIZE, PATCH_SIZE),
            **hdf5plugin.Blosc(cname="lz4", clevel=5, shuffle=hdf5plugin.Blosc.SHUFFLE),
        )
        for number, patch in enumerate(source.patches()):
            dataset[number] = patch


class H5pyPatches:
    """The dataset, opened once in each process and without a chunk cache, for no chunk is read twice in an epoch."""

    def __init__(self, path: Path, count: int) -> None:
        self._path, self._count = path, count
        self._datasets: dict[int, h5py.Dataset] = {}
        self._patch = np.empty((PATCH_SIZE, PATCH_SIZE), dtype=np.float32)

    def __len__(self) -> int:
        return self._count

    def views(self, numbers: Sequence[int]) -> Iterable[Floats]:
        """Read one patch after the other into the same memory."""
        process = os.getpid()
        if process not in self._datasets:
            self._datasets = {process: h5py.File(self._path, "r", rdcc_nbytes=0)[DATASET]}
        dataset = self._datasets[process]
        for number in numbers:
            dataset.read_direct(self._patch, np.s_[number])
            yield self._patch


def make_loader(source: PatchSource, directory: Path, settings: LoaderSettings) -> DataLoader[Any]:
    """Make the loader."""
    return shuffled(BatchedPatches(H5pyPatches(directory / FILE, source.count), settings.seed), settings)


RIVAL = Rival(prepare, make_loader)
