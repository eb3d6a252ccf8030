"""Batches made in one go from stored patches that NumPy can see: one copy of each patch, straight into the batch."""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import DataLoader, Dataset, get_worker_info

from benchmarks.data import PATCH_SIZE
from benchmarks.rivals.protocol import LoaderSettings
from sar_h5.symmetry import SYMMETRIES, apply_symmetry

Floats = npt.NDArray[np.float32]

_STRIP_PX = 64
"""Columns that a transposing copy writes at a time: fastest of 8 to 256 in trials, 72 instead of 110 microseconds."""


class PatchStore(Protocol):
    """Stored patches, for a dataset in any process."""

    def __len__(self) -> int:
        """Return the number of patches."""

    def views(self, numbers: Sequence[int]) -> Iterable[Floats]:
        """Return patches (256, 256) in this order; each needs to last only until the next is asked for."""


class Turner:
    """Random symmetries, with a generator of its own in each process."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._generators: dict[int, np.random.Generator] = {}

    def draw(self, count: int) -> list[int]:
        """Draw that many symmetries."""
        process = os.getpid()
        if process not in self._generators:
            # torch gives every worker another initial seed.
            self._generators = {process: np.random.default_rng((self._seed, torch.initial_seed()))}
        numbers: list[int] = self._generators[process].integers(SYMMETRIES, size=count).tolist()
        return numbers

    def fill(self, batch: Floats, patches: Iterable[Floats]) -> None:
        """Copy patches into a batch (n, 256, 256), each with a random symmetry."""
        _fill(batch, patches, self.draw(len(batch)))


def copy_turned(place: Floats, patch: Floats, symmetry: int) -> None:
    """Copy a patch with a symmetry into its place."""
    turned = apply_symmetry(patch, symmetry)
    if symmetry & 1:  # rows become columns: strips stay in the processor's cache
        for start in range(0, place.shape[1], _STRIP_PX):
            np.copyto(place[:, start : start + _STRIP_PX], turned[:, start : start + _STRIP_PX])
    else:
        np.copyto(place, turned)


class BatchBuffers:
    """Memory for batches: used again in the process that trains, shared with it in a worker.

    Fresh memory costs more than the copy of the patches into it, because the kernel hands out every page anew.
    """

    def __init__(self) -> None:
        self._buffers: list[npt.NDArray[np.float32]] = []

    def take(self, count: int) -> torch.Tensor:
        """Return a float32 tensor (count, 1, 256, 256) that nobody else holds."""
        shape = (count, 1, PATCH_SIZE, PATCH_SIZE)
        if get_worker_info() is not None:
            # As torch's own collate does it: the batch is not copied again on its way out of the worker.
            storage = torch.UntypedStorage._new_shared(4 * count * PATCH_SIZE**2)  # type: ignore[no-untyped-call]
            return torch.empty(0, dtype=torch.float32).set_(storage).view(shape)
        for position in range(len(self._buffers)):
            # Two references: the list's and that of the call. Tensors on it, and views of them, hold more.
            if sys.getrefcount(self._buffers[position]) == 2 and self._buffers[position].shape == shape:
                return torch.from_numpy(self._buffers[position])
        self._buffers.append(np.empty(shape, dtype=np.float32))
        return torch.from_numpy(self._buffers[-1])


class BatchedPatches(Dataset[torch.Tensor]):
    """A map-style dataset that makes whole batches.

    Args:
        store: where patches come from.
        seed: of the symmetries.
    """

    def __init__(self, store: PatchStore, seed: int) -> None:
        self._store = store
        self._turner = Turner(seed)
        self._buffers = BatchBuffers()

    def __len__(self) -> int:
        return len(self._store)

    def __getitem__(self, number: int) -> torch.Tensor:
        return self.__getitems__([number])[0]

    def __getitems__(self, numbers: Sequence[int]) -> torch.Tensor:
        """Return a batch (n, 1, 256, 256); torch calls this with all numbers of one."""
        batch = self._buffers.take(len(numbers))
        self._turner.fill(batch.numpy()[:, 0], self._store.views(numbers))
        return batch


class ThreadedPatches(Dataset[torch.Tensor]):
    """The same with all cores in one process: threads fill a slice of the batch each.

    Args:
        store: where patches come from; its views may be taken in several threads at once.
        seed: of the symmetries.
    """

    def __init__(self, store: PatchStore, seed: int) -> None:
        self._store, self._turner, self._buffers = store, Turner(seed), BatchBuffers()
        self._threads = len(os.sched_getaffinity(0))
        self._pool = ThreadPoolExecutor(self._threads)

    def __len__(self) -> int:
        return len(self._store)

    def __getitem__(self, number: int) -> torch.Tensor:
        return self.__getitems__([number])[0]

    def __getitems__(self, numbers: Sequence[int]) -> torch.Tensor:
        """Return a batch (n, 1, 256, 256)."""
        batch = self._buffers.take(len(numbers))
        symmetries = self._turner.draw(len(numbers))
        starts = np.linspace(0, len(numbers), self._threads + 1).astype(int).tolist()
        parts = [slice(start, stop) for start, stop in itertools.pairwise(starts)]
        places = batch.numpy()[:, 0]
        for done in [
            self._pool.submit(_fill, places[part], self._store.views(numbers[part]), symmetries[part]) for part in parts
        ]:
            done.result()
        return batch


def _fill(places: Floats, patches: Iterable[Floats], symmetries: Sequence[int]) -> None:
    for place, patch, symmetry in zip(places, patches, symmetries, strict=True):
        copy_turned(place, patch, symmetry)


def whole(batch: Any) -> Any:
    """Pass a batch on that is complete already."""
    return batch


def shuffled(dataset: Dataset[Any], settings: LoaderSettings) -> DataLoader[Any]:
    """Serve a dataset that makes whole batches, in another order each epoch."""
    return DataLoader(
        dataset,
        batch_size=settings.batch_size,
        shuffle=True,
        num_workers=settings.workers,
        persistent_workers=settings.workers > 0,
        collate_fn=whole,
        generator=torch.Generator().manual_seed(settings.seed),
    )
