"""``BackgroundLoader``: the next batches are made while the model works on this one, without worker processes."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from queue import Empty, Queue
from typing import Any

import torch
from torch.utils.data import BatchSampler, DataLoader

from sar_h5.device_transfer import DeviceTransfer, receive
from sar_h5.errors import SettingError
from sar_h5.patch_dataset import PatchDataset
from sar_h5.samplers.patch_sampler import PatchIteration, PatchSampler


class _Ready:
    """A batch, and what to wait for on its device; taken out once, so that only the consumer holds it then."""

    def __init__(self, batch: Any, event: Any = None) -> None:
        self._content = [(batch, event)]

    def take(self) -> tuple[Any, Any]:
        return self._content.pop()


@dataclass(frozen=True)
class _End:
    """The end of an epoch, and what went wrong, if anything."""

    error: BaseException | None = None


class BackgroundLoader:
    """Iterates over a ``DataLoader`` in a thread that stays some batches ahead.

    With ``num_workers=0`` the batches of :class:`SARH5Dataset` are decoded by threads that hold no GIL, so this is as
    fast as worker processes, starts at once, and works alike in notebooks and on Windows. With a device, batches are
    copied there on a stream of their own while the model works, from page-locked memory where the device is an
    accelerator.

    Order, batch size and sampling are the loader's; random numbers are drawn as without the thread, before the first
    batch. With a sampler of this package it keeps a state, which counts the batches that the loop got, not those that
    are ahead.

    Args:
        loader: any ``DataLoader``.
        device: where batches go, such as "cuda"; None to leave them where they are.
        batches: how many to be ahead; memory for about two more is in use.

    Raises:
        SettingError: where ``batches`` is less than 1.
    """

    def __init__(self, loader: DataLoader[Any], *, device: torch.device | str | None = None, batches: int = 2) -> None:
        if batches < 1:
            raise SettingError(f"expected at least 1 batch ahead; found batches={batches}")
        self.loader = loader
        self._device = None if device is None else _with_index(torch.device(device))
        self._batches = batches
        if self._device is not None and self._device.type != "cpu" and isinstance(loader.dataset, PatchDataset):
            loader.dataset.pin_batches = True
        self._yielded: tuple[PatchIteration | None, int] = (None, 0)

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[Any]:
        """Yield the batches of one epoch.

        Raises:
            Exception: what the loader raises, in place of the batch that it concerns.
        """
        source = iter(self.loader)
        try:
            # Here, so that the sampler draws its random numbers in this thread.
            first = next(source)
        except StopIteration:
            return
        iteration = self._sampler.iteration if isinstance(self._sampler, PatchSampler) else None
        count = 0
        self._yielded = iteration, count
        ready: Queue[_Ready | _End] = Queue(self._batches)
        stopped = threading.Event()
        thread = threading.Thread(
            target=self._work, args=(source, _Ready(first), ready, stopped), name="sar-h5-background", daemon=True
        )
        del first
        thread.start()
        try:
            while isinstance(item := ready.get(), _Ready):
                count += 1
                self._yielded = iteration, count
                yield self._take_over(*item.take())
            if item.error is not None:
                raise item.error
        finally:
            stopped.set()
            while thread.is_alive():
                _empty(ready)  # it may be waiting for room
                thread.join(timeout=0.01)

    def state_dict(self) -> dict[str, object]:
        """Return where the epoch is, as :meth:`PatchSampler.state_dict` does: behind the last batch that was yielded.

        Raises:
            SettingError: where the loader's sampler is none of this package.
        """
        sampler = self._stateful_sampler()
        iteration, batches = self._yielded
        if iteration is None or sampler.iteration is not iteration:
            return sampler.state_dict()  # no batch has been yielded since then
        size, drop_last = self._batch_size()
        consumed = min(batches * size, len(iteration))
        # What is left of an epoch where the loader drops it is no part of the epoch.
        return sampler.state_dict(len(iteration) if drop_last and len(iteration) - consumed < size else consumed)

    def load_state_dict(self, state: Mapping[str, object]) -> None:
        """Go on where a state was taken, with the next iteration; see :meth:`PatchSampler.load_state_dict`.

        Raises:
            SettingError: where the loader's sampler is none of this package, or the state is not one of it.
        """
        self._stateful_sampler().load_state_dict(state)

    @property
    def _sampler(self) -> object:
        batches = self.loader.batch_sampler
        if batches is None:
            return self.loader.sampler
        return batches.sampler if isinstance(batches, BatchSampler) else batches

    def _stateful_sampler(self) -> PatchSampler:
        if not isinstance(self._sampler, PatchSampler):
            raise SettingError(
                f"a state needs a sampler that keeps one; found {type(self._sampler).__name__}: give the DataLoader "
                "sampler=DistributedPatchSampler(dataset), which shuffles, or another of this package"
            )
        return self._sampler

    def _batch_size(self) -> tuple[int, bool]:
        batches = self.loader.batch_sampler
        return (batches.batch_size, batches.drop_last) if isinstance(batches, BatchSampler) else (1, False)

    def _work(
        self, source: Iterator[Any], first: _Ready, ready: Queue[_Ready | _End], stopped: threading.Event
    ) -> None:
        transfer = None
        batch, _ = first.take()  # the thread keeps its arguments to its end
        try:
            if self._device is not None:
                transfer = DeviceTransfer(self._device)
            while not stopped.is_set():
                ready.put(_Ready(batch) if transfer is None else _Ready(*transfer.send(batch)))
                del batch
                batch = next(source)
        except StopIteration:
            ready.put(_End())
        except BaseException as error:  # noqa: BLE001 - raised again by the one who waits for the batch
            ready.put(_End(error))
        finally:
            if transfer is not None:
                transfer.finish()

    def _take_over(self, batch: Any, event: Any) -> Any:
        return batch if self._device is None else receive(batch, event, self._device)


def _with_index(device: torch.device) -> torch.device:
    if device.type == "cpu" or device.index is not None:
        return device
    return torch.device(device.type, torch.get_device_module(device).current_device())


def _empty(ready: Queue[_Ready | _End]) -> None:
    while True:
        try:
            ready.get_nowait()
        except Empty:
            return
