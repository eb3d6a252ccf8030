"""Memory maps of the shards, opened once and kept; whole batches."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch.utils.data import DataLoader

from benchmarks.data import Floats, PatchSource
from benchmarks.rivals.batching import BatchedPatches, ThreadedPatches, shuffled
from benchmarks.rivals.protocol import LoaderSettings, Rival, no_preparation
from benchmarks.rivals.shards import shard_files


class Maps:
    """The shards as one sequence of patches; forked workers share the maps."""

    def __init__(self, source: PatchSource) -> None:
        # Plain arrays on the maps: every slice of an np.memmap makes another np.memmap, which is slow.
        self._arrays = [np.asarray(shard) for shard in source.maps()]
        self._places = [(shard, place) for shard, array in enumerate(self._arrays) for place in range(len(array))]

    def __len__(self) -> int:
        return len(self._places)

    def views(self, numbers: Sequence[int]) -> Iterable[Floats]:
        """Return patches as views of the maps."""
        for number in numbers:
            shard, place = self._places[number]
            yield self._arrays[shard][place]


def make_loader(source: PatchSource, directory: Path, settings: LoaderSettings) -> DataLoader[Any]:
    """Make the loader."""
    del directory
    return shuffled(BatchedPatches(Maps(source), settings.seed), settings)


def make_threaded_loader(source: PatchSource, directory: Path, settings: LoaderSettings) -> DataLoader[Any]:
    """Make the loader that uses all cores in one process."""
    del directory
    return shuffled(ThreadedPatches(Maps(source), settings.seed), settings)


RIVAL = Rival(no_preparation, make_loader, shard_files)
THREADS = Rival(no_preparation, make_threaded_loader, shard_files)
