"""What shards will become, told from samples: the same encoding, codec and about the same size as the conversion gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sar_h5 import convert
from sar_h5.errors import SettingError
from sar_h5.forecasts.forecast import Forecast
from sar_h5.forecasts.shard_forecast import forecast_shards
from sar_h5.radiometry import Bounds, scale_all_dn
from sar_h5.settings import ConvertSettings
from sar_h5.sources.shards import NpyShard
from tests.conftest import make_dn

BOUNDS = Bounds(14.77, 24.54, "the test")


def forecast(path: Path, settings: ConvertSettings, bounds: Bounds | None = BOUNDS) -> Forecast:
    return forecast_shards([NpyShard(path, str(path), "vv")], bounds, settings, "vv")


@pytest.fixture(params=["pipeline", "levels", "noise"])
def shard(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A shard of the reference pipeline, of a few levels of its own, or of noise that no palette holds."""
    generator = np.random.default_rng(0)
    values = {
        "pipeline": scale_all_dn(BOUNDS)[make_dn(0, (60, 64, 64))],
        "levels": np.linspace(0, 1, 77, dtype=np.float32)[generator.integers(0, 77, (60, 64, 64))],
        "noise": generator.random((60, 64, 64), dtype=np.float32),
    }[request.param]
    path = tmp_path / f"{request.param}-vv.npy"
    np.save(path, values)
    return path


@pytest.mark.parametrize("codec", ["fast", "small", "zlib"])
def test_the_forecast_comes_true(shard: Path, tmp_path: Path, codec: str) -> None:
    told = forecast(shard, ConvertSettings(codec=codec))
    (file,) = convert(shard, tmp_path / "h5", vmin=BOUNDS.vmin, vmax=BOUNDS.vmax, codec=codec)
    assert (told.encoding, told.levels, told.codec) == (file.encoding, file.levels, file.codec)
    assert told.nbytes == pytest.approx(file.nbytes, rel=0.15)
    assert told.seconds is not None
    assert told.seconds > 0
    assert ("needs a pass" in told.encoding_note) == shard.name.startswith("levels")


def test_blocks_are_foretold_by_the_stride_or_by_a_sample(tmp_path: Path) -> None:
    values = scale_all_dn(BOUNDS)[make_dn(0, (640, 640))]
    windows = np.lib.stride_tricks.sliding_window_view(values, (128, 128))[::64, ::64].reshape(-1, 128, 128)
    np.save(tmp_path / "a-vv.npy", windows)
    (file,) = convert(tmp_path / "a-vv.npy", tmp_path / "h5", vmin=BOUNDS.vmin, vmax=BOUNDS.vmax, layout="blocks")
    for stride in (None, 64):
        told = forecast(tmp_path / "a-vv.npy", ConvertSettings(layout="blocks", stride=stride))
        assert told.block_size == 64
        assert told.codec == file.codec
        assert told.nbytes == pytest.approx(file.nbytes, rel=0.15)
    assert file.blocks is not None
    assert file.blocks.count == 100


def test_without_bounds_a_sample_tells_the_size_and_no_palette_is_promised(shard: Path) -> None:
    told = forecast(shard, ConvertSettings(), None)
    assert (told.bounds, told.bounds_note) == (None, "missing")
    assert told.encoding_note
    assert told.nbytes > 60 * 64 * 64 / 2


def test_the_share_that_passes_the_filter_is_told(tmp_path: Path) -> None:
    values = np.full((64, 32, 32), 0.5, dtype=np.float32)
    values[::2] = 0
    np.save(tmp_path / "half-vv.npy", values)
    assert forecast(tmp_path / "half-vv.npy", ConvertSettings(min_valid=0.5)).kept_share == 0.5
    assert forecast(tmp_path / "half-vv.npy", ConvertSettings()).kept_share == 1


def test_an_encoding_that_cannot_hold_the_values_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "noise-vv.npy", np.random.default_rng(0).random((60, 64, 64), dtype=np.float32))
    with pytest.raises(SettingError, match="--encoding palette cannot hold these values"):
        forecast(tmp_path / "noise-vv.npy", ConvertSettings(encoding="palette"))
    assert forecast(tmp_path / "noise-vv.npy", ConvertSettings(encoding="float32")).encoding == "float32"
