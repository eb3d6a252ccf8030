"""Settings of a conversion: defaults, and every refusal."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sar_h5.cores import usable_cores
from sar_h5.errors import BoundsError, SarH5Error, SettingError
from sar_h5.radiometry import Bounds
from sar_h5.settings import CODECS, ConvertSettings
from sar_h5.tiling import PatchGrid


def test_the_defaults_are_those_of_the_format() -> None:
    settings = ConvertSettings()
    assert settings.grid == PatchGrid(256, 128)
    assert (settings.raster_min_valid, settings.shard_min_valid) == (0.9, 0.0)
    assert (settings.encoding, settings.codec, settings.layout) == ("auto", "fast", "patches")
    assert (settings.percentiles, settings.given_bounds) == ((1, 99), None)
    assert not settings.overwrite


def test_the_grid_takes_each_default_on_its_own() -> None:
    assert ConvertSettings(patch_size=64).grid == PatchGrid(64, 128)
    assert ConvertSettings(stride=1000).grid == PatchGrid(256, 1000)


@pytest.mark.parametrize("min_valid", [0, 0.0, 0.25, 1])
def test_a_given_least_valid_fraction_holds_for_rasters_and_shards(min_valid: float) -> None:
    settings = ConvertSettings(min_valid=min_valid)
    assert settings.raster_min_valid == settings.shard_min_valid == min_valid


def test_given_bounds_say_where_they_come_from() -> None:
    assert ConvertSettings(vmin=14.77, vmax=24.54).given_bounds == Bounds(14.77, 24.54, "given as vmin and vmax")
    assert ConvertSettings(vmin=-3, vmax=0).given_bounds == Bounds(-3, 0, "given as vmin and vmax")


@pytest.mark.parametrize(
    "accepted",
    [
        *({"codec": codec} for codec in CODECS),
        *({"encoding": encoding} for encoding in ("auto", "palette", "dn", "float32")),
        *({"units": units} for units in ("auto", "dn", "linear", "db")),
        *({"shuffle": shuffle} for shuffle in (None, "none", "byte", "bit")),
        *({"clevel": clevel} for clevel in (None, 0, 9)),
        {"valid_measure": "pixels"},
        {"on_bad_source": "skip"},
        {"polarizations": ("vv", "vh", "hh", "hv")},
        {"percentiles": (0, 100)},
        {"jobs": 1},
        {"jobs": 1000},
        {"cache_nbytes": 0},
    ],
    ids=str,
)
def test_every_choice_is_accepted(accepted: dict[str, Any]) -> None:
    settings = ConvertSettings(**accepted)
    assert {name: getattr(settings, name) for name in accepted} == accepted


@pytest.mark.parametrize(
    ("refused", "message"),
    [
        ({"valid_measure": "pixel"}, "expected valid measure range, pixels; found 'pixel'"),
        ({"units": "dB"}, "expected units auto, dn, linear, db; found 'dB'"),
        ({"encoding": "uint16"}, "expected encoding auto, palette, dn, float32; found 'uint16'"),
        ({"codec": "gzip"}, "expected codec fast, small, blosclz, lz4, lz4hc, zlib, zstd; found 'gzip'"),
        ({"layout": "rows"}, "expected layout patches, blocks; found 'rows'"),
        ({"on_bad_source": "ignore"}, "expected policy for bad sources fail, skip; found 'ignore'"),
        ({"polarizations": ("vv", "VH")}, "expected polarization vv, vh, hh, hv; found 'VH'"),
        ({"polarizations": "vv"}, "expected polarization vv, vh, hh, hv; found 'v'"),
        ({"clevel": 10}, "expected a compression level from 0 to 9; found 10"),
        ({"clevel": -1}, "expected a compression level from 0 to 9; found -1"),
        ({"shuffle": "bits"}, "expected shuffle none, byte, bit; found 'bits'"),
        ({"shuffle": ""}, "expected shuffle none, byte, bit; found ''"),
        ({"patch_size": 0}, "the patch size must be at least 1 pixel; found 0"),
        ({"stride": -128}, "the stride must be at least 1 pixel; found -128"),
        ({"min_valid": -0.1}, r"the least valid fraction must lie in \[0, 1\]; found -0.1"),
        ({"min_valid": 90}, r"the least valid fraction must lie in \[0, 1\]; found 90"),
        ({"min_valid": np.nan}, r"the least valid fraction must lie in \[0, 1\]; found nan"),
        ({"vmin": 1.0}, "vmin and vmax belong together"),
        ({"vmax": 0.0}, "vmin and vmax belong together"),
        ({"vmin": 0.0, "vmax": 1.0, "bounds_file": Path(__file__)}, "vmin and vmax, or a bounds file, not both"),
        ({"bounds_file": Path("missing.json")}, "missing.json: the bounds file is not there"),
        ({"bounds_file": Path(__file__).parent}, "the bounds file is not there"),
        ({"jobs": 0}, "the number of jobs must be at least 1; found 0"),
        ({"jobs": -2}, "the number of jobs must be at least 1; found -2"),
        ({"cache_nbytes": -1}, "the memory for pixels cannot be negative; found -1 bytes"),
    ],
    ids=str,
)
def test_what_cannot_be_honoured_is_refused(refused: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        ConvertSettings(**refused)


@pytest.mark.parametrize(
    ("refused", "message"),
    [
        ({"percentiles": (99, 1)}, "percentiles must satisfy 0 <= low < high <= 100; found 99 and 1"),
        ({"percentiles": (1, 101)}, "percentiles must satisfy"),
        ({"vmin": 3.0, "vmax": 3.0}, "vmin must be below vmax; found vmin=3.0 dB, vmax=3.0 dB .given as vmin and vmax"),
        ({"vmin": 3.0, "vmax": 2.0}, "vmin must be below vmax"),
        ({"vmin": np.nan, "vmax": 2.0}, "bounds must be finite"),
        ({"vmin": 3.0, "vmax": np.inf}, "bounds must be finite"),
    ],
    ids=str,
)
def test_bounds_without_a_range_are_refused(refused: dict[str, Any], message: str) -> None:
    with pytest.raises(BoundsError, match=message):
        ConvertSettings(**refused)


def test_there_is_a_thread_for_each_core_that_the_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {1, 5, 6}, raising=False)
    assert ConvertSettings().threads == usable_cores() == 3
    assert ConvertSettings(jobs=7).threads == 7
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 12)
    assert ConvertSettings().threads == 12
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert ConvertSettings().threads == 1


def test_an_existing_bounds_file_is_accepted_unread(tmp_path: Path) -> None:
    path = tmp_path / "bounds.json"
    path.write_text("anything")
    settings = ConvertSettings(bounds_file=path)
    assert settings.bounds_file == path
    assert settings.given_bounds is None


def test_settings_are_frozen_and_checked_again_when_replaced() -> None:
    settings = ConvertSettings()
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.stride = 1  # type: ignore[misc]
    with pytest.raises(SarH5Error, match="the stride"):
        dataclasses.replace(settings, stride=0)
