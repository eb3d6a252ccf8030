"""Reads through the cache equal those of the file, in every encoding and process, whatever is done to batches."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import subprocess
import sys
import threading
from copy import deepcopy
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from sar_h5 import SARH5Dataset
from sar_h5.errors import CorruptPatchError, SettingError
from sar_h5.reader import PatchReader
from sar_h5.stores.cached_reads import CachedReads
from sar_h5.stores.patch_cache import ENTRY_NBYTES
from tests.conftest import make_dn
from tests.patch_files import make_codes, make_lut, read_plain, write_file

COUNT, SIZE = 12, 24

# name: levels of the table or 0 for float32 values, stored dtype
KINDS = {"uint8": (200, "u1"), "uint16": (300, "<u2"), "dn": (65536, "<u2"), "float32": (0, "<f4")}


def write_kind(path: Path, kind: str) -> Path:
    levels, dtype = KINDS[kind]
    codes = make_codes((COUNT, SIZE, SIZE), levels or 1000, dtype)
    return write_file(path, codes if levels else codes / np.float32(1000), make_lut(levels) if levels else None)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write_kind(tmp_path / "vv.h5", "uint8")


def limit_for(patches: int, dtype: str = "u1") -> int:
    return patches * (SIZE * SIZE * np.dtype(dtype).itemsize + ENTRY_NBYTES)


def epoch(dataset: SARH5Dataset, **options: Any) -> torch.Tensor:
    return torch.cat(list(DataLoader(dataset, batch_size=5, **options)))


@pytest.mark.parametrize("room", [1, 5, COUNT])
@pytest.mark.parametrize("kind", KINDS)
def test_hits_are_bit_for_bit_what_the_file_holds_under_every_symmetry(tmp_path: Path, kind: str, room: int) -> None:
    path = write_kind(tmp_path / "vv.h5", kind)
    dataset = SARH5Dataset(path, augment=True, seed=6, threads=2, cache_nbytes=limit_for(room, KINDS[kind][1]))
    for number in range(10):
        dataset.set_epoch(number)
        wanted = read_plain(path, augment=True, seed=6, epoch=number)
        assert epoch(dataset).numpy().tobytes() == wanted.tobytes()
    (cache,) = dataset.caches
    assert len(cache) == room
    assert cache.hits + cache.misses == 10 * COUNT
    assert cache.hits == 9 * COUNT if room == COUNT else cache.hits > 0
    assert cache.nbytes <= cache.limit_nbytes


@pytest.mark.parametrize("dtype", ["int16", "float64", "float16", ">u2", "uint8"])
def test_files_of_others_are_kept_as_they_are_stored(tmp_path: Path, dtype: str) -> None:
    data = make_dn(0, (7, 6, 10)).astype(dtype)
    with h5py.File(tmp_path / "other.h5", "w") as handle:
        handle["x"] = data
    dataset = SARH5Dataset(tmp_path / "other.h5", cache_nbytes=10**6)
    for _ in range(2):
        np.testing.assert_array_equal(epoch(dataset)[:, 0].numpy(), data.astype(np.float32))
    (cache,) = dataset.caches
    assert (cache.hits, cache.nbytes) == (7, data.nbytes + 7 * ENTRY_NBYTES)


def test_codes_come_from_the_cache_too(file: Path) -> None:
    plain = SARH5Dataset(file, output="codes").__getitems__(range(COUNT))
    dataset = SARH5Dataset(file, output="codes", cache_nbytes=limit_for(COUNT))
    for _ in range(2):
        for found, wanted in zip(dataset.__getitems__(range(COUNT)), plain, strict=True):
            assert torch.equal(found["codes"], wanted["codes"])
            found["codes"].fill_(255)
    assert dataset.caches[0].hits == COUNT


def test_what_is_done_to_a_batch_does_not_reach_the_cache(file: Path) -> None:
    wanted = read_plain(file)
    dataset = SARH5Dataset(file, cache_nbytes=limit_for(COUNT))
    for _ in range(3):
        batch = epoch(dataset)
        assert batch.numpy().tobytes() == wanted.tobytes()
        batch.fill_(-1)
        for number in range(COUNT):
            dataset[number].fill_(7)
    assert dataset.caches[0].misses == COUNT


def test_a_patch_asked_for_twice_in_a_batch_comes_twice(file: Path) -> None:
    dataset = SARH5Dataset(file, cache_nbytes=limit_for(2))
    wanted = read_plain(file, [3, 3, 1, 3])
    for _ in range(3):
        found = torch.stack([sample.as_subclass(torch.Tensor) for sample in dataset.__getitems__([3, 3, 1, 3])])  # type: ignore[union-attr]
        assert found.numpy().tobytes() == wanted.tobytes()


def test_copies_start_with_an_empty_cache_of_their_own(file: Path) -> None:
    dataset = SARH5Dataset(file, cache_nbytes=limit_for(COUNT))
    wanted = epoch(dataset)
    for copied in (deepcopy(dataset), pickle.loads(pickle.dumps(dataset))):
        (cache,) = copied.caches
        assert (len(cache), cache.hits, cache.limit_nbytes) == (0, 0, limit_for(COUNT))
        assert torch.equal(epoch(copied), wanted)
        assert (cache.misses, len(cache)) == (COUNT, COUNT)
    assert len(pickle.dumps(dataset)) < 8000
    assert dataset.caches[0].misses == COUNT


class CacheBooks:
    """Tells of each sample how the cache of its process stood after it."""

    def __init__(self, dataset: SARH5Dataset) -> None:
        self._dataset = dataset

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, number: int) -> tuple[int, int]:
        self._dataset[number]
        (cache,) = self._dataset.caches
        return cache.hits, cache.misses


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_forked_workers_start_empty_and_keep_their_caches_from_epoch_to_epoch(file: Path) -> None:
    dataset = SARH5Dataset(file, cache_nbytes=limit_for(COUNT))
    epoch(dataset)
    context = multiprocessing.get_context("fork")
    options: dict[str, Any] = {"num_workers": 1, "multiprocessing_context": context, "persistent_workers": True}
    loader = DataLoader(CacheBooks(dataset), batch_size=None, **options)  # type: ignore[arg-type]
    assert [(int(hits), int(misses)) for hits, misses in loader] == [(0, number + 1) for number in range(COUNT)]
    assert [(int(hits), int(misses)) for hits, misses in loader] == [(number + 1, COUNT) for number in range(COUNT)]
    assert (dataset.caches[0].hits, dataset.caches[0].misses) == (0, COUNT)


def test_threads_may_share_the_cache(file: Path) -> None:
    wanted = read_plain(file)
    dataset = SARH5Dataset(file, cache_nbytes=limit_for(4), threads=2)
    wrong: list[int] = []

    def work(seed: int) -> None:
        for numbers in np.random.default_rng(seed).integers(0, COUNT, (60, 5)):
            found = np.stack([np.asarray(sample) for sample in dataset.__getitems__(numbers)])
            wrong.extend([] if np.array_equal(found, wanted[numbers]) else numbers.tolist())

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert dataset.caches[0].evictions > 0


def test_loops_are_compiled_when_the_dataset_is_made_not_by_its_workers(file: Path) -> None:
    code = (
        "from sar_h5 import SARH5Dataset; from sar_h5.kernels import place\n"
        f"dataset = SARH5Dataset({str(file)!r}, augment=True, cache_nbytes=10**6); made = len(place.signatures)\n"
        "for _ in range(2): dataset.__getitems__(range(5))\n"
        "print(made, len(place.signatures), dataset.caches[0].hits)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    made, used, hits = map(int, done.stdout.split())
    assert used == made > 0
    assert hits == 5


def test_a_code_outside_the_table_is_an_error_from_file_and_cache(file: Path) -> None:
    with h5py.File(file, "r+") as handle:
        handle["patches"][4, 0, 0] = 222
    reads = CachedReads(PatchReader(file), limit_for(COUNT))
    out = np.empty((2, SIZE, SIZE), np.float32)
    for _ in range(2):
        with pytest.raises(
            CorruptPatchError, match=r"vv\.h5: patch 4 cannot be read: a code lies outside the table of 200"
        ):
            reads.values(np.array([1, 4]), out)
    reads.values(np.array([1]), out, places=np.array([1]))
    assert out[1].tobytes() == read_plain(file, [1]).tobytes()


def test_no_cache_unless_asked_for_and_none_of_negative_or_broken_size(file: Path) -> None:
    assert SARH5Dataset(file).caches == ()
    with pytest.raises(SettingError, match="expected cache_nbytes of 0 or more bytes; found -1"):
        SARH5Dataset(file, cache_nbytes=-1)
    with pytest.raises(TypeError):
        SARH5Dataset(file, cache_nbytes=float("nan"))  # type: ignore[arg-type]
