"""A loader that takes its dataset along from epoch to epoch, and knows how far into one it is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch.utils.data import DataLoader

from sar_h5.patch_dataset import PatchDataset
from sar_h5.patch_sampler import PatchSampler


class EpochLoader(DataLoader[Any]):
    """A ``DataLoader`` of a :class:`PatchDataset` with a :class:`PatchSampler`.

    Each iteration is the epoch of its sampler, for the dataset's augmentation as well. It counts the batches that it
    has handed out, whatever workers have made ahead, so that its sampler's state is that of the training loop.

    Attributes:
        batches_before: batches of the epoch that came before it was resumed. The length of the loader counts them, as
            Lightning's loop does.
    """

    dataset: PatchDataset[Any]
    sampler: PatchSampler
    batches_before = 0
    _batches = 0

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]  # PyTorch says which iterator; any will do
        """Yield the batches of the sampler's epoch, or of what is left of it."""
        self.dataset.set_epoch(self.sampler.epoch)
        self._batches = 0
        for batch in super().__iter__():
            self._batches += 1
            yield batch
        self.batches_before = 0

    def __len__(self) -> int:
        """Return how many batches the epoch has, those before it was resumed included."""
        return self.batches_before + super().__len__()

    def state_dict(self) -> dict[str, object]: ...
