"""A shard's patches are read by place; what is not there any more is an error."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sar_h5 import open_shard
from sar_h5.open_shard import OpenShard
from sar_h5.sources.shards import NpyShard


@pytest.fixture
def path(tmp_path: Path) -> Path:
    np.save(tmp_path / "a-vv.npy", np.random.default_rng(0).random((5, 9, 9), dtype=np.float32))
    return tmp_path / "a-vv.npy"


@pytest.mark.parametrize("has_preadv", [True, False])
@pytest.mark.parametrize("order", ["<", ">"])
def test_patches_are_those_of_the_array(
    path: Path, order: str, has_preadv: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(open_shard, "_HAS_PREADV", has_preadv and open_shard._HAS_PREADV)
    expected = np.load(path)
    np.save(path, expected.astype(f"{order}f4"))
    shard = OpenShard(NpyShard(path, "a", "vv").place)
    for position in (4, 0, 3):
        patch = np.empty((9, 9), np.float32)
        shard.read(position, patch)
        assert np.array_equal(patch, expected[position])
    shard.close()


def test_a_file_cut_short_is_an_error_before_and_after_it_is_opened(path: Path) -> None:
    place = NpyShard(path, "a", "vv").place
    shard = OpenShard(place)
    data = path.read_bytes()
    with path.open("r+b") as file:
        file.truncate(len(data) - 100)
    patch = np.empty((9, 9), np.float32)
    shard.read(3, patch)
    with pytest.raises(OSError, match="ends 100 bytes early; it was cut or replaced"):
        shard.read(4, patch)
    shard.close()
    with pytest.raises(OSError, match="100 less than before"):
        OpenShard(place)
    path.unlink()
    with pytest.raises(FileNotFoundError):
        OpenShard(place)
