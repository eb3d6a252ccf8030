"""The data module: loaders of each stage, in a loop of one's own and in Lightning on two processes."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from sar_h5 import SARDataModule, SubsetSampler
from sar_h5.errors import CorruptPatchError, FormatError, SettingError, SourceError
from tests.patch_files import read_plain, write_file

TRAIN, VAL, TEST = 40, 8, 6
COUNT = TRAIN + VAL + TEST


@pytest.fixture(scope="session")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Patches each of which has a value of its own, number / 100, but for one corner; split in three."""
    return write_split(tmp_path_factory.mktemp("datamodule") / "vv.h5")


def write_split(path: Path) -> Path:
    codes = np.repeat(np.arange(COUNT, dtype=np.uint8), 64).reshape(COUNT, 8, 8)
    codes[:, 0, 0] = 99
    write_file(path, codes, np.arange(100, dtype=np.float32) / 100)
    with h5py.File(path, "r+") as file:
        file["splits/default"] = np.repeat([1, 2, 3], [TRAIN, VAL, TEST]).astype(np.uint8)
    return path


def make(path: Any, **options: Any) -> SARDataModule:
    data = SARDataModule(path, **({"batch_size": 4, "num_workers": 0, "seed": 3} | options))
    data.setup()
    return data


def numbers(batches: Any) -> list[int]:
    return [round(100 * float(image.median())) for batch in batches for image in batch]


def test_each_stage_opens_what_it_needs(path: Path) -> None:
    data = SARDataModule(path)
    data.setup("fit")
    assert (data.train_dataset is None, data.val_dataset is None, data.test_dataset is None) == (False, False, True)
    opened = data.train_dataset
    data.setup("test")
    data.setup("fit")
    assert data.train_dataset is opened
    assert [len(dataset) for dataset in (data.train_dataset, data.val_dataset, data.test_dataset) if dataset] == [
        TRAIN, VAL, TEST,
    ]  # fmt: skip
    assert data.predict_dataset is None


def test_training_is_shuffled_and_turned_anew_in_each_epoch(path: Path) -> None:
    data = make(path, augment=True)
    orders = []
    for epoch in (0, 1):
        data.set_epoch(epoch)
        batches = list(data.train_dataloader())
        orders.append(numbers(batches))
        wanted = read_plain(path, orders[-1], augment=True, seed=3, epoch=epoch)
        assert torch.cat(batches).numpy().tobytes() == wanted.tobytes()
        assert sorted(orders[-1]) == list(range(TRAIN))
    assert orders[0] != orders[1]
    assert orders[0] != sorted(orders[0])


def test_the_last_training_batch_is_dropped_and_no_other(path: Path) -> None:
    data = make(path, batch_size=16)
    assert [len(batch) for batch in data.train_dataloader()] == [16, 16]
    assert [len(batch) for batch in make(path, eval_batch_size=5).val_dataloader()] == [5, 3]


def test_validation_and_test_are_the_patches_of_their_split_as_they_lie(path: Path) -> None:
    data = make(path, augment=True)
    for _ in range(2):
        val, test = torch.cat(list(data.val_dataloader())), torch.cat(list(data.test_dataloader()))
        assert val.numpy().tobytes() == read_plain(path, range(TRAIN, TRAIN + VAL)).tobytes()
        assert test.numpy().tobytes() == read_plain(path, range(TRAIN + VAL, COUNT)).tobytes()


def test_prediction_tells_the_place_of_every_patch(path: Path) -> None:
    batches = list(make(path).predict_dataloader())
    assert torch.cat([batch["index"] for batch in batches]).tolist() == list(range(COUNT))
    assert torch.cat([batch["row"] for batch in batches]).tolist() == [3 * number for number in range(COUNT)]
    assert numbers(batch["image"] for batch in batches) == list(range(COUNT))
    chosen = make(path, predict_split="test").predict_dataloader()
    assert torch.cat([batch["index"] for batch in chosen]).tolist() == list(range(TRAIN + VAL, COUNT))


@pytest.mark.parametrize("stage", ["train", "val", "predict"])
@pytest.mark.parametrize("workers", [0, 1])
def test_scaling_on_the_device_gives_the_same_values(path: Path, stage: str, workers: int) -> None:
    loaders = []
    for on_device in (False, True):
        data = make(path, num_workers=workers, scale_on_device=on_device)
        data.set_epoch(2)
        loaders.append([(data, batch) for batch in getattr(data, f"{stage}_dataloader")()])
    assert len(loaders[0]) == len(loaders[1]) > 0
    for (plain, values), (coded, codes) in zip(*loaders, strict=True):
        assert codes["codes"].dtype == torch.uint8
        assert plain.on_after_batch_transfer(values, 0) is values
        scaled = coded.on_after_batch_transfer(codes, 0)
        if stage == "predict":
            assert set(scaled) == set(values)
            assert all(
                torch.equal(scaled[name], values[name]) for name in values if name not in ("bounds", "transform")
            )
        else:
            assert scaled.numpy().tobytes() == values.numpy().tobytes()
        moved = coded.to_device(codes, "cpu")
        assert torch.equal(
            moved["image"] if stage == "predict" else moved, values["image"] if stage == "predict" else values
        )


@pytest.mark.parametrize("there", [True, False])
def test_codes_go_to_an_accelerator_where_there_is_one(
    path: Path, monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: there)
    batch = next(iter(make(path, pin_memory=False).train_dataloader()))
    assert isinstance(batch, dict) is there


def test_a_file_of_values_is_never_scaled(tmp_path: Path) -> None:
    values = np.random.default_rng(0).random((6, 8, 8), dtype=np.float32)
    path = write_file(tmp_path / "a.h5", values)
    with h5py.File(path, "r+") as file:
        file["splits/default"] = np.array([1, 1, 1, 1, 2, 3], np.uint8)
    data = make(path, scale_on_device=True, augment=False)
    (batch,) = data.train_dataloader()
    assert torch.equal(data.on_after_batch_transfer(batch), batch)
    assert sorted(batch.flatten(1).sum(1).tolist()) == sorted(torch.from_numpy(values[:4]).flatten(1).sum(1).tolist())


def test_several_files_are_channels(path: Path, tmp_path: Path) -> None:
    other = write_split(tmp_path / "vh.h5")
    for on_device in (False, True):
        data = make([path, other], scale_on_device=on_device)
        batch = data.on_after_batch_transfer(next(iter(data.train_dataloader())))
        assert batch.shape == (4, 2, 8, 8)
        assert torch.equal(batch[:, 0], batch[:, 1])


def test_a_sampler_of_the_user_s_own_is_taken(path: Path) -> None:
    data = make(path, sampler=functools.partial(SubsetSampler, n=8, seed=1))
    first = numbers(data.train_dataloader())
    assert len(set(first)) == 8
    data.set_epoch(1)
    assert sorted(numbers(data.train_dataloader())) == sorted(first)


def test_a_loop_of_one_s_own_goes_on_where_it_was(path: Path) -> None:
    whole = [numbers(make_at(path, epoch).train_dataloader()) for epoch in range(3)]
    data = make(path, num_workers=2)
    data.set_epoch(1)
    taken = []
    for count, batch in enumerate(data.train_dataloader(), start=1):
        taken += numbers([batch])
        if count == 4:
            break
    state = json.loads(json.dumps(data.state_dict()))
    resumed = SARDataModule(path, batch_size=4, num_workers=0, seed=3)
    resumed.load_state_dict(state)
    assert resumed.state_dict() == state
    resumed.setup("fit")
    seen = {}
    for epoch in range(resumed.epoch, 3):
        resumed.set_epoch(epoch)
        seen[epoch] = numbers(resumed.train_dataloader())
    assert taken + seen[1] == whole[1]
    assert seen[2] == whole[2]


def make_at(path: Path, epoch: int) -> SARDataModule:
    data = make(path)
    data.set_epoch(epoch)
    return data


def test_a_state_goes_to_loaders_that_are_there_already(path: Path) -> None:
    data, other = make(path), make(path)
    loader = iter(data.train_dataloader())
    first = numbers([next(loader), next(loader)])
    other.train_dataloader()
    other.load_state_dict(data.state_dict())
    assert sorted(first + numbers(other.train_dataloader())) == list(range(TRAIN))


def test_another_epoch_than_that_of_the_state_is_a_whole_one(path: Path) -> None:
    data = make(path)
    next(iter(data.train_dataloader()))
    resumed = make(path)
    resumed.load_state_dict(data.state_dict())
    resumed.set_epoch(5)
    assert (resumed.epoch, len(numbers(resumed.train_dataloader()))) == (5, TRAIN)


def test_states_of_something_else_are_refused(path: Path) -> None:
    data = make(path)
    data.train_dataloader()
    data.load_state_dict({})  # of a checkpoint from before training
    with pytest.raises(SettingError, match="seed"):
        data.load_state_dict(make_trained(path, seed=4).state_dict())
    with pytest.raises(SettingError, match="expected the state of a SARDataModule; found train=7"):
        data.load_state_dict({"train": 7})
    with pytest.raises(SettingError):
        data.load_state_dict({"train": {"epoch": "a"}})


def make_trained(path: Path, **options: Any) -> SARDataModule:
    data = make(path, **options)
    next(iter(data.train_dataloader()))
    return data


def test_bad_samples_are_dealt_with_as_asked(tmp_path: Path) -> None:
    path = write_split(tmp_path / "vv.h5")
    with h5py.File(path, "r+") as file:
        file["patches"][5, 3, 3] = 200  # beyond the table
    data = make(path, on_bad_sample="substitute")
    assert len(numbers(data.train_dataloader())) == TRAIN
    assert data.train_dataset is not None
    assert data.train_dataset.bad_samples == {5: 1}


def test_a_condition_chooses_within_the_splits(path: Path) -> None:
    data = make(path, where="patch < 10 or patch >= 44", batch_size=2)
    assert sorted(numbers(data.train_dataloader())) == list(range(10))
    assert numbers(data.val_dataloader()) == [44, 45, 46, 47]


def test_misuse_is_refused(path: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="expected stage fit, validate, test, predict or None; found 'train'"):
        SARDataModule(path).setup("train")
    for name in ("train", "val", "test", "predict"):
        with pytest.raises(SettingError, match="call setup"):
            getattr(SARDataModule(path), f"{name}_dataloader")()
    with pytest.raises(SettingError, match="batch_size"):
        SARDataModule(path, batch_size=0)
    with pytest.raises(SourceError, match="no such file"):
        SARDataModule(tmp_path / "none.h5").setup("fit")
    unsplit = write_file(tmp_path / "a.h5", np.zeros((4, 8, 8), np.uint8), np.zeros(2, np.float32))
    with pytest.raises(FormatError, match="sar-h5 split"):
        SARDataModule(unsplit).setup("fit")
    with pytest.raises(FormatError, match="other"):
        SARDataModule(path, split_name="other").setup("fit")


def test_a_transform_gets_values_whether_or_not_there_is_an_accelerator(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    data = make(path, pin_memory=False, transform=lambda image: image.mean())
    assert next(iter(data.train_dataloader())).shape == (4,)
    assert next(iter(data.val_dataloader())).dtype == torch.float32
    with_codes = make(path, pin_memory=False, scale_on_device=True, transform=lambda sample: sample["codes"])
    assert next(iter(with_codes.val_dataloader())).dtype == torch.uint8


def test_samplers_of_others_and_epochs_without_a_batch_are_refused(path: Path) -> None:
    with pytest.raises(SettingError, match=r"a sampler of this package, such as .*; found RandomSampler"):
        make(path, sampler=torch.utils.data.RandomSampler).train_dataloader()
    with pytest.raises(SettingError, match=r"at least one batch of 64 .* found 40 samples .* a smaller batch_size"):
        make(path, batch_size=64).train_dataloader()
    with pytest.raises(SettingError, match=r"at least one batch of 4 .* found 3 samples"):
        make(path, sampler=functools.partial(SubsetSampler, n=3)).train_dataloader()


def test_the_files_are_opened_once_for_all_stages(path: Path) -> None:
    data = make(path, cache_nbytes=1 << 20)
    assert data.train_dataset is not None
    assert data.val_dataset is not None
    assert data.train_dataset.caches == data.val_dataset.caches
    list(data.val_dataloader())
    assert data.train_dataset.caches[0].misses == VAL


def test_loaders_are_ordinary_ones(path: Path) -> None:
    data = make(path)
    loaders = [data.train_dataloader(), data.val_dataloader(), data.test_dataloader(), data.predict_dataloader()]
    assert all(isinstance(loader, DataLoader) for loader in loaders)
    assert data.train_dataloader() is loaders[0]


def run_lightning(path: Path, place: Path, *options: str) -> None:
    command = [sys.executable, "-m", "tests.lightning_run", str(path), str(place / "log"), *options]
    done = subprocess.run(
        [*command, "--checkpoint", str(place)],
        cwd=Path(__file__).resolve().parents[1], capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def read_logs(place: Path) -> dict[tuple[str, int], Counter[int]]:
    """How often each patch came, by step and epoch, over all ranks and runs."""
    seen: dict[tuple[str, int], Counter[int]] = {}
    for log in sorted(place.glob("log.*")):
        for line in log.read_text().splitlines():
            step, epoch, found = json.loads(line)
            seen.setdefault((step, epoch), Counter()).update(found)
    return seen


@pytest.mark.parametrize(
    "runs",
    [
        [("--devices", "2", "--die-after", "7", "--workers", "1", "--on-device"), ("--devices", "2", "--on-device")],
        [("--devices", "2", "--die-after", "7"), ("--devices", "1", "--workers", "2", "--die-after", "2"), ("--devices", "2")],
    ],
    ids=["2 ranks", "2, 1, 2 ranks"],
)  # fmt: skip
def test_lightning_on_two_processes_goes_on_with_exactly_what_was_missing(
    path: Path, tmp_path: Path, runs: Sequence[Sequence[str]]
) -> None:
    for options in runs:
        run_lightning(path, tmp_path, *options)
    seen = read_logs(tmp_path)
    assert {key: (sorted(counts), set(counts.values())) for key, counts in seen.items()} == {
        (step, epoch): (list(patches), {1})
        for epoch in range(3)
        for step, patches in (("train", range(TRAIN)), ("val", range(TRAIN, TRAIN + VAL)))
    }


def test_lightning_predicts_every_patch_once_on_two_processes(path: Path, tmp_path: Path) -> None:
    run_lightning(path, tmp_path, "--devices", "2", "--predict")
    assert read_logs(tmp_path) == {("predict", 0): Counter(range(COUNT))}
    assert {len(log.read_text().splitlines()) > 0 for log in tmp_path.glob("log.*")} == {True}


def test_stored_bytes_are_checked_on_request(tmp_path: Path) -> None:
    path = write_split(tmp_path / "vv.h5")  # whose checksums are those of no patch
    assert len(numbers(make(path).val_dataloader())) == VAL
    data = make(path, verify="always")
    for loader in (data.train_dataloader(), data.val_dataloader(), data.predict_dataloader()):
        with pytest.raises(CorruptPatchError, match="expected checksum"):
            next(iter(loader))
    with pytest.raises(SettingError, match='"never" or "always"; found \'often\''):
        SARDataModule(path, verify="often")  # type: ignore[arg-type]
