"""What the jobs share: sampling at even distances, the plan and its estimate, the check for free disk."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sar_h5.encoding import float_storage, palette_storage
from sar_h5.errors import BoundsError, OutputError, SettingError
from sar_h5.job import check_disk, given_bounds, make_plan, spread, why_no_palette
from sar_h5.palette import Palette
from sar_h5.radiometry import Bounds
from sar_h5.settings import ConvertSettings
from sar_h5.shared_blocks.grid import ExpectedBlocks, cut_sample


@given(st.integers(0, 60), st.integers(1, 20))
def test_spread_takes_distinct_items_in_order_and_from_every_part(length: int, count: int) -> None:
    chosen = spread(range(length), count)
    assert len(chosen) == min(length, count)
    assert chosen == sorted(set(chosen))
    if chosen:
        gaps = np.diff([-1, *chosen, length])
        assert gaps.max() <= 2 * -(-length // len(chosen))


def test_the_plan_estimates_the_compressed_size_of_all_patches() -> None:
    generator = np.random.default_rng(0)
    sample = [generator.random((32, 32), dtype=np.float32) for _ in range(4)]
    plan = make_plan(Bounds(0, 1), float_storage(), sample, 1000, ConvertSettings(codec="lz4", clevel=1))
    mean = np.mean([len(plan.codec.compress(patch)) for patch in sample])
    assert plan.codec.clevel == 1
    assert 1000 * mean < plan.estimated_nbytes < 1000 * (mean + 100)
    assert make_plan(Bounds(0, 1), float_storage(), [], 10, ConvertSettings()).codec.name == "lz4"


def test_the_plan_of_blocks_goes_by_a_sample_of_blocks_and_how_many_there_are() -> None:
    generator = np.random.default_rng(0)
    sample = [generator.integers(0, 200, (64, 64)).astype(np.uint8) for _ in range(4)]
    storage = palette_storage(Palette(np.linspace(0, 1, 200, dtype=np.float32)), from_dn=False)
    plan = make_plan(Bounds(0, 1), storage, sample, 1000, ConvertSettings(), ExpectedBlocks(32, 1100))
    mean = np.mean([len(plan.codec.compress(block)) for block in cut_sample(sample, 32)])
    assert 1100 * mean < plan.estimated_nbytes <= 1100 * (mean + 24) + 1000 * 80
    assert plan.block_size == 32
    nothing = make_plan(Bounds(0, 1), storage, [], 0, ConvertSettings(), ExpectedBlocks(32, 0))
    assert (nothing.estimated_nbytes, nothing.block_size) == (0, 32)


def test_free_disk_is_compared_with_what_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=2_000_000_000))
    check_disk(tmp_path, 2_000_000_000)
    with pytest.raises(OutputError, match=r"expected about 2\.500 GB of free disk for the result, found 2\.000 GB"):
        check_disk(tmp_path, 2_500_000_000)


def test_bounds_come_from_the_settings_as_numbers_or_file_or_not_at_all(tmp_path: Path) -> None:
    (tmp_path / "b.json").write_text("[1, 2]")
    (tmp_path / "bad.json").write_text('{"low": 1}')
    assert given_bounds(ConvertSettings(), "vv") is None
    assert given_bounds(ConvertSettings(vmin=3, vmax=4), "vv") == Bounds(3, 4, "given as vmin and vmax")
    found = given_bounds(ConvertSettings(bounds_file=tmp_path / "b.json"), "vv")
    assert found == Bounds(1, 2, str(tmp_path / "b.json"))
    with pytest.raises(BoundsError, match=r"bad\.json: .*expected a dict with vmin and vmax"):
        given_bounds(ConvertSettings(bounds_file=tmp_path / "bad.json"), "vv")


def test_a_palette_that_was_insisted_on_is_refused_where_it_cannot_hold_the_values() -> None:
    assert "too many for codes" in why_no_palette(ConvertSettings())
    with pytest.raises(SettingError, match="use --encoding float32 or auto"):
        why_no_palette(ConvertSettings(encoding="palette"))
