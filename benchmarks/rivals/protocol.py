"""What every row provides: its files made from the patches, and a loader that serves them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch

from benchmarks.data import PatchSource


@dataclass(frozen=True)
class LoaderSettings:
    """How patches are to be served.

    Attributes:
        workers: worker processes or threads; 0 for none.
        batch_size: patches in a batch.
        seed: of order and symmetries.
    """

    workers: int = 0
    batch_size: int = 64
    seed: int = 0


class Loader(Protocol):
    """Batches, anew for each epoch."""

    def __iter__(self) -> Iterator[Any]:
        """Start an epoch: every patch once, in another order and with other symmetries than before."""


def same(batch: Any) -> torch.Tensor:
    """Take a batch as the tensor that it is."""
    tensor: torch.Tensor = batch
    return tensor


def files_below(source: PatchSource, directory: Path) -> list[Path]:
    """List all files of a row's own directory."""
    del source
    return sorted(path for path in directory.rglob("*") if path.is_file())


def no_preparation(source: PatchSource, directory: Path) -> None:
    """Prepare nothing: the row reads the source's own files."""


@dataclass(frozen=True)
class Rival:
    """One way to store and serve patches.

    Attributes:
        prepare: writes the row's files into an empty directory of its own.
        make_loader: makes the loader: float32 (batch_size, 1, 256, 256), contiguous, shuffled, each sample with a
            random symmetry of the square.
        files: what the loader reads, for its size, and to warm or drop.
        to_values: what a batch holds, as float32 (n, 1, 256, 256); for the check only.
        turned: whether samples get symmetries; the limit rows go without.
    """

    prepare: Callable[[PatchSource, Path], None]
    make_loader: Callable[[PatchSource, Path, LoaderSettings], Iterable[Any]]
    files: Callable[[PatchSource, Path], list[Path]] = files_below
    to_values: Callable[[Any], torch.Tensor] = same
    turned: bool = True
