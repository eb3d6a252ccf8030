"""LMDB: patches as raw bytes in its memory map, seen by NumPy without a copy."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import lmdb
import numpy as np
from torch.utils.data import DataLoader

from benchmarks.data import PATCH_SIZE, Floats, PatchSource
from benchmarks.rivals.batching import BatchedPatches, shuffled
from benchmarks.rivals.protocol import LoaderSettings, Rival

_MAP_SLACK = 1.1
_MAP_LEAST_NBYTES = 1 << 26


def _key(number: int) -> bytes:
    return number.to_bytes(8, "big")


def prepare(source: PatchSource, directory: Path) -> None:
    """Write patches in the order of their keys."""
    most_nbytes = int(source.nbytes * _MAP_SLACK) + _MAP_LEAST_NBYTES
    with lmdb.open(str(directory), map_size=most_nbytes, lock=False) as env, env.begin(write=True) as transaction:
        for number, patch in enumerate(source.patches()):
            transaction.put(_key(number), patch.data, append=True)


class LmdbPatches:
    """The environment, opened once in each process; one read transaction that stays, as nothing is ever written."""

    def __init__(self, directory: Path, count: int) -> None:
        self._directory, self._count = str(directory), count
        self._transactions: dict[int, Any] = {}

    def __len__(self) -> int:
        return self._count

    def views(self, numbers: Sequence[int]) -> Iterable[Floats]:
        """Return patches as views of the map."""
        process = os.getpid()
        if process not in self._transactions:
            # With read-ahead, though the order is random: without it a patch comes from the disk page by page.
            env = lmdb.open(self._directory, readonly=True, lock=False, readahead=True, meminit=False)
            self._transactions = {process: env.begin(buffers=True)}
        get = self._transactions[process].get
        for number in numbers:
            yield np.frombuffer(get(_key(number)), dtype=np.float32).reshape(PATCH_SIZE, PATCH_SIZE)


def make_loader(source: PatchSource, directory: Path, settings: LoaderSettings) -> DataLoader[Any]:
    """Make the loader."""
    return shuffled(BatchedPatches(LmdbPatches(directory, source.count), settings.seed), settings)


RIVAL = Rival(prepare, make_loader)
