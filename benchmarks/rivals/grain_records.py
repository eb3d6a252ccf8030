"""Grain on ArrayRecord files: its own random access, shuffling, threads and worker processes."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import grain
import numpy as np
import torch
from array_record.python.array_record_module import ArrayRecordWriter

from benchmarks.data import PATCH_SIZE, PatchSource
from benchmarks.rivals.batching import Floats, copy_turned
from benchmarks.rivals.protocol import LoaderSettings, Rival
from sar_h5.symmetry import SYMMETRIES

FILE = "patches.array_record"
Turned = tuple[bytes, int]


def prepare(source: PatchSource, directory: Path) -> None:
    """Write one record per patch and group, uncompressed, as random access wants it."""
    writer = ArrayRecordWriter(str(directory / FILE), "group_size:1,uncompressed")
    for patch in source.patches():
        writer.write(patch.tobytes())
    writer.close()


def draw_turn(record: bytes, generator: np.random.Generator) -> Turned:
    """Draw a symmetry for a record, from the generator that grain gives each sample."""
    return record, int(generator.integers(SYMMETRIES))


def collate(samples: Sequence[Turned]) -> Floats:
    """Write samples into a batch (n, 1, 256, 256)."""
    batch = np.empty((len(samples), 1, PATCH_SIZE, PATCH_SIZE), dtype=np.float32)
    for place, (record, symmetry) in zip(batch[:, 0], samples, strict=True):
        copy_turned(place, np.frombuffer(record, dtype=np.float32).reshape(PATCH_SIZE, PATCH_SIZE), symmetry)
    return batch


class Epochs:
    """Epochs out of one endless iterator, so that worker processes stay."""

    def __init__(self, dataset: Any, batches: int) -> None:
        self._iterator, self._batches = iter(dataset), batches

    def __iter__(self) -> Iterator[torch.Tensor]:
        return map(torch.from_numpy, itertools.islice(self._iterator, self._batches))


def make_loader(source: PatchSource, directory: Path, settings: LoaderSettings) -> Epochs:
    """Make the loader."""
    records = grain.sources.ArrayRecordDataSource([str(directory / FILE)])
    dataset = (
        grain.MapDataset.source(records)
        .seed(settings.seed)
        .shuffle()
        .random_map(draw_turn)
        .batch(settings.batch_size, batch_fn=collate)
        .repeat()
        # Batches are the elements here, so few threads and a short buffer do.
        .to_iter_dataset(grain.ReadOptions(num_threads=2, prefetch_buffer_size=4))
    )
    if settings.workers:
        dataset = dataset.mp_prefetch(grain.MultiprocessingOptions(num_workers=settings.workers))
    return Epochs(dataset, -(-source.count // settings.batch_size))


RIVAL = Rival(prepare, make_loader)
