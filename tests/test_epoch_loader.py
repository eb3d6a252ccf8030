"""The loader of training: the epoch it serves, its length, and going on in the middle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch.utils.data import DataLoader

from sar_h5 import DistributedPatchSampler, SARH5Dataset
from sar_h5.epoch_loader import EpochLoader
from sar_h5.errors import SettingError
from tests.patch_files import read_plain, write_file

COUNT, BATCH = 22, 4


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Patches each of which has a value of its own, but for one corner."""
    codes = np.repeat(np.arange(COUNT, dtype=np.uint8), 16).reshape(COUNT, 4, 4)
    codes[:, 0, 0] = 99
    return write_file(tmp_path / "a.h5", codes, np.arange(100, dtype=np.float32) / 100)


def make(path: Path, world: tuple[int, int] = (0, 1), workers: int = 0, **options: Any) -> EpochLoader:
    dataset = SARH5Dataset(path, augment=True, seed=5)
    rank, size = world
    sampler = DistributedPatchSampler(dataset, seed=1, drop_last=True, rank=rank, world_size=size)
    settings: dict[str, Any] = {"batch_size": BATCH, "drop_last": True, "num_workers": workers} | options
    return EpochLoader(dataset, sampler=sampler, **settings)


def numbers(batch: Any) -> list[int]:
    return [round(100 * float(image.median())) for image in batch]


def take(loader: EpochLoader, batches: int | None = None) -> list[int]:
    taken: list[int] = []
    for count, batch in enumerate(loader, start=1):
        taken += numbers(batch)
        if count == batches:
            break
    return taken


@pytest.mark.parametrize("workers", [0, 1])
def test_each_epoch_has_its_order_and_its_symmetries(path: Path, workers: int) -> None:
    loader = make(path, workers=workers, persistent_workers=workers > 0)
    orders = []
    for epoch in (0, 1):
        loader.sampler.set_epoch(epoch)
        batches = list(loader)
        orders.append([number for batch in batches for number in numbers(batch)])
        wanted = read_plain(path, orders[-1], augment=True, seed=5, epoch=epoch)
        assert np.concatenate([batch.numpy() for batch in batches]).tobytes() == wanted.tobytes()
    assert orders[0] != orders[1]
    assert [len(set(order)) for order in orders] == [20, 20]


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("batches", [1, 3, 5])
def test_it_goes_on_where_the_loop_was_whatever_workers_have_made_ahead(path: Path, workers: int, batches: int) -> None:
    whole = take(make(path))
    loader = make(path, workers=workers)
    before = take(loader, batches)
    position = json.loads(json.dumps(loader.position()))
    resumed = make(path, workers=workers)
    resumed.resume(position)
    assert resumed.batches_before == batches
    assert len(resumed) == 5
    assert before + take(resumed) == whole


def test_it_goes_on_twice_and_the_epoch_after_that_is_whole(path: Path) -> None:
    whole = take(make(path))
    loader, taken = make(path), []
    for _ in range(2):
        taken += take(loader, 2)
        position = loader.position()
        loader = make(path)
        loader.resume(position)
    taken += take(loader)
    assert taken == whole
    loader.sampler.set_epoch(1)
    assert loader.batches_before == 0
    assert len(take(loader)) == 20


def test_batches_without_a_step_are_taken_again(path: Path) -> None:
    whole = take(make(path))
    loader = make(path)
    take(loader, 3)
    resumed = make(path)
    resumed.resume(loader.position(unfinished=1))
    assert take(resumed) == whole[2 * BATCH :]


def test_nothing_is_left_of_an_epoch_that_is_done(path: Path) -> None:
    loader = make(path)
    take(loader)
    resumed = make(path)
    resumed.resume(loader.position())
    assert take(resumed) == []
    assert resumed.batches_before == len(resumed) == 5
    resumed.sampler.set_epoch(1)
    assert len(take(resumed)) == 20


@pytest.mark.parametrize(("first", "then"), [(1, 2), (2, 1), (2, 3)])
def test_another_number_of_ranks_shares_what_is_left(path: Path, first: int, then: int) -> None:
    loaders = [make(path, (rank, first)) for rank in range(first)]
    before = [number for loader in loaders for number in take(loader, 1)]
    positions = [loader.position() for loader in loaders]
    assert positions == positions[:1] * first
    after = []
    for rank in range(then):
        resumed = make(path, (rank, then))
        resumed.resume(positions[0])
        assert len(resumed) == COUNT // then // BATCH
        after += take(resumed)
    left = COUNT - first * BATCH
    assert len(after) == left // then // BATCH * BATCH * then
    assert len({*before, *after}) == len(before) + len(after)


def test_before_the_first_batch_it_is_at_the_beginning(path: Path) -> None:
    resumed = make(path)
    resumed.resume(make(path).position())
    assert resumed.batches_before == 0
    assert take(resumed) == take(make(path))


def test_a_state_of_other_data_is_refused(path: Path, tmp_path: Path) -> None:
    position = make(path).position()
    codes = np.full((COUNT, 4, 4), 7, dtype=np.uint8)
    other = make(write_file(tmp_path / "b.h5", codes[1:], np.arange(100, dtype=np.float32) / 100))
    with pytest.raises(SettingError, match=r"state of|another|length"):
        other.resume(position)
    with pytest.raises(SettingError):
        other.resume({"batches": 3})


@pytest.mark.parametrize("options", [{"drop_last": False}, {"batch_size": None, "drop_last": False}])
def test_it_counts_by_whole_batches_only(path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(SettingError, match="needs batch_size, and drop_last=True"):
        len(make(path, **options))


def test_it_is_an_ordinary_loader_otherwise(path: Path) -> None:
    loader = make(path)
    assert isinstance(loader, DataLoader)
    assert next(iter(loader)).shape == (BATCH, 1, 4, 4)
