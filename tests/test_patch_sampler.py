"""What samplers share: even ranks, epochs, and states from which no sample is lost and none comes again."""

from __future__ import annotations

import json
import pickle
from itertools import islice
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DistributedSampler

from sar_h5 import BlockShuffleSampler, DistributedPatchSampler, SceneWeightedSampler, SubsetSampler
from sar_h5.errors import SettingError
from sar_h5.samplers.patch_sampler import PatchSampler

SCENES = np.arange(60) // 20
KINDS = ["distributed", "in order", "subset", "blocks", "weighted"]
EPOCH = 4

State = dict[str, object]


def make(kind: str, count: int, **options: Any) -> PatchSampler:
    scenes = SCENES[:count]
    match kind:
        case "distributed":
            return DistributedPatchSampler(count, **options)
        case "in order":
            return DistributedPatchSampler(count, shuffle=False, **options)
        case "subset":
            return SubsetSampler(scenes, n=max(count - 3, 1), redraw=True, **options)
        case "blocks":
            return BlockShuffleSampler(count, block=4, blocks_in_memory=2, **options)
        case _:
            return SceneWeightedSampler(scenes, weights=[3.0, 1.0, 0.5], **options)


def run_job(
    kind: str, count: int, ranks: int, state: State | None = None, steps: int | None = None, **options: Any
) -> tuple[list[int], State]:
    """Train for some steps of one sample per rank, or to the end; return the samples as taken, and the state."""
    parts, states = [], []
    for rank in range(ranks):
        sampler = make(kind, count, rank=rank, world_size=ranks, **options)
        if state is None:
            sampler.set_epoch(EPOCH)
        else:
            sampler.load_state_dict(state)
        # A job that is interrupted is so before the end of its epoch.
        wanted = len(sampler) if steps is None else min(steps, max(len(sampler) - 1, 0))
        parts.append(list(islice(sampler, wanted)) if wanted else [])
        states.append(json.loads(json.dumps(sampler.state_dict())))
    assert all(one == states[0] for one in states)
    return [sample for step in zip(*parts, strict=True) for sample in step], states[0]


@given(
    st.sampled_from(KINDS),
    st.integers(1, 60),
    st.lists(st.tuples(st.integers(1, 5), st.integers(0, 12)), max_size=5),
    st.integers(1, 5),
    st.booleans(),
)
def test_any_chain_of_ranks_takes_what_one_uninterrupted_rank_takes(
    kind: str, count: int, legs: list[tuple[int, int]], last: int, drop_last: bool
) -> None:
    expected, _ = run_job(kind, count, 1)
    taken: list[int] = []
    state = None
    for ranks, steps in legs:
        samples, state = run_job(kind, count, ranks, state, steps, drop_last=drop_last)
        taken += samples
        assert taken == expected[: len(taken)]
        assert state["consumed"] == len(taken)
    left = len(expected) - len(taken)
    samples, state = run_job(kind, count, last, state, drop_last=drop_last)
    taken += samples
    # Only the last ranks round the end of the epoch, whatever was before.
    if drop_last:
        assert taken == expected[: len(expected) - left % last]
    else:
        assert taken == expected + [expected[place % len(expected)] for place in range(-left % last)]
    if samples:
        assert state["consumed"] == len(expected)


@pytest.mark.parametrize("kind", KINDS)
def test_one_to_two_to_three_ranks_and_back_take_each_sample_once_where_they_divide_it(kind: str) -> None:
    one, state = run_job(kind, 60, 1, steps=6)
    two, state = run_job(kind, 60, 2, state, 9)
    three, state = run_job(kind, 60, 3, state, 4)
    rest, _ = run_job(kind, 60, 1, state)
    assert [len(one), len(two), len(three)] == [6, 18, 12]
    sampler = make(kind, 60)
    assert one + two + three + rest == sampler.order(EPOCH).tolist()
    if kind != "weighted":
        assert len(set(one + two + three + rest)) == len(sampler)


@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("ranks", [1, 3, 4])
def test_ranks_yield_as_many_as_pytorchs_do(ranks: int, drop_last: bool) -> None:
    for count in (0, 1, 2, 10, 12):
        for rank in range(ranks):
            ours = DistributedPatchSampler(count, shuffle=False, rank=rank, world_size=ranks, drop_last=drop_last)
            theirs: Any = DistributedSampler(range(count), ranks, rank, shuffle=False, drop_last=drop_last)  # type: ignore[arg-type]
            if drop_last or count:  # PyTorch's divides by zero to pad nothing
                assert list(ours) == list(theirs)
                assert len(ours) == len(theirs)
    assert isinstance(ours, DistributedSampler)  # so that Lightning does not shard it again


def test_an_epoch_is_the_same_every_time_and_another_is_another() -> None:
    sampler = DistributedPatchSampler(60, seed=3)
    first = list(sampler)
    assert list(sampler) == first
    assert {type(sample) for sample in first} == {int}
    sampler.set_epoch(1)
    assert list(sampler) != first
    assert sorted(sampler) == sorted(first) == list(range(60))
    assert list(DistributedPatchSampler(60, seed=4)) != first


def test_after_a_resumed_epoch_come_whole_ones() -> None:
    sampler = make("distributed", 20)
    state = halfway(sampler)
    for next_epoch in (EPOCH, EPOCH + 1):
        resumed = make("distributed", 20)
        resumed.load_state_dict(state)
        assert (resumed.epoch, len(resumed)) == (EPOCH, 12)
        resumed.set_epoch(resumed.epoch)  # as a training loop does, which begins with that epoch
        assert len(resumed) == len(list(resumed)) == 12
        resumed.set_epoch(next_epoch)
        assert len(list(resumed)) == len(resumed) == 20
    resumed.load_state_dict(state)
    resumed.set_epoch(7)
    assert len(resumed) == len(list(resumed)) == 20


def halfway(sampler: PatchSampler) -> State:
    sampler.set_epoch(EPOCH)
    list(islice(sampler, 8))
    return sampler.state_dict()


def test_a_resumed_epoch_that_is_left_early_begins_again_where_it_was_resumed() -> None:
    sampler = make("distributed", 20)
    sampler.load_state_dict(halfway(sampler))
    begun = list(islice(sampler, 3))
    assert list(sampler) == sampler.order(EPOCH)[8:].tolist()
    assert begun == sampler.order(EPOCH)[8:11].tolist()


def test_a_state_of_the_end_of_an_epoch_leaves_nothing_of_it() -> None:
    for consumed in (None, 20, 24):
        sampler = make("distributed", 20)
        sampler.set_epoch(EPOCH)
        list(sampler)
        state = sampler.state_dict(consumed)
        resumed = make("distributed", 20)
        resumed.load_state_dict(state)
        assert len(resumed) == 0
        assert [len(list(resumed)), len(list(resumed))] == [0, 20]
        resumed.load_state_dict(state)
        resumed.set_epoch(EPOCH + 1)
        assert len(list(resumed)) == 20


def test_states_are_the_same_until_something_is_taken() -> None:
    sampler = make("blocks", 40, rank=1, world_size=2)
    sampler.set_epoch(EPOCH)
    start = sampler.state_dict()
    assert (start["epoch"], start["consumed"], start["world_size"], start["length"]) == (EPOCH, 0, 2, 40)
    iterator = iter(sampler)
    assert sampler.state_dict() == start
    list(islice(iterator, 5))
    state = sampler.state_dict()
    assert state["consumed"] == 10
    resumed = make("blocks", 40)
    resumed.load_state_dict(state)
    again = resumed.state_dict()
    assert again == state | {"world_size": 1}
    resumed.load_state_dict(again)
    resumed.load_state_dict(again)
    assert list(resumed) == sampler.order(EPOCH)[10:].tolist()


def test_what_training_consumed_counts_not_what_was_taken_ahead() -> None:
    sampler = make("distributed", 40, rank=0, world_size=2)
    taken = list(islice(sampler, 15))
    assert sampler.state_dict(6)["consumed"] == 12
    assert sampler.state_dict()["consumed"] == 30
    list(sampler)
    assert sampler.state_dict(6)["consumed"] == 12  # loaders come to the end before training does
    sampler.load_state_dict(sampler.state_dict(6))
    assert list(islice(sampler, 9)) == taken[6:]
    assert len(sampler) == 14
    list(sampler)
    assert len(sampler) == 14  # of the epoch that training is still in
    assert sampler.state_dict(3)["consumed"] == 12 + 6
    sampler.set_epoch(1)
    assert len(sampler) == 20
    assert sampler.state_dict(0)["consumed"] == 0


@pytest.mark.parametrize("consumed", [-1, 3, 2.5, "4"])
def test_a_count_that_cannot_be_is_refused(consumed: Any) -> None:
    sampler = make("distributed", 20)
    with pytest.raises(SettingError, match=f"found '?{consumed}"):
        sampler.state_dict(consumed)


@pytest.mark.parametrize(
    ("other", "difference"),
    [
        (DistributedPatchSampler(20, seed=1), "seed: the state has 0, this sampler has 1"),
        (DistributedPatchSampler(21), "samples in an epoch: the state has 20, this sampler has 21"),
        (DistributedPatchSampler(20, shuffle=False), "shuffle: the state has True, this sampler has False"),
        (DistributedPatchSampler(SCENES[:20]), "fingerprint of the dataset: the state has [0-9a-f]{64}, this"),
        (BlockShuffleSampler(20), "kind of sampler: the state has distributed, this sampler has block shuffle"),
        (BlockShuffleSampler(20), "block: the state has none, this sampler has 64"),
    ],
)
def test_a_state_of_another_sampler_or_dataset_is_refused_and_changes_nothing(
    other: PatchSampler, difference: str
) -> None:
    state = halfway(make("distributed", 20))
    with pytest.raises(SettingError, match=f"{difference}.*Make the sampler as it was"):
        other.load_state_dict(state)
    assert other.epoch == 0
    assert list(other) == other.order(0).tolist()


def test_ranks_may_drop_or_repeat_after_a_state_as_they_like() -> None:
    state = halfway(make("distributed", 20))
    resumed = make("distributed", 20, drop_last=True, rank=0, world_size=5)
    resumed.load_state_dict(state)
    assert len(list(resumed)) == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rank": 0}, "give both rank and world_size"),
        ({"world_size": 2}, "give both rank and world_size"),
        ({"rank": 2, "world_size": 2}, "rank from 0 to world_size - 1; found rank=2, world_size=2"),
        ({"rank": -1, "world_size": 2}, "found rank=-1"),
        ({"rank": 0, "world_size": 0}, "found rank=0, world_size=0"),
        ({"rank": 0.5, "world_size": 2}, "expected rank as an integer; found 0.5"),
        ({"seed": None}, "expected seed as an integer; found None"),
        ({"seed": "0"}, "expected seed as an integer; found '0'"),
    ],
)
def test_ranks_and_seeds_that_cannot_be_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        DistributedPatchSampler(10, **options)


def test_an_epoch_must_be_a_number_and_may_be_numpys() -> None:
    sampler = DistributedPatchSampler(10, seed=np.int64(2))
    sampler.set_epoch(np.uint8(3))
    assert list(sampler) == DistributedPatchSampler(10, seed=2).order(3).tolist()
    assert json.dumps(sampler.state_dict())
    with pytest.raises(SettingError, match="epoch as an integer; found 1"):
        sampler.set_epoch(1.0)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", KINDS)
def test_a_sampler_goes_to_other_processes_with_its_place(kind: str) -> None:
    sampler = make(kind, 30)
    sampler.load_state_dict(halfway(sampler))
    copied = pickle.loads(pickle.dumps(sampler))
    assert copied.state_dict() == sampler.state_dict()
    iterator = iter(sampler)
    next(iterator)
    again = pickle.loads(pickle.dumps(sampler))
    assert list(copied) == list(again) == list(sampler)


def test_an_iteration_that_is_under_way_keeps_its_epoch() -> None:
    sampler = DistributedPatchSampler(30)
    iterator = iter(sampler)
    first = list(islice(iterator, 10))
    sampler.set_epoch(1)
    assert first + list(iterator) == sampler.order(0).tolist()
    assert sampler.state_dict()["epoch"] == 1
    assert list(sampler) == sampler.order(1).tolist()
