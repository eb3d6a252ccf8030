"""Epochs that go on in the middle: in PyTorch's loader, the background loader, torchdata's, and on real ranks."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import distributed, multiprocessing
from torch.utils.data import DataLoader, Dataset
from torchdata.stateful_dataloader import StatefulDataLoader

from sar_h5 import BackgroundLoader, BlockShuffleSampler, DistributedPatchSampler, SARH5Dataset, SubsetSampler
from sar_h5.errors import SettingError
from tests.patch_files import make_codes, make_lut, write_file

COUNT = 23
needs_fork = pytest.mark.skipif(os.name != "posix", reason="workers are forked here, to be quick")
pytestmark = [
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:'set_vital' is deprecated:UserWarning"),  # torchdata 0.11 calls it
]

State = dict[str, Any]


class Numbers(Dataset[int]):
    """Samples that are their own numbers."""

    def __len__(self) -> int:
        return COUNT

    def __getitem__(self, index: int) -> int:
        return index


def flat(batches: Iterator[Any] | Any) -> list[int]:
    """Samples of batches, or of samples."""
    return [int(sample) for batch in batches for sample in torch.as_tensor(batch).reshape(-1)]


def options(workers: int) -> dict[str, Any]:
    return {"num_workers": workers, "timeout": 60, "multiprocessing_context": "fork"} if workers else {}


@needs_fork
@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("batch_size", [None, 4])
def test_pytorchs_loader_goes_on_from_what_training_consumed(batch_size: int | None, workers: int) -> None:
    def make() -> tuple[DistributedPatchSampler, DataLoader[int]]:
        sampler = DistributedPatchSampler(COUNT)
        return sampler, DataLoader(Numbers(), batch_size, sampler=sampler, **options(workers))

    sampler, loader = make()
    sampler.set_epoch(2)
    batches = iter(loader)
    before = flat(islice(batches, 3))
    state = sampler.state_dict(3 * (batch_size or 1))
    del batches
    resumed, loader = make()
    resumed.load_state_dict(state)
    assert len(loader) == -(-len(resumed) // (batch_size or 1))
    assert before + flat(loader) == sampler.order(2).tolist()
    for epoch in (3, 4):
        resumed.set_epoch(epoch)
        assert flat(loader) == sampler.order(epoch).tolist()


@needs_fork
def test_workers_that_stay_alive_see_the_resumed_epoch_and_the_next() -> None:
    sampler = DistributedPatchSampler(COUNT)
    loader = DataLoader(Numbers(), 4, sampler=sampler, persistent_workers=True, **options(2))
    batches = iter(loader)
    before = flat(islice(batches, 2))
    flat(batches)
    sampler.load_state_dict(sampler.state_dict(8))
    assert before + flat(loader) == sampler.order(0).tolist()
    sampler.set_epoch(1)
    assert flat(loader) == sampler.order(1).tolist()


@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("batch_size", [None, 1, 4, 23, 50])
def test_the_background_loader_counts_the_batches_that_the_loop_got(batch_size: int | None, drop_last: bool) -> None:
    drop_last = drop_last and batch_size is not None

    def make() -> tuple[DistributedPatchSampler, BackgroundLoader]:
        sampler = DistributedPatchSampler(COUNT)
        loader = DataLoader(Numbers(), batch_size, sampler=sampler, drop_last=drop_last)
        return sampler, BackgroundLoader(loader, batches=3)

    sampler, loader = make()
    sampler.set_epoch(1)
    whole = flat(loader)
    total = len(loader)
    for stop in {0, 1, total // 2, total - 1, total} & set(range(total + 1)):
        sampler, loader = make()
        sampler.set_epoch(1)
        batches = iter(loader)
        before = flat(islice(batches, stop))
        state = json.loads(json.dumps(loader.state_dict()))
        resumed, again = make()
        again.load_state_dict(state)
        assert len(again) == total - stop
        assert before + flat(again) == whole
        assert before + flat(batches) == whole  # the state was only looked at
        # The end is the end, although the loader drops some samples.
        assert again.state_dict()["consumed"] == loader.state_dict()["consumed"] == COUNT
        resumed.set_epoch(2)
        assert again.state_dict()["consumed"] == 0
        assert len(again) == total


@needs_fork
def test_torchdatas_loader_may_be_in_the_background() -> None:
    sampler, loader = torchdata_loader(2, 4)
    background = BackgroundLoader(loader)
    before = flat(islice(background, 3))
    resumed, loader = torchdata_loader(0, 4)
    again = BackgroundLoader(loader)
    again.load_state_dict(background.state_dict())
    assert before + flat(again) == sampler.order(0).tolist()
    assert len(resumed) == COUNT - 12


def test_the_background_loader_goes_on_twice_and_on_other_ranks() -> None:
    def make(rank: int, ranks: int) -> BackgroundLoader:
        sampler = BlockShuffleSampler(24, block=3, blocks_in_memory=2, rank=rank, world_size=ranks)
        return BackgroundLoader(DataLoader(range(24), 2, sampler=sampler), batches=4)  # type: ignore[arg-type]

    def steps(ranks: int, count: int, state: State | None) -> tuple[list[int], State]:
        taken, states = [], []
        for rank in range(ranks):
            loader = make(rank, ranks)
            if state is not None:
                loader.load_state_dict(state)
            taken += flat(islice(loader, count))
            states.append(loader.state_dict())
        assert all(one == states[0] for one in states)
        return taken, states[0]

    one, state = steps(1, 2, None)
    two, state = steps(2, 1, state)
    three, state = steps(3, 1, state)
    rest, state = steps(1, 10, state)
    assert [len(one), len(two), len(three), len(rest)] == [4, 4, 6, 10]
    assert sorted(one + two + three + rest) == list(range(24))
    assert state["consumed"] == 24


def test_a_loader_whose_sampler_keeps_no_state_is_told_so() -> None:
    loader = BackgroundLoader(DataLoader(Numbers(), 4, shuffle=True))
    with pytest.raises(SettingError, match="found RandomSampler: give the DataLoader sampler=DistributedPatchSampler"):
        loader.state_dict()
    with pytest.raises(SettingError, match="keeps one; found RandomSampler"):
        loader.load_state_dict({})
    own_batches = BackgroundLoader(DataLoader(Numbers(), batch_sampler=[[0, 1], [2]]))
    with pytest.raises(SettingError, match="keeps one; found list"):
        own_batches.state_dict()


def test_a_loader_that_is_read_past_the_background_keeps_the_state_right() -> None:
    sampler = DistributedPatchSampler(COUNT)
    loader = BackgroundLoader(DataLoader(Numbers(), 4, sampler=sampler))
    list(islice(loader, 2))
    batches = iter(loader.loader)
    next(batches)
    assert loader.state_dict()["consumed"] == 4


def torchdata_loader(
    workers: int, batch_size: int | None, **settings: Any
) -> tuple[DistributedPatchSampler, StatefulDataLoader[int]]:
    sampler = DistributedPatchSampler(COUNT)
    return sampler, StatefulDataLoader(Numbers(), batch_size, sampler=sampler, **options(workers), **settings)


@needs_fork
@pytest.mark.parametrize(
    ("workers", "batch_size", "settings"),
    [
        (0, 4, {}),
        (0, 4, {"drop_last": True}),
        (0, None, {}),
        (0, 23, {}),
        (2, 4, {"snapshot_every_n_steps": 2}),
        (2, 4, {"drop_last": True, "persistent_workers": True}),
        (2, None, {}),
    ],
)
def test_torchdatas_loader_loses_no_sample_and_repeats_none(
    workers: int, batch_size: int | None, settings: State
) -> None:
    sampler, loader = torchdata_loader(workers, batch_size, **settings)
    sampler.set_epoch(1)
    whole = flat(loader)
    total = len(loader)
    assert whole == sampler.order(1)[: len(whole)].tolist()
    for stop in {0, 1, total // 2, total} if workers else range(total + 1):
        sampler, loader = torchdata_loader(workers, batch_size, **settings)
        sampler.set_epoch(1)
        batches = iter(loader)
        before = flat(islice(batches, stop))
        state = loader.state_dict()
        assert before + flat(batches) == whole
        resumed, again = torchdata_loader(workers, batch_size, **settings)
        again.load_state_dict(state)
        resumed.set_epoch(1)
        if stop < total:  # once more
            before += flat(islice(iter(again), 1))
            state = again.state_dict()
            resumed, again = torchdata_loader(workers, batch_size, **settings)
            again.load_state_dict(state)
        assert before + flat(again) == whole
        for epoch in (2, 3):
            resumed.set_epoch(epoch)
            assert flat(again) == sampler.order(epoch)[: len(whole)].tolist()


@needs_fork
@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("drop_last", [False, True])
def test_torchdatas_state_of_a_finished_epoch_leads_to_the_epoch_that_was_set(drop_last: bool, workers: int) -> None:
    sampler, loader = torchdata_loader(workers, 4, drop_last=drop_last)
    sampler.set_epoch(1)
    size = len(flat(loader))
    resumed, again = torchdata_loader(workers, 4, drop_last=drop_last)
    again.load_state_dict(loader.state_dict())
    for epoch in (2, 3):
        resumed.set_epoch(epoch)
        assert flat(again) == sampler.order(epoch)[:size].tolist()


def test_torchdatas_state_goes_to_other_ranks() -> None:
    sampler, loader = torchdata_loader(0, 4)
    before = flat(islice(iter(loader), 2))
    after = []
    for rank in range(3):
        own = DistributedPatchSampler(COUNT, rank=rank, world_size=3)
        again = StatefulDataLoader(Numbers(), 2, sampler=own)
        again.load_state_dict(loader.state_dict())
        after += flat(again)
        assert len(flat(again)) == 8
    assert sorted(before + after) == sorted(sampler)


def test_torchdatas_state_of_another_dataset_is_refused() -> None:
    _, loader = torchdata_loader(0, 4)
    next(iter(loader))
    other = StatefulDataLoader(Numbers(), 4, sampler=DistributedPatchSampler(COUNT, seed=1))
    other.load_state_dict(loader.state_dict())
    with pytest.raises(SettingError, match="seed: the state has 0, this sampler has 1"):
        next(iter(other))


def test_batches_of_a_file_go_on_where_they_were(tmp_path: Path) -> None:
    path = write_file(tmp_path / "a.h5", make_codes((40, 8, 8), 300, "<u2"), make_lut(300))

    def make(**chosen: Any) -> tuple[BackgroundLoader, SubsetSampler]:
        dataset = SARH5Dataset(path, sample="dict", **chosen)
        sampler = SubsetSampler(dataset, fraction=0.5)
        return BackgroundLoader(DataLoader(dataset, 4, sampler=sampler)), sampler

    loader, sampler = make()
    before = [index for batch in islice(loader, 2) for index in batch["index"].tolist()]
    scenes = [scene for batch in loader for scene in batch["scene"].tolist()]
    assert [scenes.count(0), scenes.count(1)] == [10, 10]
    list(islice(loader, 2))
    state = loader.state_dict()
    again, _ = make()
    again.load_state_dict(state)
    after = [index for batch in again for index in batch["index"].tolist()]
    assert before + after == sampler.order(0).tolist()
    for chosen in ({"indices": range(39, -1, -1)}, {"indices": [*range(20), *range(20)]}):
        other, _ = make(**chosen)
        with pytest.raises(SettingError, match="fingerprint of the dataset"):
            other.load_state_dict(state)


def train_as_rank(rank: int, ranks: int, directory: str) -> None:
    """Take half an epoch on each of two real ranks, with a sampler made before they know each other."""
    sampler = DistributedPatchSampler(COUNT)
    loader = BackgroundLoader(DataLoader(Numbers(), 3, sampler=sampler))
    distributed.init_process_group("gloo", init_method=f"file://{directory}/store", rank=rank, world_size=ranks)
    try:
        sampler.set_epoch(1)
        taken = flat(islice(loader, 2))
        states: list[Any] = [None] * ranks
        distributed.all_gather_object(states, loader.state_dict())
        found = {"taken": taken, "states": states, "length": len(sampler)}
        Path(directory, f"{rank}.json").write_text(json.dumps(found), encoding="utf-8")
    finally:
        distributed.destroy_process_group()


def test_real_ranks_share_an_epoch_and_one_process_ends_it(tmp_path: Path) -> None:
    multiprocessing.start_processes(train_as_rank, (2, str(tmp_path)), nprocs=2, start_method="spawn")
    found = [json.loads((tmp_path / f"{rank}.json").read_text(encoding="utf-8")) for rank in (0, 1)]
    states = [state for one in found for state in one["states"]]
    assert all(state == states[0] for state in states)
    assert states[0]["world_size"] == 2
    assert [one["length"] for one in found] == [12, 12]
    alone = DistributedPatchSampler(COUNT)
    alone.load_state_dict(states[0])
    assert sorted(found[0]["taken"] + found[1]["taken"] + list(alone)) == list(range(COUNT))
