"""How random an order is, in numbers that are 1 for a full shuffle."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sar_h5.errors import SettingError


@dataclass(frozen=True)
class ShuffleMeasure:
    """How random an order is, as its batches show it; each number is about 1 for a full shuffle.

    Attributes:
        neighbour_distance: how far apart in the file samples are that follow each other, over N / 3, the mean of two
            drawn at random. 3 / N for the order of the file.
        groups_per_batch: from how many groups the samples of a batch come, over the mean for batches drawn at random.
        effective_batch: which part of a batch, drawn at random, would represent the groups as well: the expected
            squared deviation of the groups' shares in a batch from those in the dataset, over the one that was found.
            1 / batch size where each batch is of one group.
    """

    neighbour_distance: float
    groups_per_batch: float
    effective_batch: float


def measure_shuffle(order: npt.NDArray[np.int64], groups: npt.NDArray[Any], batch_size: int) -> ShuffleMeasure:
    """Measure how random an order is.

    Args:
        order: int64 (N,), a permutation, such as ``sampler.order(epoch)``.
        groups: integers (N,), the group of each sample, such as ``dataset.index["scene"]``, or parts of the file as
            ``np.arange(N) // 1000``; at least two groups.
        batch_size: samples in a batch. A last one that is smaller does not count.

    Raises:
        SettingError: where there is no batch, or but one group.
    """
    count = len(order)
    _, group_of, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    if len(groups) != count or not 2 <= batch_size < count or len(sizes) < 2:
        raise SettingError(
            "expected an order, the group of each sample, at least 2 groups, and a batch size from 2 to less than the "
            f"number of samples; found {count} samples, {len(groups)} of {len(sizes)} groups, batch_size={batch_size}"
        )
    batches = count // batch_size
    whole = order[: batches * batch_size]
    pairs, times = np.unique(np.arange(len(whole)) // batch_size * len(sizes) + group_of[whole], return_counts=True)
    shares = sizes / count
    drawn = np.arange(batch_size)
    absent = np.prod((count - sizes[:, None] - drawn).clip(0) / (count - drawn), axis=1)  # hypergeometric
    concentration = float((shares**2).sum())
    # The variance of a hypergeometric distribution, of all groups together.
    expected = (1 - concentration) / batch_size * (count - batch_size) / (count - 1)
    within = times / batch_size
    found = float((within**2 - 2 * within * shares[pairs % len(sizes)]).sum()) / batches + concentration
    return ShuffleMeasure(
        neighbour_distance=float(np.abs(np.diff(order)).mean()) / (count / 3),
        groups_per_batch=len(pairs) / batches / float((1 - absent).sum()),
        effective_batch=expected / max(found, np.finfo(float).tiny),
    )
