"""The package's own dataset, in torch's DataLoader as the README shows it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader

from benchmarks.data import PatchSource
from benchmarks.rivals.protocol import LoaderSettings, Rival
from sar_h5 import BackgroundLoader, SARH5Dataset, convert


def file_of(source: PatchSource, directory: Path) -> Path:
    """Return the HDF5 file of a source."""
    return directory / f"{source.polarization}.h5"


def prepare(source: PatchSource, directory: Path) -> None:
    """Convert the shards with default settings."""
    convert(source.directory, directory, progress=False)


def prepare_blocks(source: PatchSource, directory: Path) -> None:
    """Convert the shards to layout "blocks", each pixel once."""
    convert(source.directory, directory, layout="blocks", progress=False)


class Epochs:
    """A DataLoader whose dataset is told the number of each epoch."""

    def __init__(self, dataset: SARH5Dataset, loader: DataLoader[Any] | BackgroundLoader) -> None:
        self._dataset, self._loader = dataset, loader
        self._epoch = -1

    def __iter__(self) -> Iterator[torch.Tensor]:
        self._epoch += 1
        self._dataset.set_epoch(self._epoch)
        return iter(self._loader)


def make_loader(source: PatchSource, directory: Path, settings: LoaderSettings) -> Epochs:
    """Make the loader with the default collate."""
    dataset = SARH5Dataset(file_of(source, directory), augment=True, seed=settings.seed)
    loader = DataLoader(
        dataset,
        batch_size=settings.batch_size,
        shuffle=True,
        num_workers=settings.workers,
        persistent_workers=settings.workers > 0,
        generator=torch.Generator().manual_seed(settings.seed),
    )
    return Epochs(dataset, loader)


def make_background_loader(source: PatchSource, directory: Path, settings: LoaderSettings) -> Epochs:
    """Make the same loader without workers, iterated over in a thread."""
    dataset = SARH5Dataset(file_of(source, directory), augment=True, seed=settings.seed)
    generator = torch.Generator().manual_seed(settings.seed)
    loader = DataLoader(dataset, batch_size=settings.batch_size, shuffle=True, generator=generator)
    return Epochs(dataset, BackgroundLoader(loader))


RIVAL = Rival(prepare, make_loader)
BACKGROUND = Rival(prepare, make_background_loader)
BLOCKS = Rival(prepare_blocks, make_loader)
BLOCKS_BACKGROUND = Rival(prepare_blocks, make_background_loader)
