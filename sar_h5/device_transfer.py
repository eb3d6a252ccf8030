"""Batches to a device on a stream of their own, so that copies run beside the model's work."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

import torch


def map_tensors(function: Callable[[torch.Tensor], torch.Tensor], batch: Any) -> Any:
    """Apply a function to every tensor of a batch: a tensor, or dicts, lists and tuples of them at any depth."""
    if isinstance(batch, torch.Tensor):
        return function(batch)
    if isinstance(batch, Mapping):
        return {name: map_tensors(function, value) for name, value in batch.items()}
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):
        return type(batch)(*(map_tensors(function, value) for value in batch))
    if isinstance(batch, (list, tuple)):
        return type(batch)(map_tensors(function, value) for value in batch)
    return batch


class DeviceTransfer:
    """Copies batches to one device. Made and used in one thread; what it returns is taken over in another.

    Args:
        device: where to, with its index.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._backend: Any = torch.get_device_module(device)
        self._backend.set_device(device)  # of this thread
        self._stream = self._backend.Stream()
        self._in_flight: deque[tuple[Any, Any]] = deque()

    def send(self, batch: Any) -> tuple[Any, Any]:
        """Begin to copy a batch.

        Returns:
            The batch on the device, and the event after which it is there, for :func:`receive`.
        """
        while self._in_flight and self._in_flight[0][0].query():
            self._in_flight.popleft()
        with self._backend.stream(self._stream):
            moved = map_tensors(lambda tensor: tensor.to(self._device, non_blocking=True), batch)
            event = self._backend.Event()
            event.record(self._stream)
        # The source must stay as it is until it has been read.
        self._in_flight.append((event, batch))
        return moved, event

    def finish(self) -> None:
        """Wait until all copies are done."""
        while self._in_flight:
            self._in_flight.popleft()[0].synchronize()


def receive(batch: Any, event: Any, device: torch.device) -> Any:
    """Let the current stream of ``device`` wait for a batch that was sent, and return the batch."""
    stream = torch.get_device_module(device).current_stream()
    stream.wait_event(event)
    if device.type != "cpu":  # where there are no streams, and no memory that belongs to one
        map_tensors(lambda tensor: _record(tensor, stream), batch)
    return batch


def _record(tensor: torch.Tensor, stream: Any) -> torch.Tensor:
    tensor.record_stream(stream)  # its memory was taken on the other stream and must not go back there too early
    return tensor
