"""What to do about patches that cannot be read, and a record of them that worker processes share."""

from __future__ import annotations

import logging
from typing import Literal

import numpy as np
import torch

from sar_h5.errors import CorruptPatchError

Policy = Literal["raise", "skip", "substitute"]
POLICIES: tuple[Policy, ...] = ("raise", "skip", "substitute")

MOST_ATTEMPTS = 16
"""How many patches are tried in place of a bad one; where all of them are bad, the file is."""

_logger = logging.getLogger("sar_h5")


class BadSamples:
    """Counts how often each patch could not be read, over all processes of a run.

    Args:
        policy: "raise", "skip" or "substitute".
        count: how many patches there are.
    """

    def __init__(self, policy: Policy, count: int) -> None:
        self.policy = policy
        self._times = torch.zeros(0 if policy == "raise" else count, dtype=torch.int32)
        if policy != "raise":
            self._times.share_memory_()  # type: ignore[no-untyped-call]  # torch leaves it without types

    def note(self, number: int, error: CorruptPatchError) -> None:
        """Count a patch that could not be read; the first time in the run it is logged as a warning."""
        self._times[number] += 1
        if self._times[number] == 1:
            _logger.warning("%s (%s)", error, "left out" if self.policy == "skip" else "replaced by another patch")

    def counts(self) -> dict[int, int]:
        """Return how often each bad patch was met, by its number."""
        times = self._times.numpy()
        return {number: int(times[number]) for number in np.flatnonzero(times).tolist()}


def draw_substitute(seed: int, number: int, attempt: int, count: int) -> int:
    """Draw a sample to take the place of a bad patch, a pure function of the arguments.

    Args:
        seed: of the training run, any integer.
        number: of the bad patch.
        attempt: 0, 1, ... where earlier ones are bad too.
        count: how many samples there are.

    Returns:
        A position in [0, count).
    """
    words = np.random.SeedSequence([seed % (1 << 64), number, attempt]).generate_state(2)
    return (int(words[0]) << 32 | int(words[1])) % count
