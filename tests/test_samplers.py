"""The samplers: all samples, some, blocks of neighbours, and scenes by weight."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch.utils.data import DataLoader

from sar_h5 import BlockShuffleSampler, DistributedPatchSampler, SARH5Dataset, SceneWeightedSampler, SubsetSampler
from sar_h5.errors import SettingError
from sar_h5.samplers.order import block_shuffled_order, shuffled_order
from tests.patch_files import make_codes, make_lut, write_file

SCENES = np.repeat([0, 1, 2], [50, 30, 20])


def test_all_samples_come_shuffled_or_as_they_lie() -> None:
    assert list(DistributedPatchSampler(9, seed=2)) == shuffled_order(9, 2, 0).tolist()
    in_order = DistributedPatchSampler(9, shuffle=False)
    in_order.set_epoch(3)
    assert list(in_order) == list(range(9))


def test_a_subset_is_the_same_in_every_epoch_in_another_order() -> None:
    sampler = SubsetSampler(SCENES, n=10)
    epochs = []
    for epoch in range(4):
        sampler.set_epoch(epoch)
        epochs.append(list(sampler))
        assert np.bincount(SCENES[epochs[-1]]).tolist() == [5, 3, 2]
    assert len({frozenset(samples) for samples in epochs}) == 1
    assert len({tuple(samples) for samples in epochs}) == 4
    assert set(SubsetSampler(SCENES, n=10, seed=1)) != set(epochs[0])
    assert list(SubsetSampler(SCENES, n=10, shuffle=False)) == sorted(epochs[0])


def test_a_subset_may_be_drawn_anew_in_each_epoch() -> None:
    sampler = SubsetSampler(SCENES, n=10, redraw=True, shuffle=False)
    drawn = [sampler.order(epoch).tolist() for epoch in (0, 1, 2, 1, 0)]
    assert len({tuple(samples) for samples in drawn}) == 3
    assert drawn[:2] == drawn[:-3:-1]


@pytest.mark.parametrize(("fraction", "n"), [(1, 100), (0.5, 50), (0.014, 1), (0.015, 2), (1e-2, 1), (0.999, 100)])
def test_a_fraction_is_taken_to_the_nearest_number(fraction: float, n: int) -> None:
    assert len(list(SubsetSampler(SCENES, fraction=fraction))) == n


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "give n or fraction, one of them; found n=None, fraction=None"),
        ({"n": 3, "fraction": 0.1}, "found n=3, fraction=0.1"),
        ({"n": 0}, "a subset of 1 to 100 samples, as many as there are; found n=0"),
        ({"n": 101}, "found n=101"),
        ({"n": 2.0}, "expected n as an integer; found 2.0"),
        ({"fraction": 0}, "above 0, up to 1; found 0"),
        ({"fraction": 1.1}, "found 1.1"),
        ({"fraction": float("nan")}, "found nan"),
        ({"fraction": 0.001}, "found fraction=0.001, which is 0"),
    ],
)
def test_subsets_that_cannot_be_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        SubsetSampler(SCENES, **options)


def test_a_subset_by_scene_needs_scenes_and_another_does_not() -> None:
    with pytest.raises(SettingError, match=r"the scene numbers themselves.*; found the number 100"):
        SubsetSampler(100, n=10)
    assert len(set(SubsetSampler(100, n=10, stratify=False))) == 10


def test_blocks_are_shuffled_as_asked() -> None:
    sampler = BlockShuffleSampler(1000, block=10, blocks_in_memory=5, seed=3)
    assert list(sampler) == block_shuffled_order(1000, 3, 0, block=10, blocks_in_memory=5).tolist()
    for start in range(0, 1000, 50):
        assert len(set((sampler.order(7)[start : start + 50] // 10).tolist())) == 5


@pytest.mark.parametrize("options", [{"block": 0}, {"blocks_in_memory": -1}])
def test_blocks_of_nothing_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(
        SettingError, match=f"at least 1 of them in memory; found .*{'='.join(map(str, *options.items()))}"
    ):
        BlockShuffleSampler(10, **options)


@pytest.mark.parametrize(
    ("weights", "n", "shares"),
    [
        ("equal", None, [34, 33, 33]),
        ([5, 3, 2], None, [50, 30, 20]),
        ({0: 1, 1: 0, 2: 3}, 400, [100, 0, 300]),
        ("equal", 0, [0, 0, 0]),
    ],
)
def test_scenes_get_their_shares(weights: Any, n: int | None, shares: list[int]) -> None:
    sampler = SceneWeightedSampler(SCENES, weights=weights, n=n)
    samples = list(sampler)
    found = np.bincount(SCENES[samples], minlength=3)
    assert sorted(found.tolist()) == sorted(shares)
    if weights != "equal":
        assert found.tolist() == shares
    assert len(sampler) == sum(shares)


@pytest.mark.parametrize(("source", "n"), [(SCENES, -1), (SCENES[:0], 5)])
def test_epochs_that_cannot_be_filled_are_refused(source: np.ndarray, n: int) -> None:
    with pytest.raises(SettingError, match=f"found n={n} of {len(source)} samples"):
        SceneWeightedSampler(source, n=n)


def test_other_weights_are_another_sampler() -> None:
    state = SceneWeightedSampler(SCENES, weights=[1, 2, 3]).state_dict()
    SceneWeightedSampler(SCENES, weights={0: 1, 1: 2, 2: 3}).load_state_dict(state)
    with pytest.raises(SettingError, match="weights: the state has"):
        SceneWeightedSampler(SCENES, weights=[1, 2, 3.0001]).load_state_dict(state)


def test_a_dataset_of_a_file_is_sampled_by_its_scenes(tmp_path: Path) -> None:
    path = write_file(tmp_path / "a.h5", make_codes((40, 8, 8), 300, "<u2"), make_lut(300))
    dataset = SARH5Dataset(path, indices=[*range(0, 40, 2), 1, 3], sample="dict")  # 20 patches of a, 2 of b
    for sampler, shares in (
        (SceneWeightedSampler(dataset), [11, 11]),
        (SceneWeightedSampler(dataset, weights={"a": 1, "b": 0}), [22, 0]),
        (SubsetSampler(dataset, fraction=0.5), [10, 1]),
        (BlockShuffleSampler(dataset, block=2), [20, 2]),
        (DistributedPatchSampler(dataset), [20, 2]),
    ):
        scenes = [scene for batch in DataLoader(dataset, 4, sampler=sampler) for scene in batch["scene"].tolist()]
        assert [scenes.count(0), scenes.count(1)] == shares


@pytest.mark.parametrize(
    "sampler", [DistributedPatchSampler(0), BlockShuffleSampler(0), SceneWeightedSampler(SCENES[:0])]
)
def test_nothing_gives_nothing(sampler: Any) -> None:
    assert (len(sampler), list(sampler), sampler.state_dict()["consumed"]) == (0, [], 0)
