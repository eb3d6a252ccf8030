"""WebDataset: tar shards read from front to back, mixed in a shuffle buffer."""

from __future__ import annotations

import tarfile
from collections.abc import Iterable, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
import webdataset

from benchmarks.data import PATCH_SIZE, PatchSource
from benchmarks.rivals.batching import BatchBuffers, Turner
from benchmarks.rivals.protocol import LoaderSettings, Rival

SHUFFLED_AT_ONCE = 256
_SHARDS = 16
"""Several for each worker, and enough that their order shuffles too."""


def prepare(source: PatchSource, directory: Path) -> None:
    """Write tar shards of raw bytes."""
    each = -(-source.count // _SHARDS)
    tar: tarfile.TarFile | None = None
    for number, patch in enumerate(source.patches()):
        if number % each == 0:
            if tar is not None:
                tar.close()
            tar = tarfile.open(directory / f"{number // each:05d}.tar", "w")  # noqa: SIM115 - open for many patches
        member = tarfile.TarInfo(f"{number:08d}.patch")
        member.size = patch.nbytes
        if tar is not None:
            tar.addfile(member, BytesIO(patch.data))
    if tar is not None:
        tar.close()


class Collate:
    """Writes raw samples into a batch."""

    def __init__(self, seed: int) -> None:
        self._turner, self._buffers = Turner(seed), BatchBuffers()

    def __call__(self, samples: Sequence[dict[str, Any]]) -> torch.Tensor:
        """Return (n, 1, 256, 256)."""
        batch = self._buffers.take(len(samples))
        patches = (
            np.frombuffer(sample["patch"], dtype=np.float32).reshape(PATCH_SIZE, PATCH_SIZE) for sample in samples
        )
        self._turner.fill(batch.numpy()[:, 0], patches)
        return batch


def make_loader(source: PatchSource, directory: Path, settings: LoaderSettings) -> Iterable[Any]:
    """Make the loader: shards are split among workers, batches are made there."""
    del source
    tars = sorted(str(path) for path in directory.glob("*.tar"))
    dataset = (
        webdataset.WebDataset(
            tars,
            shardshuffle=len(tars),
            seed=settings.seed,
            workersplitter=webdataset.split_by_worker,
            empty_check=False,
        )
        .shuffle(SHUFFLED_AT_ONCE, initial=SHUFFLED_AT_ONCE)
        .batched(settings.batch_size, collation_fn=Collate(settings.seed), partial=True)
    )
    loader: Iterable[Any] = webdataset.WebLoader(
        dataset,
        batch_size=None,
        num_workers=settings.workers,
        persistent_workers=settings.workers > 0,
    )
    return loader


RIVAL = Rival(prepare, make_loader)
