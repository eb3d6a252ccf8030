"""``convert`` refuses what cannot fit before any long work, with one message and nothing left."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from sar_h5 import convert
from sar_h5.errors import InsufficientMemoryError, OutputError
from sar_h5.forecasts import fit_check, memory_need
from sar_h5.raster_job import RasterJob
from tests.command_line import CommandLine
from tests.conftest import make_shards


@pytest.fixture
def untouched(monkeypatch: pytest.MonkeyPatch) -> None:
    """No raster may be surveyed."""

    def survey(*_: object) -> None:
        raise AssertionError("the survey has begun")

    monkeypatch.setattr(RasterJob, "survey", survey)


@pytest.mark.usefixtures("untouched")
def test_too_little_memory_is_refused_before_any_pixel_is_read(
    products: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(memory_need, "allowed_memory_nbytes", lambda: 100_000_000)
    message = r"takes about \d+ MB of memory, this process may have 100 MB .* nothing was written"
    with pytest.raises(InsufficientMemoryError, match=message):
        convert(products, tmp_path / "h5")
    assert not (tmp_path / "h5").exists()
    refusal = CommandLine(monkeypatch, capsys).refuse("convert", products, "--out", tmp_path / "h5", untouched=tmp_path)
    assert "this process may have 100 MB" in refusal


@pytest.mark.usefixtures("untouched")
def test_too_little_disk_is_refused_before_the_pass_for_the_bounds(
    products: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fit_check, "LONG_WORK_NBYTES", 0)
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=10_000))
    with pytest.raises(OutputError, match=r"expected about 0\.\d+ GB of free disk for the result"):
        convert(products, tmp_path / "h5", patch_size=64)
    assert not (tmp_path / "h5").exists()


def test_what_fits_is_converted_as_before(products: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_shards(tmp_path)
    plain = [convert(products, tmp_path / "a", patch_size=64), convert(tmp_path, tmp_path / "b")]
    monkeypatch.setattr(fit_check, "LONG_WORK_NBYTES", 0)
    checked = [convert(products, tmp_path / "c", patch_size=64), convert(tmp_path, tmp_path / "d")]
    for one, other in zip(plain, checked, strict=True):
        assert [file.content_digest for file in one] == [file.content_digest for file in other]


def test_broken_rasters_are_still_named_where_the_size_is_told_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fit_check, "LONG_WORK_NBYTES", 0)
    shards = np.zeros((3, 32, 32), dtype=np.float32)
    shards[0] = np.nan
    np.save(tmp_path / "p-vv.npy", shards)
    with pytest.raises(OSError, match="patch 0 holds NaN"):
        convert(tmp_path, tmp_path / "h5", vmin=1, vmax=2)
    assert [path.name for path in tmp_path.iterdir()] == ["p-vv.npy"]
