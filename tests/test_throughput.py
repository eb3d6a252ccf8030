"""``bench`` measures real loaders of a real file within its time, and refuses what it cannot measure."""

from __future__ import annotations

import json
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from sar_h5 import convert
from sar_h5.bench_report import LoaderSetting
from sar_h5.errors import SettingError
from sar_h5.machine_limits import copy_rate, decode_rate, disk_rate, transfer_rate
from sar_h5.page_cache import drop_from_cache
from sar_h5.reader import PatchReader
from sar_h5.throughput import bench, list_settings
from tests.command_line import CommandLine
from tests.conftest import make_dn, make_shards


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("bench")
    make_shards(directory)
    convert(directory, directory / "h5")
    return directory / "h5" / "vv.h5"


def test_the_command_measures_within_its_time_and_recommends_a_setting_it_measured(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    started = time.perf_counter()
    outcome = CommandLine(monkeypatch, capsys).run("bench", file, "--seconds", "1", "--json")
    assert time.perf_counter() - started < 30
    assert outcome.code == 0
    assert outcome.err == ""
    report = json.loads(outcome.out)
    assert report["patches"] == len(PatchReader(file).table.offsets)  # type: ignore[union-attr]
    assert report["nbytes"] == file.stat().st_size
    assert all(result["patches_per_s"] > 0 for result in report["measured"])
    assert report["recommended"] in report["measured"]
    assert min(report["limits"][name] for name in ("decode", "copy")) > 0
    assert f"SARH5Dataset({str(file)!r}" in report["code"]


def test_the_line_it_recommends_runs(file: Path) -> None:
    report = bench(file, seconds=0.5)
    names: dict[str, object] = {}
    exec(  # noqa: S102 - the line is there to be pasted
        f"from torch.utils.data import DataLoader\nfrom sar_h5 import BackgroundLoader, SARH5Dataset\n{report.code}",
        names,
    )
    assert sum(len(batch) for batch in names["loader"]) == report.patches  # type: ignore[attr-defined]


def test_settings_use_the_cores_there_are_and_start_with_the_simplest() -> None:
    for cores in (1, 2, 6, 64):
        settings = list_settings(cores)
        assert settings[0] == LoaderSetting(0, 1, 64)
        assert LoaderSetting(0, cores, 64) in settings
        assert LoaderSetting(0, cores, 64, background=True) in settings
        assert max(setting.workers * setting.threads for setting in settings) <= cores
        assert len(settings) == len(set(settings))
        assert {setting.batch_size for setting in settings} == {16, 64, 256}


def test_a_file_of_others_is_measured_too(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("x", data=make_dn(0, (5, 20, 30)), chunks=(5, 20, 30), compression="gzip")
    report = bench(tmp_path / "a.h5", seconds=0.5)
    assert report.patches == 5
    assert all(result.patches_per_s > 0 for result in report.measured)


@pytest.mark.parametrize("seconds", [0, -1, float("nan")])
def test_no_time_is_refused(file: Path, seconds: float) -> None:
    with pytest.raises(SettingError, match="positive number of seconds"):
        bench(file, seconds=seconds)


def test_a_file_without_patches_is_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("patches", (0, 8, 8), "u1", maxshape=(None, 8, 8), chunks=(1, 8, 8))
    with pytest.raises(SettingError, match="holds no patches"):
        bench(tmp_path / "a.h5", seconds=1)


def test_a_missing_file_is_one_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    message = CommandLine(monkeypatch, capsys).refuse("bench", tmp_path / "none.h5", untouched=tmp_path)
    assert "no such file" in message


def test_limits_are_rates(file: Path) -> None:
    reader = PatchReader(file)
    numbers = np.arange(reader.source.shape[0])
    assert decode_rate(reader, numbers, 2, 0.05) > 0
    assert copy_rate(16, 16, 2, 0.05) > 0
    assert (transfer_rate(16, 16, 0.05) is not None) == torch.accelerator.is_available()
    disk = disk_rate(reader, numbers, 2, 0.05)
    assert (disk is not None and disk > 0) == drop_from_cache(file)
