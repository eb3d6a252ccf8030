"""Mosaic's streaming: MDS shards on the local disk, uncompressed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader

from benchmarks.data import PATCH_SIZE, PatchSource
from benchmarks.rivals.batching import BatchBuffers, Turner
from benchmarks.rivals.protocol import LoaderSettings, Rival
from benchmarks.rivals.vision_stand_in import stand_in_if_needed

stand_in_if_needed()  # before streaming, which imports torchvision

from streaming import MDSWriter, StreamingDataset  # noqa: E402
from streaming.base.util import clean_stale_shared_memory  # noqa: E402

COLUMN = "patch"


def prepare(source: PatchSource, directory: Path) -> None:
    """Write MDS shards of fixed-size arrays."""
    columns = {COLUMN: f"ndarray:float32:{PATCH_SIZE},{PATCH_SIZE}"}
    with MDSWriter(out=str(directory), columns=columns, compression=None, hashes=None) as writer:
        for patch in source.patches():
            writer.write({COLUMN: patch})


class Collate:
    """Writes samples into a batch."""

    def __init__(self, seed: int) -> None:
        self._turner, self._buffers = Turner(seed), BatchBuffers()

    def __call__(self, samples: Sequence[dict[str, Any]]) -> torch.Tensor:
        """Return (n, 1, 256, 256)."""
        batch = self._buffers.take(len(samples))
        self._turner.fill(batch.numpy()[:, 0], (sample[COLUMN] for sample in samples))
        return batch


def make_loader(source: PatchSource, directory: Path, settings: LoaderSettings) -> DataLoader[Any]:
    """Make the loader with its own shuffling."""
    del source
    clean_stale_shared_memory()
    dataset = StreamingDataset(
        local=str(directory), shuffle=True, shuffle_seed=settings.seed, batch_size=settings.batch_size
    )
    return DataLoader(
        dataset,
        batch_size=settings.batch_size,
        num_workers=settings.workers,
        persistent_workers=settings.workers > 0,
        collate_fn=Collate(settings.seed),
    )


RIVAL = Rival(prepare, make_loader)
