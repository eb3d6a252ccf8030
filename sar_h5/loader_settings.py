"""How loaders are set up for each use of the data, and why."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch.utils.data import DataLoader, Sampler

from sar_h5.cores import usable_cores
from sar_h5.errors import SettingError
from sar_h5.patch_dataset import PatchDataset
from sar_h5.samplers.patch_sampler import whole_number

Loader = TypeVar("Loader", bound=DataLoader[Any])

MOST_WORKERS = 4
"""Default workers at most: four decode about 100,000 patches/s, more than a model takes."""


@dataclass(frozen=True)
class LoaderSettings:
    """Settings of a ``DataLoader``, those left open filled in for this machine.

    Attributes:
        batch_size: samples in a training batch, of each rank.
        eval_batch_size: samples in other batches; None for twice as many, since no gradients are kept there.
        num_workers: worker processes. None for none on Windows, where starting them is slow and threads decode as fast;
            elsewhere one less than the cores that this rank may use, 4 at most.
        pin_memory: whether batches are copied to page-locked memory, from where the accelerator fetches them without
            waiting. None for yes where there is an accelerator.
        prefetch_factor: batches that each worker makes ahead.

    Raises:
        SettingError: where a number is too small, or none.
    """

    batch_size: int = 64
    eval_batch_size: int | None = None
    num_workers: int | None = None
    pin_memory: bool | None = None
    prefetch_factor: int = 2

    def __post_init__(self) -> None:
        least = {"batch_size": 1, "eval_batch_size": 1, "num_workers": 0, "prefetch_factor": 1}
        for name, bound in least.items():
            value = getattr(self, name)
            if value is None and name in ("eval_batch_size", "num_workers"):
                continue
            if whole_number(name, value) < bound:
                raise SettingError(f"expected {name} of at least {bound}; found {value}")

    def workers(self) -> int:
        """Return the number of worker processes."""
        if self.num_workers is not None:
            return self.num_workers
        return 0 if sys.platform == "win32" else min(MOST_WORKERS, usable_cores() - 1)

    def pins(self) -> bool:
        """Return whether batches go to page-locked memory."""
        return torch.accelerator.is_available() if self.pin_memory is None else self.pin_memory


def make_loader(
    kind: type[Loader],
    dataset: PatchDataset[Any],
    settings: LoaderSettings,
    *,
    training: bool,
    sampler: Sampler[int] | None = None,
) -> Loader:
    """Make a loader.

    A training loader drops the last batch if it is smaller than the others: its gradient would weigh as much as theirs,
    and layers that normalize over the batch suffer from very small ones. Others keep every sample. Workers stay for the
    whole run: starting them for each epoch takes longer than many an epoch of validation.

    Args:
        kind: class of the loader.
        dataset: the samples.
        settings: of the loader.
        training: whether it is for training.
        sampler: of the samples; None for all, in order.
    """
    workers = settings.workers()
    return kind(
        dataset,
        batch_size=settings.batch_size if training else settings.eval_batch_size or 2 * settings.batch_size,
        sampler=sampler,
        num_workers=workers,
        pin_memory=settings.pins(),
        drop_last=training,
        persistent_workers=workers > 0,
        prefetch_factor=settings.prefetch_factor if workers else None,
    )
