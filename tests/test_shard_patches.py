"""Patches of shards by number: right in any order, any number of threads, any process; few files open."""

from __future__ import annotations

import os
import pickle
import threading
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sar_h5.errors import CorruptPatchError, SettingError
from sar_h5.sources.shards import NpyShard
from sar_h5.stores import open_shard
from sar_h5.stores.shard_patches import ShardPatches
from sar_h5.symmetry import apply_symmetry
from tests.conftest import make_shards

COUNTS = (5, 0, 3, 1, 7)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shards")


@pytest.fixture(scope="module")
def expected(directory: Path) -> np.ndarray:
    """All patches, shard by shard."""
    return np.concatenate(make_shards(directory, counts=COUNTS, size=16))


def open_store(directory: Path, order: Any = None, **options: Any) -> ShardPatches:
    shards = [NpyShard(path, str(path), "vv") for path in sorted(directory.glob("s1a*.npy"))]
    return ShardPatches(str(directory), shards, None if order is None else np.array(order), **options)


def read(store: ShardPatches, numbers: Any, symmetries: Any = None, threads: int = 1) -> np.ndarray:
    out = np.full((len(numbers), *store.shape[1:]), np.nan, dtype=np.float32)
    turns = None if symmetries is None else np.array(symmetries, dtype=np.uint8)
    store.values(np.array(numbers, dtype=np.int64), out, turns, threads)
    return out[:, 0]


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_numbers_run_through_the_shards_empty_ones_too(directory: Path, expected: np.ndarray) -> None:
    store = open_store(directory)
    assert store.shape == (16, 1, 16, 16)
    assert np.array_equal(read(store, range(16)), expected)
    assert store.index()["scene"].tolist() == np.repeat(np.arange(5), COUNTS).tolist()
    assert store.index()["position"].tolist() == [place for count in COUNTS for place in range(count)]
    assert set(store.index()["row"]) == set(store.index()["col"]) == {-1}
    assert store.scenes()["platform"].tolist() == ["S1A"] * 5
    assert store.scenes()["start_time"][1] == "2021-01-11T03:16:53"


@settings(deadline=None, max_examples=60)
@given(
    numbers=st.lists(st.integers(0, 15), max_size=40),
    threads=st.integers(1, 4),
    most_open=st.integers(1, 3),
    shuffled=st.booleans(),
    data=st.data(),
)
def test_any_batch_is_what_plain_numpy_gives(
    directory: Path, expected: np.ndarray, numbers: list[int], threads: int, most_open: int, shuffled: bool, data: Any
) -> None:
    symmetries = data.draw(st.lists(st.integers(0, 7), min_size=len(numbers), max_size=len(numbers)))
    order = np.random.default_rng(1).permutation(16) if shuffled else np.arange(16)
    store = open_store(directory, order if shuffled else None, most_open=most_open)
    found = read(store, numbers, symmetries, threads)
    for patch, number, symmetry in zip(found, numbers, symmetries, strict=True):
        assert np.array_equal(patch, apply_symmetry(expected[order[number]], symmetry))
    store.close()


def test_without_a_compiled_way_it_is_the_same(
    directory: Path, expected: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(open_shard, "_NATIVE", None)
    found = read(open_store(directory), [15, 3, 3, 8], [0, 1, 2, 7], threads=2)
    for patch, number, symmetry in zip(found, [15, 3, 3, 8], [0, 1, 2, 7], strict=True):
        assert np.array_equal(patch, apply_symmetry(expected[number], symmetry))


def test_negative_zero_is_in_the_range(tmp_path: Path) -> None:
    np.save(tmp_path / "s1a-vv.npy", np.full((2, 8, 8), -0.0, np.float32))
    assert not read(open_store(tmp_path), [1, 0], [0, 3]).any()


def test_an_order_may_be_a_subset(directory: Path, expected: np.ndarray) -> None:
    store = open_store(directory, [15, 0, 8])
    assert store.shape[0] == 3
    assert np.array_equal(read(store, [2, 0, 1]), expected[[8, 15, 0]])
    assert store.index()["scene"].tolist() == [4, 0, 3]
    assert store.index()["position"].tolist() == [6, 0, 0]


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="open files are counted in /proc")
def test_few_files_are_open_whatever_the_threads(tmp_path: Path) -> None:
    shards = make_shards(tmp_path, counts=(2,) * 9, size=8)
    store = open_store(tmp_path, most_open=2)
    before, most = open_files(), 0
    stop = threading.Event()

    def watch() -> None:
        nonlocal most
        while not stop.is_set():
            most = max(most, open_files())

    watcher = threading.Thread(target=watch)
    watcher.start()
    numbers = np.random.default_rng(0).integers(0, 18, 400)
    found = read(store, numbers, threads=6)
    stop.set()
    watcher.join()
    assert np.array_equal(found, np.concatenate(shards)[numbers])
    assert most <= before + 2 + 1  # the listing itself
    assert open_files() == before + 2
    store.close()
    assert open_files() == before


def test_a_pickled_copy_is_small_and_opens_files_of_its_own(directory: Path, expected: np.ndarray) -> None:
    store = open_store(directory)
    read(store, [3])
    store.index()
    data = pickle.dumps(store)
    assert len(data) < 5000
    copy = pickle.loads(data)
    assert np.array_equal(read(copy, [15, 3], threads=2), expected[[15, 3]])
    assert copy.identity() == store.identity()
    assert open_store(directory, [1, 0]).identity() != store.identity()


def _answer(store: ShardPatches, answers: Any) -> None:
    answers.put(float(read(store, [15, 3], [1, 6], threads=2).sum()))


@pytest.mark.parametrize("method", ["fork", "spawn"] if hasattr(os, "fork") else ["spawn"])
def test_other_processes_read_the_same(directory: Path, method: str) -> None:
    store = open_store(directory, most_open=1)
    expected = float(read(store, [15, 3], [1, 6], threads=2).sum())
    context = get_context(method)
    answers = context.Queue()
    process = context.Process(target=_answer, args=(store, answers))
    process.start()
    assert answers.get(timeout=60) == expected
    process.join(60)
    assert process.exitcode == 0


def test_a_patch_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    make_shards(tmp_path, counts=(2, 3), size=8)
    store = open_store(tmp_path)
    last = sorted(tmp_path.glob("s1a*.npy"))[1]
    with last.open("r+b") as file:
        file.truncate(last.stat().st_size - 1)
    with pytest.raises(CorruptPatchError, match=rf"patch 4 cannot be read: {last}, patch 2 of it") as caught:
        read(store, [0, 4, 1])
    assert (caught.value.path, caught.value.patch) == (str(tmp_path), 4)
    assert "sar-h5 scan" in str(caught.value)
    last.unlink()
    store.close()
    with pytest.raises(CorruptPatchError, match="No such file"):
        read(store, [3])
    assert read(store, [0, 1]).shape == (2, 8, 8)


@pytest.mark.parametrize("value", [np.nan, 1.5, -0.1])
@pytest.mark.parametrize("symmetry", [0, 5])
def test_values_outside_the_range_are_refused_unless_told_otherwise(
    tmp_path: Path, value: float, symmetry: int
) -> None:
    patches = np.zeros((4, 8, 8), dtype=np.float32)
    patches[2, 0, 7] = value
    np.save(tmp_path / "s1a-vv.npy", patches)
    with pytest.raises(CorruptPatchError, match=r"patch 2 of it: it holds .*1 of 64 pixels.*expected values in"):
        read(open_store(tmp_path), [0, 2], [symmetry] * 2)
    found = read(open_store(tmp_path, check=False), [0, 2], [symmetry] * 2)
    assert np.array_equal(found[1], apply_symmetry(patches[2], symmetry), equal_nan=True)


def test_no_open_file_at_all_is_refused(directory: Path, expected: np.ndarray) -> None:
    assert len(expected) == 16
    with pytest.raises(SettingError, match="at least 1 open file; found 0"):
        open_store(directory, most_open=0)
