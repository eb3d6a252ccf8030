"""``scan``: every broken source by name and reason, and what converting the rest takes; nothing is written."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.lib import format as npy_format

from sar_h5 import convert, scan
from sar_h5.errors import SettingError, SourceError
from sar_h5.forecasts import source_scan
from sar_h5.schema import LAYOUTS, Layout
from tests.command_line import CommandLine, snapshot
from tests.conftest import make_dn, make_shards
from tests.raster_files import write_raster


@pytest.fixture
def command_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    """The command line in this process."""
    return CommandLine(monkeypatch, capsys)


def write_sparse_shard(path: Path, count: int, size: int = 256) -> None:
    """Write a shard whose patches are holes in the file: 0 everywhere, and no room on the disk."""
    with path.open("wb") as file:
        npy_format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": (count, size, size)})
        end = file.tell() + count * size**2 * 4
    os.truncate(path, end)


def break_shards(directory: Path) -> dict[str, str]:
    """Add shards that are broken in every way; return the reason by name."""
    sound = np.linspace(0, 1, 4 * 32 * 32, dtype=np.float32).reshape(4, 32, 32)
    holed, outside = sound.copy(), sound.copy()
    holed[2, 5, 7] = np.nan
    outside[2, 0, 0] = 14.77
    arrays = {
        "nan": holed,
        "out": outside,
        "wide": sound[:, :16],
        "double": sound.astype(np.float64),
        "ints": sound.view(np.int32),
    }
    for name, array in arrays.items():
        np.save(directory / f"x-vv-{name}.npy", array)
    np.save(directory / "x-vv-cut.npy", sound)
    os.truncate(directory / "x-vv-cut.npy", 9_000)
    (directory / "x-vv-empty.npy").touch()
    (directory / "x-vv-noise.npy").write_bytes(b"\x93NUMPY" + bytes(range(100)))
    return {
        "nan": "patch 2 holds NaN",
        "out": "values outside [0, 1] such as 14.77",
        "wide": "expected shape (n, P, P), found (4, 16, 32)",
        "double": "expected dtype float32, found float64",
        "ints": "expected dtype float32, found int32",
        "cut": "truncated: the header promises 4 patches",
        "empty": "empty file (0 bytes)",
        "noise": "expected a .npy",
    }


@pytest.mark.parametrize("deep", [False, True])
def test_every_broken_shard_is_named_with_the_reason_and_the_rest_is_planned(tmp_path: Path, deep: bool) -> None:
    make_shards(tmp_path, counts=(5, 3))
    (tmp_path / "metadata.npy").unlink()
    reasons = break_shards(tmp_path)
    before = snapshot(tmp_path)
    report = scan(tmp_path, vmin=14.77, vmax=24.54, deep=deep)
    found = {Path(source.path).stem.removeprefix("x-vv-"): source.reason for source in report.broken}
    assert set(found) == set(reasons)
    for name, reason in reasons.items():
        assert reason in found[name]
    (planned,) = report.plans
    assert (planned.scenes, planned.patches, planned.patch_size, planned.problems) == (2, 8, 32, ())
    assert not report.ok
    assert snapshot(tmp_path) == before


def test_only_a_deep_scan_finds_a_value_between_the_places_that_are_looked_at(tmp_path: Path) -> None:
    patches = np.zeros((60, 32, 32), dtype=np.float32)
    patches[17, 3, 3] = np.nan
    np.save(tmp_path / "p-vv.npy", patches)
    assert scan(tmp_path, vmin=1, vmax=2).ok
    (broken,) = scan(tmp_path, vmin=1, vmax=2, deep=True).broken
    assert broken.reason.startswith("patch 17 holds NaN")


def test_44_shards_of_4_gigabytes_are_scanned_in_seconds(tmp_path: Path) -> None:
    counts = {}
    for number in range(44):
        path = tmp_path / f"p-{'vv' if number < 30 else 'vh'}-{number:02d}.npy"
        counts[path.name] = 16_385
        write_sparse_shard(path, 16_385)
    os.truncate(tmp_path / "p-vv-07.npy", 4_000_000_000)
    bounds = {"vmin": 14.77, "vmax": 24.54, "file_index": list(counts.items()), "stride": 128}
    np.save(tmp_path / "metadata.npy", np.array(bounds, dtype=object), allow_pickle=True)
    started = time.perf_counter()
    report = scan(tmp_path)
    assert time.perf_counter() - started < 10
    assert [(plan.polarization, plan.patches) for plan in report.plans] == [("vv", 29 * 16_385), ("vh", 14 * 16_385)]
    assert sum(plan.source_nbytes for plan in report.plans) == 43 * 16_385 * 256**2 * 4
    assert [Path(source.path).name for source in report.broken] == ["p-vv-07.npy"]
    assert "truncated" in report.broken[0].reason


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_plan_of_products_comes_true(products: Path, tmp_path: Path, layout: Layout) -> None:
    settings: dict[str, Any] = {"patch_size": 64, "stride": 32, "layout": layout}
    report = scan(products, out=tmp_path / "not" / "yet", deep=True, **settings)
    assert report.ok
    assert not (tmp_path / "not").exists()
    assert ("in blocks of 32 x 32 px" in report.to_text()) == (layout == "blocks")
    for planned, file in zip(report.plans, convert(products, tmp_path / "h5", **settings), strict=True):
        assert planned.forecast is not None
        assert planned.forecast.bounds is not None
        assert planned.polarization == file.polarization
        assert planned.patches == file.patches + file.dropped
        assert (planned.forecast.bounds.vmin, planned.forecast.bounds.vmax) == (file.vmin, file.vmax)
        assert planned.forecast.levels == file.levels
        # The shuffle follows from samples, which are not the same ones.
        assert planned.forecast.codec.split(",")[0] == file.codec.split(",")[0]
        assert planned.forecast.kept_share * planned.patches == pytest.approx(file.patches, rel=0.2)
        assert planned.forecast.nbytes * file.patches / planned.patches == pytest.approx(file.nbytes, rel=0.2)
        assert planned.forecast.seconds is not None
        assert planned.most_scene_patches == planned.patches / 2


def test_without_a_deep_scan_bounds_of_products_are_a_guess_and_said_to_be(products: Path) -> None:
    vv, _ = scan(products, patch_size=64).plans
    assert vv.forecast is not None
    assert vv.forecast.bounds is not None
    assert vv.forecast.bounds_note == "percentiles 1 and 99: needs a pass over all pixels; these are of a sample"
    given, _ = scan(products, patch_size=64, vmin=1, vmax=2).plans
    assert given.forecast is not None
    assert given.forecast.bounds_note == "given as vmin and vmax"


def test_rasters_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    write_raster(tmp_path / "good-vv.tif", make_dn(1, (300, 300)))
    write_raster(tmp_path / "cut-vv.tif", make_dn(2, (300, 300)), blockysize=1)
    os.truncate(tmp_path / "cut-vv.tif", 150_000)
    write_raster(tmp_path / "flat-vv.tif", np.full((300, 300), 7, dtype=np.uint16))
    write_raster(tmp_path / "tiny-vv.tif", make_dn(3, (30, 300)))
    (tmp_path / "empty-vv.tif").touch()
    quick = {Path(source.path).name: source.reason for source in scan(tmp_path).broken}
    assert set(quick) == {"cut-vv.tif", "tiny-vv.tif", "empty-vv.tif"}
    assert "less than one patch" in quick["tiny-vv.tif"]
    report = scan(tmp_path, deep=True)
    deep = {Path(source.path).name: source.reason for source in report.broken}
    assert set(deep) == {*quick, "flat-vv.tif"}
    assert "is constant" in deep["flat-vv.tif"]
    assert report.plans[0].scenes == 1


@pytest.mark.parametrize("encoding", ["auto", "float32"])
def test_float_rasters_are_planned_and_doubtful_units_are_a_problem(tmp_path: Path, encoding: str) -> None:
    power = (make_dn(1, (300, 400)).astype(np.float32) / 400) ** 2
    write_raster(tmp_path / "sea-vv.tif", power)
    (planned,) = scan(tmp_path, encoding=encoding).plans
    assert planned.forecast is not None
    assert planned.forecast.encoding == ("palette" if encoding == "auto" else "float32")
    assert ("needs a pass over all pixels" in planned.forecast.encoding_note) == (encoding == "auto")
    write_raster(tmp_path / "land-vv.tif", -10 - power)
    report = scan(tmp_path, encoding=encoding)
    assert "convert them apart" in report.problems[0]
    assert not report.ok


def test_float_rasters_without_anything_to_scale_are_named_by_a_deep_scan(tmp_path: Path) -> None:
    power = (make_dn(1, (300, 400)).astype(np.float32) / 400) ** 2
    write_raster(tmp_path / "good-vv.tif", power)
    write_raster(tmp_path / "nan-vv.tif", np.full_like(power, np.nan))
    write_raster(tmp_path / "flat-vv.tif", np.full_like(power, 0.25))
    assert scan(tmp_path, units="linear").broken == ()
    reasons = {Path(source.path).name: source.reason for source in scan(tmp_path, units="linear", deep=True).broken}
    assert set(reasons) == {"nan-vv.tif", "flat-vv.tif"}
    assert "holds no valid pixel" in reasons["nan-vv.tif"]
    assert "is constant" in reasons["flat-vv.tif"]


def test_missing_bounds_are_a_problem_and_size_is_told_all_the_same(tmp_path: Path) -> None:
    make_shards(tmp_path)
    (tmp_path / "metadata.npy").unlink()
    report = scan(tmp_path)
    assert "give them with --vmin and --vmax" in report.problems[0]
    assert report.plans[0].forecast is not None
    assert report.plans[0].forecast.nbytes > 0
    assert scan(tmp_path, vmin=14.77, vmax=24.54).ok


def test_too_little_disk_or_memory_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_shards(tmp_path)
    assert scan(tmp_path).ok
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=100))
    monkeypatch.setattr(source_scan, "allowed_memory_nbytes", lambda: 1_000_000)
    disk, memory = scan(tmp_path, out=tmp_path / "h5").problems
    assert f"{tmp_path / 'h5'}: the results need about" in disk
    assert "this process may have 1 MB" in memory


def test_a_directory_that_convert_could_not_write_to_is_a_problem(
    command_line: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "in").mkdir()
    make_shards(tmp_path / "in")
    (tmp_path / "file").touch()
    before = snapshot(tmp_path)
    for out in (tmp_path / "file", tmp_path / "file" / "a" / "b"):
        outcome = command_line.run("scan", tmp_path / "in", "--out", out)
        reason = (
            f"{out}: expected a directory to write to, found {tmp_path / 'file'}, which is none; choose another --out"
        )
        assert outcome.code == 1
        assert outcome.err == f"sar-h5: this cannot be converted as it is: {reason}\n"
        assert f"problem   {reason}" in outcome.out
        assert "expected a directory to write to" in command_line.refuse(
            "convert", tmp_path / "in", "--out", out, untouched=tmp_path
        )
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path or not mode & os.W_OK)
    report = scan(tmp_path / "in", out=tmp_path / "a" / "b")
    (problem,) = report.problems
    assert f"found {tmp_path}, where nothing can be written; choose another --out" in problem
    assert report.to_dict()["ok"] is False
    assert scan(tmp_path / "in", out=tmp_path / "in" / "a").ok
    assert snapshot(tmp_path) == before


def test_sources_without_scenes_and_settings_without_sense_are_refused(tmp_path: Path) -> None:
    (tmp_path / "shards").mkdir()
    make_shards(tmp_path / "shards")
    with pytest.raises(SourceError, match="found no scene"):
        scan(tmp_path / "shards", polarization="hv")
    with pytest.raises(SourceError, match="nowhere"):
        scan(tmp_path / "nowhere")
    with pytest.raises(SettingError, match="does not fit the shards"):
        scan(tmp_path / "shards", patch_size=64)
    with pytest.raises(SettingError, match="expected codec"):
        scan(tmp_path / "shards", codec="zip")


def test_empty_shards_take_nothing(tmp_path: Path) -> None:
    np.save(tmp_path / "p-vv.npy", np.zeros((0, 32, 32), dtype=np.float32))
    report = scan(tmp_path, vmin=1, vmax=2, deep=True)
    assert report.plans[0].patches == report.needed_nbytes == 0


def test_the_command_prints_a_screenful_and_says_what_stops_the_conversion(
    tmp_path: Path, command_line: CommandLine
) -> None:
    make_shards(tmp_path)
    (tmp_path / "h5").mkdir()
    (tmp_path / "h5" / "vv.h5").touch()
    sound = command_line.run("scan", tmp_path, "--out", tmp_path / "h5")
    assert (sound.code, sound.err) == (0, "")
    assert "at most 8 of 32 x 32 px" in sound.out
    assert "convert needs --overwrite" in sound.out
    plain = json.loads(command_line.run("scan", tmp_path, "--json", "--deep").out)
    assert plain["ok"]
    assert plain["plans"][0]["forecast"]["levels"] > 2
    np.save(
        tmp_path / "s1a-iw-grd-vv-20210110t031653-20210110t031718-036200-043ed0-001.npy", np.ones((5, 32, 32), "f4") * 9
    )
    broken = command_line.run("scan", tmp_path, "--deep")
    assert broken.code == 1
    assert "broken" in broken.out
    assert "values outside [0, 1] such as 9.0" in broken.out
    assert broken.err == "sar-h5: this cannot be converted as it is: 1 source is broken\n"
    assert command_line.run("scan", tmp_path / "none").code == 1
    assert command_line.run("scan").code == 2


def test_where_nothing_can_be_sampled_the_size_follows_from_ratios_and_says_so(tmp_path: Path) -> None:
    write_raster(tmp_path / "border-vv.tif", np.zeros((300, 400), dtype=np.uint16))
    (planned,) = scan(tmp_path).plans
    assert planned.forecast is not None
    assert (planned.forecast.bounds, planned.forecast.sampled, planned.forecast.seconds) == (None, 0, None)
    assert planned.patches * 256**2 < planned.forecast.nbytes < 2 * planned.patches * 256**2
    assert "since nothing could be sampled" in planned.to_text()
    (broken,) = scan(tmp_path, deep=True).broken
    assert "no valid pixel" in broken.reason


def test_percentiles_move_the_bounds(products: Path) -> None:
    wide, narrow = (scan(products, patch_size=64, percentiles=share).plans[0].forecast for share in ((1, 99), (20, 80)))
    assert wide is not None
    assert narrow is not None
    assert wide.bounds is not None
    assert narrow.bounds is not None
    assert wide.bounds.vmin < narrow.bounds.vmin < narrow.bounds.vmax < wide.bounds.vmax


def test_progress_is_shown_where_it_is_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_shards(tmp_path)
    scan(tmp_path, deep=True, progress=True)
    assert "vv check" in capsys.readouterr().err
    scan(tmp_path, deep=True)
    assert capsys.readouterr().err == ""
