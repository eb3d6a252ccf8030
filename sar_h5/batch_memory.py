"""Memory for batches, used again as soon as nobody holds the batch that was in it.

Fresh memory costs more than filling it: the operating system clears each page of it first. So a batch's memory comes
back when the last tensor that shares it is gone, however many views a training step made of it, and not before.
"""

from __future__ import annotations

import weakref
from collections import deque
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

MOST_SPARE = 8
"""How many buffers without a batch are kept: what a training loop with its prefetched batches gives back at once."""

Buffer = npt.NDArray[np.uint8]


class BatchMemory:
    """A pool of buffers in this process's own memory. Safe in threads.

    Attributes:
        pinned: whether new buffers are page-locked, for copies to an accelerator that need not wait.
    """

    def __init__(self) -> None:
        self.pinned = False
        self._spare: deque[Buffer] = deque(maxlen=MOST_SPARE)

    def batch(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> torch.Tensor:
        """Return a tensor without content, whose memory is not given to anyone else as long as a tensor shares it.

        Args:
            shape: of the batch.
            dtype: of its elements.
        """
        nbytes = int(np.prod(shape)) * dtype.itemsize
        buffer = self._take(nbytes)
        content = buffer[:nbytes].view(dtype).reshape(shape)
        # The tensor's storage holds on to this array object, and so does every view of the tensor.
        weakref.finalize(content, self._spare.append, buffer).atexit = False
        return torch.from_numpy(content)

    def small(self, values: npt.NDArray[Any]) -> torch.Tensor:
        """Return a small array, which goes with a batch, as a tensor."""
        return torch.from_numpy(values)

    def _take(self, nbytes: int) -> Buffer:
        while True:
            try:
                buffer = self._spare.pop()
            except IndexError:
                return self._allocate(nbytes)
            if len(buffer) >= nbytes:
                return buffer  # smaller ones, from before the batch size changed, are let go

    def _allocate(self, nbytes: int) -> Buffer:
        if not self.pinned:
            return np.empty(nbytes, dtype=np.uint8)
        return torch.empty(nbytes, dtype=torch.uint8, pin_memory=True).numpy()
