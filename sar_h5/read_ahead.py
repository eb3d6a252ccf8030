"""Slow disks: all chunks of a batch announced to the operating system at once, so that it fetches them side by side."""

from __future__ import annotations

import contextlib
import os

import numpy as np
import numpy.typing as npt

from sar_h5.block_chunks import BlockChunks
from sar_h5.chunks import DirectChunks

_SLOW_SECONDS = 20e-6
_SLOW_SECONDS_PER_PIXEL = 3e-9
"""Reading from memory and decoding takes 0.5 to 2 ns a pixel (lz4 to zstd); what takes longer than this comes from a
disk."""


class ReadAhead:
    """Announces chunks while reads are slow, and leaves it where they come from memory: it would only cost time.

    Args:
        chunks: where patches are read from.
    """

    def __init__(self, chunks: DirectChunks | BlockChunks) -> None:
        self._chunks = chunks
        self._usual_s = _SLOW_SECONDS + _SLOW_SECONDS_PER_PIXEL * float(np.prod(chunks.shape))
        self.is_slow = False

    def announce(self, numbers: npt.NDArray[np.int64]) -> None:
        """Tell the operating system which patches are about to be read, where the last ones came slowly.

        Args:
            numbers: int64 (n,), patches.
        """
        if not self.is_slow or not hasattr(os, "posix_fadvise"):
            return
        offsets, sizes = self._chunks.extents(numbers)
        with contextlib.suppress(OSError):  # places that cannot be: the read itself says so
            for offset, size in zip(offsets.tolist(), sizes.tolist(), strict=True):
                os.posix_fadvise(self._chunks.descriptor, offset, size, os.POSIX_FADV_WILLNEED)

    def note(self, seconds: float, patches: int) -> None:
        """Note how long patches took.

        Args:
            seconds: thread time, from asking to having.
            patches: how many.
        """
        self.is_slow = seconds > patches * self._usual_s
