"""A loader that takes its dataset along from epoch to epoch, and knows how far into one it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from torch.utils.data import DataLoader

from sar_h5.errors import SettingError
from sar_h5.patch_dataset import PatchDataset
from sar_h5.samplers.patch_sampler import PatchSampler


class EpochLoader(DataLoader[Any]):
    """A ``DataLoader`` of a :class:`PatchDataset` with a :class:`PatchSampler`, which drops the last batch.

    Each iteration is the epoch of its sampler, for the dataset's augmentation as well. It counts the batches that it
    has handed out, whatever workers have made ahead, so that the position it tells is that of the training loop.

    Its length is that of a whole epoch, also where it is to be resumed. Nor are its methods called ``state_dict`` and
    ``load_state_dict``: Lightning takes the length that it gets first for that of every epoch, and would load the state
    after that.
    """

    dataset: PatchDataset[Any]
    sampler: PatchSampler
    _batches = 0

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]  # PyTorch says which iterator; any will do
        """Yield the batches of the sampler's epoch, or of what is left of it."""
        self.dataset.set_epoch(self.sampler.epoch)
        self._batches = 0
        for batch in super().__iter__():
            self._batches += 1
            yield batch

    def __len__(self) -> int:
        """Return how many batches a whole epoch has."""
        return self.sampler.samples_per_rank() // self._batch_samples

    @property
    def batches_before(self) -> int:
        """How many batches of a whole epoch come before those that the iteration under way, or the next one, yields."""
        return len(self) - len(self.sampler) // self._batch_samples

    def position(self, unfinished: int = 0) -> dict[str, object]:
        """Return where the epoch is: the sampler's state, plain data.

        Args:
            unfinished: how many of the batches handed out training has not made its step with.
        """
        iteration, batches = self.sampler.iteration, self._batches - unfinished
        if iteration is None or batches <= 0:
            return self.sampler.state_dict(0)
        consumed = batches * self._batch_samples
        if len(iteration) - consumed < self._batch_samples:
            consumed = len(iteration)  # what is dropped is no part of the epoch
        return self.sampler.state_dict(consumed)

    def resume(self, position: Mapping[str, object]) -> None:
        """Go on, with the next iteration, where a position was taken; on any number of ranks.

        Raises:
            SettingError: where it is no position, or that of another dataset, sampler or seed.
        """
        self.sampler.load_state_dict(position)
        self._batches = 0

    @property
    def _batch_samples(self) -> int:
        if self.batch_size is None or not self.drop_last:
            raise SettingError("an EpochLoader needs batch_size, and drop_last=True, to count samples by batches")
        return self.batch_size
