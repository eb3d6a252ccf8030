"""Zarr 3 with the codec pipeline of zarrs: whole batches by one orthogonal selection, one chunk per patch."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import zarr
import zarrs  # noqa: F401 - named by a setting only; without it the pipeline would silently be the slow one
from torch.utils.data import DataLoader

from benchmarks.data import PATCH_SIZE, Floats, PatchSource
from benchmarks.rivals.batching import BatchedPatches, shuffled
from benchmarks.rivals.protocol import LoaderSettings, Rival

STORE = "patches.zarr"


def prepare(source: PatchSource, directory: Path) -> None:
    """Write all patches into one array, uncompressed: float32 hardly shrinks, and reads faster as it is."""
    array = zarr.create_array(
        directory / STORE,
        shape=(source.count, PATCH_SIZE, PATCH_SIZE),
        chunks=(1, PATCH_SIZE, PATCH_SIZE),
        dtype="float32",
        compressors=None,
    )
    for number, patch in enumerate(source.patches()):
        array[number] = patch


class ZarrPatches:
    """The array, opened in each process: its threads do not survive a fork."""

    def __init__(self, path: Path, count: int) -> None:
        self._path, self._count = path, count
        self._arrays: dict[int, Any] = {}

    def __len__(self) -> int:
        return self._count

    def views(self, numbers: Sequence[int]) -> Iterable[Floats]:
        """Read a batch at once, in the order of the file."""
        process = os.getpid()
        if process not in self._arrays:
            zarr.config.set({"codec_pipeline.path": "zarrs.ZarrsCodecPipeline"})
            self._arrays = {process: zarr.open_array(self._path, mode="r")}
        patches: Floats = self._arrays[process].oindex[np.sort(numbers)]
        ranks = np.argsort(np.argsort(numbers))
        return (patches[rank] for rank in ranks)


def make_loader(source: PatchSource, directory: Path, settings: LoaderSettings) -> DataLoader[Any]:
    """Make the loader."""
    return shuffled(BatchedPatches(ZarrPatches(directory / STORE, source.count), settings.seed), settings)


RIVAL = Rival(prepare, make_loader)
