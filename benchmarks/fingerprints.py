"""Whether a loader serves the source's patches: each exactly once an epoch, bit for bit, in any of the eight ways.

A patch is turned so that the sums of its quadrants come in one certain order, then hashed. So the same patch gives the
same fingerprint in whatever way it is turned or mirrored, and any other change of it gives another one.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from sar_h5.symmetry import SYMMETRIES, apply_symmetry

Floats = npt.NDArray[np.float32]

SIGMAS = 6
"""How far the share of patches that are not turned may lie from an eighth."""


class Fingerprint(NamedTuple):
    """What a patch is, and how it lies.

    Attributes:
        digest: equal for equal patches, however turned.
        orientation: the symmetry that brings the patch into its canonical position; -1 where several do.
    """

    digest: bytes
    orientation: int


def fingerprint(patch: Floats) -> Fingerprint:
    """Take the fingerprint of one patch.

    Args:
        patch: float32 (P, P), P at least 2.
    """
    bits = np.ascontiguousarray(patch).view(np.uint32)
    half = len(bits) // 2
    quadrants = np.array(
        [
            [bits[:half, :half].sum(dtype=np.uint64), bits[:half, -half:].sum(dtype=np.uint64)],
            [bits[-half:, :half].sum(dtype=np.uint64), bits[-half:, -half:].sum(dtype=np.uint64)],
        ]
    )
    orders = [tuple(apply_symmetry(quadrants, number).ravel().tolist()) for number in range(SYMMETRIES)]
    largest = [number for number, order in enumerate(orders) if order == max(orders)]
    digests = {_digest(apply_symmetry(bits, number)): number for number in largest}
    return Fingerprint(min(digests), largest[0] if len(largest) == 1 else -1)


def _digest(bits: npt.NDArray[np.uint32]) -> bytes:
    return hashlib.blake2b(np.ascontiguousarray(bits).data, digest_size=8).digest()


@dataclass(frozen=True)
class EpochCheck:
    """What was wrong with one epoch.

    Attributes:
        problems: one sentence each; empty where all was right.
        order: digests in the order in which the patches came.
    """

    problems: tuple[str, ...]
    order: tuple[bytes, ...]


def check_epoch(batches: Iterable[torch.Tensor], expected: Iterable[Fingerprint], *, turned: bool) -> EpochCheck:
    """Compare one epoch of a loader with the source.

    Args:
        batches: float32 tensors (n, 1, P, P).
        expected: the source's fingerprints.
        turned: whether each sample must have a random symmetry; otherwise none may.

    Returns:
        What was wrong.
    """
    expected = list(expected)
    source = {mark.digest: mark.orientation for mark in expected}
    problems: list[str] = []
    order: list[bytes] = []
    straight = known = 0
    for batch in batches:
        problem = _form_problem(batch)
        if problem:
            return EpochCheck((problem,), tuple(order))
        for patch in batch[:, 0].numpy():
            mark = fingerprint(patch)
            order.append(mark.digest)
            if mark.orientation >= 0 and mark.digest in source:
                known += 1
                straight += mark.orientation == source[mark.digest]
    wanted, served = Counter(mark.digest for mark in expected), Counter(order)
    missing, extra = (wanted - served).total(), (served - wanted).total()
    if missing or extra:
        problems.append(f"{missing} patches of the source are missing, {extra} came that should not have")
    problems += _turn_problems(straight, known, turned=turned)
    return EpochCheck(tuple(problems), tuple(order))


def _form_problem(batch: torch.Tensor) -> str | None:
    right = batch.dtype == torch.float32 and batch.ndim == 4 and batch.shape[1] == 1 and batch.is_contiguous()
    if right:
        return None
    return f"expected contiguous float32 (n, 1, P, P); found {batch.dtype} {tuple(batch.shape)}, {batch.stride()}"


def _turn_problems(straight: int, known: int, *, turned: bool) -> list[str]:
    if not turned:
        return [] if straight == known else [f"{known - straight} of {known} patches are turned; none should be"]
    spread = math.sqrt(known * (SYMMETRIES - 1)) / SYMMETRIES
    if abs(straight - known / SYMMETRIES) <= SIGMAS * spread:
        return []
    return [f"{straight} of {known} patches are not turned; an eighth should be"]
