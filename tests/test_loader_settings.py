"""What loaders are set to where the user says nothing, and that they do what they are set to."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, SequentialSampler

from sar_h5 import SARH5Dataset, loader_settings
from sar_h5.errors import SettingError
from sar_h5.loader_settings import LoaderSettings, make_loader
from tests.patch_files import make_codes, make_lut, write_file


@pytest.fixture
def dataset(tmp_path: Path) -> SARH5Dataset:
    return SARH5Dataset(write_file(tmp_path / "a.h5", make_codes((10, 8, 8), 200, "u1"), make_lut(200)))


@pytest.mark.parametrize(("cores", "workers"), [(1, 0), (2, 1), (5, 4), (64, 4)])
def test_workers_leave_a_core_to_the_model(monkeypatch: pytest.MonkeyPatch, cores: int, workers: int) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(loader_settings, "usable_cores", lambda: cores)
    assert LoaderSettings().workers() == workers
    assert LoaderSettings(num_workers=7).workers() == 7


def test_windows_gets_no_workers_unless_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(loader_settings, "usable_cores", lambda: 16)
    assert LoaderSettings().workers() == 0
    assert LoaderSettings(num_workers=2).workers() == 2


@pytest.mark.parametrize("there", [True, False])
def test_memory_is_page_locked_where_there_is_an_accelerator(monkeypatch: pytest.MonkeyPatch, there: bool) -> None:
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: there)
    assert LoaderSettings().pins() is there
    assert LoaderSettings(pin_memory=not there).pins() is not there


def test_a_training_loader_drops_the_last_batch_and_others_do_not(dataset: SARH5Dataset) -> None:
    settings = LoaderSettings(batch_size=4, eval_batch_size=3, num_workers=0)
    sizes = {
        training: [len(batch) for batch in make_loader(DataLoader, dataset, settings, training=training)]
        for training in (True, False)
    }
    assert sizes == {True: [4, 4], False: [3, 3, 3, 1]}
    assert make_loader(DataLoader, dataset, LoaderSettings(batch_size=4), training=False).batch_size == 8


def test_workers_stay_between_epochs(dataset: SARH5Dataset) -> None:
    loader = make_loader(DataLoader, dataset, LoaderSettings(batch_size=4, num_workers=1), training=False)
    assert (loader.num_workers, loader.persistent_workers, loader.prefetch_factor) == (1, True, 2)
    plain = make_loader(DataLoader, dataset, LoaderSettings(num_workers=0), training=False)
    assert (plain.persistent_workers, plain.prefetch_factor) == (False, None)


def test_a_sampler_and_a_kind_of_loader_are_taken(dataset: SARH5Dataset) -> None:
    class Loader(DataLoader):
        """One of its own kind."""

    sampler = SequentialSampler(range(3))
    loader = make_loader(Loader, dataset, LoaderSettings(batch_size=2, num_workers=0), training=True, sampler=sampler)
    assert isinstance(loader, Loader)
    assert loader.sampler is sampler
    assert [len(batch) for batch in loader] == [2]


@pytest.mark.parametrize(
    ("name", "value"), [("batch_size", 0), ("eval_batch_size", 0), ("num_workers", -1), ("prefetch_factor", 0)]
)
def test_numbers_too_small_are_refused(name: str, value: int) -> None:
    with pytest.raises(SettingError, match=f"expected {name} of at least .*; found {value}"):
        LoaderSettings(**{name: value})


@pytest.mark.parametrize("setting", [{"batch_size": None}, {"batch_size": "64"}, {"num_workers": 1.5}])
def test_what_is_no_integer_is_refused(setting: dict[str, Any]) -> None:
    with pytest.raises(SettingError, match=f"expected {next(iter(setting))} as an integer"):
        LoaderSettings(**setting)
