"""``LazyPatchDataset`` serves what the shards hold, in the order that their directory says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from sar_h5 import LazyPatchDataset, SARH5Dataset, convert
from sar_h5.errors import BadSourceError, BoundsError, SettingError, SourceError
from tests.conftest import make_shards


def test_it_serves_what_a_conversion_of_the_shards_would(tmp_path: Path) -> None:
    make_shards(tmp_path, counts=(5, 3))
    convert(tmp_path, tmp_path / "h5")
    converted, lazy = SARH5Dataset(tmp_path / "h5" / "vv.h5"), LazyPatchDataset(tmp_path)
    assert torch.equal(torch.stack(list(lazy)), torch.stack(list(converted)))
    assert (lazy.vmin, lazy.vmax, lazy.polarization) == (converted.vmin, converted.vmax, "vv")
    assert (lazy.patch_size, lazy.stride) == (32, -1)
    assert lazy.index["scene"].tolist() == converted.index["scene"].tolist()
    assert lazy.scenes["name"].tolist() == converted.scenes["name"].tolist()


def test_the_order_is_that_of_shuffle_idx_unless_told_otherwise(tmp_path: Path) -> None:
    patches = np.concatenate(make_shards(tmp_path, counts=(5, 3)))
    order = np.random.default_rng(0).permutation(8)
    np.save(tmp_path / "shuffle_idx.npy", order)
    assert np.array_equal(torch.cat(list(LazyPatchDataset(tmp_path))).numpy(), patches[order])
    assert np.array_equal(torch.cat(list(LazyPatchDataset(tmp_path, shuffled=False))).numpy(), patches)
    np.save(tmp_path / "shuffle_idx.npy", order + 1)
    with pytest.raises(SourceError, match=r"shuffle_idx\.npy: expected numbers of 8 patches"):
        LazyPatchDataset(tmp_path)
    assert len(LazyPatchDataset(tmp_path, shuffled=False)) == 8


def test_a_broken_shard_is_named_or_left_out_of_the_order(tmp_path: Path) -> None:
    patches = make_shards(tmp_path, counts=(5, 3, 4))
    order = np.random.default_rng(0).permutation(12)
    np.save(tmp_path / "shuffle_idx.npy", order)
    victim = sorted(tmp_path.glob("s1a*.npy"))[1]
    victim.write_bytes(victim.read_bytes()[:-10])
    with pytest.raises(BadSourceError, match=rf"1 source is broken; nothing can be read:\n  {victim}: truncated"):
        LazyPatchDataset(tmp_path)
    lazy = LazyPatchDataset(tmp_path, on_bad_source="skip")
    left = [number for number in order if not 5 <= number < 8]
    assert np.array_equal(torch.cat(list(lazy)).numpy(), np.concatenate(patches)[left])
    assert [bad.path for bad in lazy.skipped] == [str(victim)]


def test_values_are_checked_unless_told_otherwise(tmp_path: Path) -> None:
    np.save(tmp_path / "a-vv.npy", np.full((2, 8, 8), 2, np.float32))
    with pytest.raises(ValueError, match="sample 0, scene a, row -1, column -1"):
        LazyPatchDataset(tmp_path)[0]
    lazy = LazyPatchDataset(tmp_path, check_values=False)
    assert lazy[0].max() == 2
    assert lazy.vmin is None


def test_arguments_that_cannot_be_honoured_are_refused(tmp_path: Path) -> None:
    make_shards(tmp_path, counts=(2,))
    with pytest.raises(SettingError, match='on_bad_source "fail" or "skip"'):
        LazyPatchDataset(tmp_path, on_bad_source="ignore")  # type: ignore[arg-type]
    with pytest.raises(SettingError, match="at least 1 open file"):
        LazyPatchDataset(tmp_path, most_open=0)
    np.save(tmp_path / "global_bounds.npy", np.array([1.0, 2.0]))
    with pytest.raises(BoundsError, match=r"says 14\.77 to 24\.54 dB"):
        LazyPatchDataset(tmp_path)
