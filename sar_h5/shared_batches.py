"""Batches from worker processes to the training process without a copy, in shared memory that is used again.

A worker fills a batch in a segment of shared memory and sends its place. The training process maps each segment once
and sees the batch as an ordinary tensor. Two flags at the start of the segment tell who still holds the batch; when
neither does, the worker fills the segment again. PyTorch's own way makes, sends, maps and clears a new segment for
every batch, which costs more than decoding it.
"""

from __future__ import annotations

import multiprocessing
import os
import secrets
import weakref
from dataclasses import dataclass
from multiprocessing.reduction import ForkingPickler
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.multiprocessing.reductions import reduce_tensor

from sar_h5.tagged_tensor import TaggedTensor

_HEADER_NBYTES = 4096
"""Room for the flags: a page, so that batches begin on page boundaries."""
_WORKER_HOLDS, _TRAINER_HOLDS = 0, 1  # places of the flags

_Owner = tuple[int, int]
"""A worker for good: process ids come back, so a random number goes with them."""


@dataclass
class _Segment:
    """A piece of shared memory in the process that made it.

    Attributes:
        owner: that process.
        number: of the segment among the owner's.
        memory: uint8, in shared memory.
        known: whether the training process has been sent the memory itself, so that its number will do.
    """

    owner: _Owner
    number: int
    memory: torch.Tensor
    known: bool = False

    @property
    def flags(self) -> npt.NDArray[np.uint8]:
        """The flags, each 0 or 1."""
        return _flags(self.memory)

    def is_free(self) -> bool:
        """Whether nobody holds the batch in it."""
        return not self.flags[: _TRAINER_HOLDS + 1].any()

    def holds(self, batch: torch.Tensor) -> bool:
        """Whether a batch still lies in it, as it was made; PyTorch moves what is sent in its own way elsewhere."""
        return batch.data_ptr() == self.memory.data_ptr() + _HEADER_NBYTES and batch.is_contiguous()


def _flags(memory: torch.Tensor) -> npt.NDArray[np.uint8]:
    flags: npt.NDArray[np.uint8] = memory.numpy()[:_HEADER_NBYTES]
    return flags


def _hold(memory: torch.Tensor, flag: int, shape: tuple[int, ...], dtype: str) -> torch.Tensor:
    """Return the batch in a segment; ``flag`` is set until the last tensor that shares it is gone."""
    nbytes = int(np.prod(shape)) * np.dtype(dtype).itemsize
    content = memory.numpy()[_HEADER_NBYTES : _HEADER_NBYTES + nbytes].view(dtype).reshape(shape)
    flags = _flags(memory)
    flags[flag] = 1
    weakref.finalize(content, _let_go, flags, flag, os.getpid()).atexit = False
    return torch.from_numpy(content)


def _let_go(flags: npt.NDArray[np.uint8], flag: int, process: int) -> None:
    if os.getpid() == process:  # a fork has a copy of the tensor, which says nothing about the original
        flags[flag] = 0


class SharedBatch(TaggedTensor):
    """A batch in a segment, sent to the training process as its place."""

    segment: _Segment


class SmallTensor(TaggedTensor):
    """A few numbers that go with a batch: sent by value, which costs less than a segment of their own."""


class SharedBatchMemory:
    """The segments of one worker process."""

    def __init__(self) -> None:
        self._owner = (os.getpid(), secrets.randbits(63))
        self._segments: list[_Segment] = []
        self._made = 0

    def batch(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> SharedBatch:
        """Return a tensor without content in shared memory; as :meth:`sar_h5.batch_memory.BatchMemory.batch`."""
        segment = self._take(int(np.prod(shape)) * dtype.itemsize)
        batch = _hold(segment.memory, _WORKER_HOLDS, shape, dtype.str).as_subclass(SharedBatch)
        batch.segment = segment
        return batch

    def small(self, values: npt.NDArray[Any]) -> SmallTensor:
        """Return a small array, which goes with a batch, as a tensor."""
        return torch.from_numpy(values).as_subclass(SmallTensor)

    def _take(self, nbytes: int) -> _Segment:
        wanted = nbytes + _HEADER_NBYTES
        free = [segment for segment in self._segments if segment.is_free()]
        for segment in free:
            if len(segment.memory) >= wanted:
                return segment
            self._segments.remove(segment)  # too small since the batch size has grown
        memory = torch.zeros(wanted, dtype=torch.uint8).share_memory_()  # type: ignore[no-untyped-call]
        segment = _Segment(self._owner, self._made, memory)
        self._segments.append(segment)
        self._made += 1
        return segment


def _reduce(batch: SharedBatch) -> Any:
    """Send a batch as its place, and with it the memory itself the first time."""
    segment = batch.segment
    sent_before = segment.owner[0] != os.getpid() or segment.flags[_TRAINER_HOLDS]
    if sent_before or not segment.holds(batch) or batch.requires_grad:
        return reduce_tensor(batch.plain())  # type: ignore[no-untyped-call]  # by PyTorch's own way
    segment.flags[_TRAINER_HOLDS] = 1
    memory = None if segment.known else segment.memory
    segment.known = True
    dtype = batch.numpy().dtype.str
    return _receive, (segment.owner, segment.number, memory, tuple(batch.shape), dtype)


_received: dict[_Owner, dict[int, torch.Tensor]] = {}
"""In the training process: the segments of each worker, as long as its process object lives (the DataLoader's
iterator keeps it)."""


def _receive(
    owner: _Owner, number: int, memory: torch.Tensor | None, shape: tuple[int, ...], dtype: str
) -> torch.Tensor:
    if owner not in _received:
        _received[owner] = {}
        for process in multiprocessing.active_children():
            if process.pid == owner[0]:
                weakref.finalize(process, _received.pop, owner, None).atexit = False
    segments = _received[owner]
    if memory is not None:
        segments[number] = memory
    return _hold(segments[number], _TRAINER_HOLDS, shape, dtype)


def _reduce_small(values: SmallTensor) -> Any:
    if values.requires_grad:
        return reduce_tensor(values.plain())  # type: ignore[no-untyped-call]  # torch leaves it without types
    return torch.from_numpy, (values.numpy(),)


ForkingPickler.register(SharedBatch, _reduce)
ForkingPickler.register(SmallTensor, _reduce_small)
