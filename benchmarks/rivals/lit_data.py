"""LitData: chunks of arrays on the local disk."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import litdata
import numpy as np
import torch

from benchmarks.data import PatchSource
from benchmarks.rivals.batching import BatchBuffers, Floats, Turner
from benchmarks.rivals.protocol import LoaderSettings, Rival

_CHUNK_NBYTES = "64MB"


def load_patch(place: tuple[str, int]) -> Floats:
    """Return one patch of a shard."""
    path, number = place
    patch: Floats = np.array(np.load(path, mmap_mode="r")[number])
    return patch


def prepare(source: PatchSource, directory: Path) -> None:
    """Write chunks in one process."""
    places = [(str(shard.path), number) for shard in source.shards for number in range(shard.count)]
    litdata.optimize(
        fn=load_patch, inputs=places, output_dir=str(directory), num_workers=1, chunk_bytes=_CHUNK_NBYTES, verbose=False
    )


class Collate:
    """Writes samples into a batch."""

    def __init__(self, seed: int) -> None:
        self._turner, self._buffers = Turner(seed), BatchBuffers()

    def __call__(self, samples: Sequence[Floats]) -> torch.Tensor:
        """Return (n, 1, 256, 256)."""
        batch = self._buffers.take(len(samples))
        self._turner.fill(batch.numpy()[:, 0], samples)
        return batch


def make_loader(source: PatchSource, directory: Path, settings: LoaderSettings) -> Iterable[Any]:
    """Make the loader with its own shuffling."""
    del source
    # Decoding in batches, the default, decodes each patch many times over when they come in random order.
    dataset = litdata.StreamingDataset(
        str(directory), shuffle=True, drop_last=False, seed=settings.seed, batch_decode=False
    )
    loader: Iterable[Any] = litdata.StreamingDataLoader(
        dataset,
        batch_size=settings.batch_size,
        num_workers=settings.workers,
        persistent_workers=settings.workers > 0,
        collate_fn=Collate(settings.seed),
    )
    return loader


RIVAL = Rival(prepare, make_loader)
