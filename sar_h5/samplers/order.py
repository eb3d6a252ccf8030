"""In which order an epoch takes the samples: a pure function of the seed, the epoch and how many samples there are.

Every process of a job computes the whole order and takes its part of it, so nothing needs to be sent around; and an
order that was interrupted can be computed again, years later, on any machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from sar_h5.splitmix import fold, random_keys

Order = npt.NDArray[np.int64]


class _Draw(IntEnum):
    """What keys are drawn for, so that two uses in one epoch do not draw alike."""

    SHUFFLE = 1
    BLOCKS = 2
    CHOICE = 3
    TIES = 4


def shuffled_order(count: int, seed: int, epoch: int) -> Order:
    """Return all samples in random order.

    Args:
        count: how many samples there are.
        seed: any integer.
        epoch: number of the epoch.

    Returns:
        int64 (count,), a permutation.
    """
    return np.argsort(_keys(seed, epoch, _Draw.SHUFFLE, count)).astype(np.int64)


def block_shuffled_order(count: int, seed: int, epoch: int, *, block: int, blocks_in_memory: int) -> Order:
    """Return all samples so that at any time they come from few runs of neighbours.

    Runs of ``block`` consecutive samples are put in random order; each ``blocks_in_memory`` of them are a window, and
    the samples of a window are shuffled.

    Args:
        count: how many samples there are.
        seed: any integer.
        epoch: number of the epoch.
        block: samples in a run; the last run may be shorter.
        blocks_in_memory: runs in a window.

    Returns:
        int64 (count,), a permutation.
    """
    sequence = block_sequence(count, seed, epoch, block=block)
    place_of_block = np.empty_like(sequence)
    place_of_block[sequence] = np.arange(len(sequence))
    windows = np.repeat(place_of_block // blocks_in_memory, block)[:count]
    order = shuffled_order(count, seed, epoch)
    return order[np.argsort(windows[order], kind="stable")]


def block_sequence(count: int, seed: int, epoch: int, *, block: int) -> Order:
    """Return in which order :func:`block_shuffled_order` comes to the blocks: int64, a permutation of their numbers."""
    return np.argsort(_keys(seed, epoch, _Draw.BLOCKS, -(-count // block))).astype(np.int64)


def choose_subset(count: int, n: int, seed: int, epoch: int = 0, *, scenes: npt.NDArray[Any] | None = None) -> Order:
    """Choose some of the samples, in ascending order; by scene, each gets its share, to within one sample.

    Args:
        count: how many samples there are.
        n: how many to choose, at most ``count``.
        seed: any integer.
        epoch: number of the epoch, for those who want another choice in each.
        scenes: integers (count,), the scene of each sample, for shares by scene; None to choose from all alike.

    Returns:
        int64 (n,), ascending, each once. What is left over after whole numbers goes to the scenes with the largest
        remainders.
    """
    groups = np.zeros(count, dtype=np.int64) if scenes is None else scenes
    _, group_of, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    shares = _apportion(n, [Fraction(int(size)) for size in sizes], seed, epoch)
    return np.flatnonzero(_draw_by_group(group_of, sizes, shares, seed, epoch))


def weighted_order(scenes: npt.NDArray[Any], weights: Sequence[Fraction], n: int, seed: int, epoch: int) -> Order:
    """Return samples in random order so that each scene gets a given share of them.

    Shares are exact to within one sample, and within a scene each sample comes as often as any other, to within one: a
    scene with a small share shows other samples in another epoch, one with a large share repeats them.

    Args:
        scenes: integers (count,), the scene of each sample.
        weights: of each scene that occurs, in ascending order of scene; not negative, not all 0.
        n: how many samples to return.
        seed: any integer.
        epoch: number of the epoch.

    Returns:
        int64 (n,), sample numbers.
    """
    _, group_of, sizes = np.unique(scenes, return_inverse=True, return_counts=True)
    shares = _apportion(n, weights, seed, epoch)
    drawn = np.repeat(np.arange(len(scenes)), _draw_by_group(group_of, sizes, shares, seed, epoch))
    return drawn[shuffled_order(n, seed, epoch)]


def _apportion(n: int, weights: Sequence[Fraction], seed: int, epoch: int) -> Order:
    """Share n out by largest remainder, in exact arithmetic; a draw decides between equal remainders."""
    total = sum(weights)
    exact = [n * weight / total for weight in weights] if total else []
    shares = np.array([int(share) for share in exact], dtype=np.int64)
    ties = _keys(seed, epoch, _Draw.TIES, len(exact)).tolist()
    by_remainder = sorted(range(len(exact)), key=lambda group: (int(exact[group]) - exact[group], ties[group]))
    shares[by_remainder[: n - int(shares.sum())]] += 1
    return shares


def _draw_by_group(group_of: Order, sizes: Order, shares: Order, seed: int, epoch: int) -> Order:
    """Return how often each sample is drawn, so that each group gets its share, spread evenly within the group."""
    order = np.argsort(_keys(seed, epoch, _Draw.CHOICE, len(group_of)))
    order = order[np.argsort(group_of[order], kind="stable")]  # by group, at random within each
    starts = np.cumsum(sizes) - sizes
    place_in_group = np.arange(len(order)) - np.repeat(starts, sizes)
    every, extra = np.divmod(shares, sizes)
    times = np.empty(len(order), dtype=np.int64)
    times[order] = np.repeat(every, sizes) + (place_in_group < np.repeat(extra, sizes))
    return times


def _keys(seed: int, epoch: int, draw: _Draw, count: int) -> npt.NDArray[np.uint64]:
    return random_keys(fold(seed, epoch, draw), count)
