"""A shard's patches are read by place; what is not there any more is an error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sar_h5.sources.shards import NpyShard
from sar_h5.stores import open_shard
from sar_h5.stores.open_shard import OpenShard
from sar_h5.symmetry import apply_symmetry


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


def read_many(shard: OpenShard, positions: list[int], symmetries: list[int], check: bool = True) -> tuple[int, Any]:
    places = np.arange(len(positions))[::-1].copy()
    out = np.full((len(positions), 9, 9), 7, np.float32)
    turns = np.array(symmetries, np.uint8)
    return shard.read_many(np.array(positions, np.int64), turns, places, out, check=check), out[places]


@pytest.mark.skipif(open_shard._NATIVE is None, reason="no compiled way on this machine")
def test_many_patches_are_read_in_one_go_up_to_the_first_bad_one(path: Path) -> None:
    expected = np.load(path)
    shard = OpenShard(NpyShard(path, "a", "vv").place)
    done, found = read_many(shard, [4, 0, 3, 4], [0, 5, 2, 7])
    assert done == 4
    for patch, position, symmetry in zip(found, [4, 0, 3, 4], [0, 5, 2, 7], strict=True):
        assert np.array_equal(patch, apply_symmetry(expected[position], symmetry))
    for bad in (1.5, -0.1, np.nan):
        changed = expected.copy()
        changed[3, 8, 8] = bad
        np.save(path, changed)
        other = OpenShard(NpyShard(path, "a", "vv").place)
        assert read_many(other, [4, 0, 3, 1], [0] * 4)[0] == 2
        assert read_many(other, [4, 0, 3, 1], [1] * 4, check=False)[0] == 4
        other.close()
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - 1)
    assert read_many(shard, [0, 4], [0, 0])[0] == 1
    shard.close()


@pytest.mark.parametrize("native", [True, False])
def test_patches_without_a_compiled_way_are_left_to_be_read_one_by_one(
    path: Path, native: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(open_shard, "_NATIVE", open_shard._NATIVE if native else None)
    if native:
        np.save(path, np.load(path).astype(">f4"))
    shard = OpenShard(NpyShard(path, "a", "vv").place)
    assert read_many(shard, [0, 1], [0, 0])[0] == 0
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
