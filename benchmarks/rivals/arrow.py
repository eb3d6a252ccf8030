"""Hugging Face datasets: the memory-mapped Arrow table, whose columns NumPy sees without a copy."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from datasets import Dataset, Features, List, Value
from datasets.arrow_writer import ArrowWriter
from torch.utils.data import DataLoader

from benchmarks.data import PATCH_SIZE, Floats, PatchSource
from benchmarks.rivals.batching import BatchedPatches, shuffled
from benchmarks.rivals.protocol import LoaderSettings, Rival

FILE, COLUMN = "patches.arrow", "patch"
_PIXELS = PATCH_SIZE * PATCH_SIZE
_WRITTEN_AT_ONCE = 64


def prepare(source: PatchSource, directory: Path) -> None:
    """Write patches as lists of fixed length."""
    features = Features({COLUMN: List(Value("float32"), length=_PIXELS)})
    with ArrowWriter(path=str(directory / FILE), features=features) as writer:
        for shard in source.maps():
            for first in range(0, len(shard), _WRITTEN_AT_ONCE):
                pixels = pa.array(shard[first : first + _WRITTEN_AT_ONCE].ravel())
                writer.write_table(pa.table({COLUMN: pa.FixedSizeListArray.from_arrays(pixels, _PIXELS)}))
        writer.finalize()


class ArrowPatches:
    """The table's chunks as one sequence of patches; forked workers share the map."""

    def __init__(self, path: Path) -> None:
        column = Dataset.from_file(str(path)).data.column(COLUMN)
        # ``with_format("numpy")`` copies a batch before it hands it out.
        self._arrays: list[Floats] = [
            chunk.flatten().to_numpy(zero_copy_only=True).reshape(-1, PATCH_SIZE, PATCH_SIZE) for chunk in column.chunks
        ]
        self._places = [(chunk, place) for chunk, array in enumerate(self._arrays) for place in range(len(array))]

    def __len__(self) -> int:
        return len(self._places)

    def views(self, numbers: Sequence[int]) -> Iterable[Floats]:
        """Return patches as views of the map."""
        for number in numbers:
            chunk, place = self._places[number]
            yield self._arrays[chunk][place]


def make_loader(source: PatchSource, directory: Path, settings: LoaderSettings) -> DataLoader[Any]:
    """Make the loader."""
    del source
    return shuffled(BatchedPatches(ArrowPatches(directory / FILE), settings.seed), settings)


RIVAL = Rival(prepare, make_loader)
