"""Shards opened anew for every sample, as training scripts often do it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from benchmarks.data import PatchSource
from benchmarks.rivals.batching import Turner
from benchmarks.rivals.protocol import LoaderSettings, Rival, no_preparation
from sar_h5.symmetry import apply_symmetry


class ShardSamples(Dataset[torch.Tensor]):
    """One sample at a time; the shard is found by the running counts and mapped for this sample alone."""

    def __init__(self, source: PatchSource, seed: int) -> None:
        self._paths = [shard.path for shard in source.shards]
        self._starts = np.cumsum([0] + [shard.count for shard in source.shards])
        self._turner = Turner(seed)

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __getitem__(self, number: int) -> torch.Tensor:
        shard = int(np.searchsorted(self._starts, number, side="right")) - 1
        patch = np.load(self._paths[shard], mmap_mode="r")[number - self._starts[shard]]
        turned = apply_symmetry(patch, *self._turner.draw(1))
        return torch.from_numpy(turned.copy()).unsqueeze(0)


def make_loader(source: PatchSource, directory: Path, settings: LoaderSettings) -> DataLoader[torch.Tensor]:
    """Make the loader with the default collate."""
    del directory
    return DataLoader(
        ShardSamples(source, settings.seed),
        batch_size=settings.batch_size,
        shuffle=True,
        num_workers=settings.workers,
        persistent_workers=settings.workers > 0,
        generator=torch.Generator().manual_seed(settings.seed),
    )


def shard_files(source: PatchSource, directory: Path) -> list[Path]:
    """List the shards."""
    del directory
    return [shard.path for shard in source.shards]


RIVAL = Rival(no_preparation, make_loader, shard_files)
