"""``shuffle_idx.npy`` is honoured where it says something, and refused where it does not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sar_h5.errors import SourceError
from sar_h5.sources.shards import NpyShard, ShardPlace
from sar_h5.sources.shuffle_index import read_shuffle_index
from tests.conftest import make_shards


def save(directory: Path, order: Any, **options: Any) -> Path:
    path = directory / "shuffle_idx.npy"
    np.save(path, order, **options)
    return path


def places(directory: Path, pattern: str = "s1a*.npy") -> list[ShardPlace]:
    return [NpyShard(path, str(path), "vv").place for path in sorted(directory.glob(pattern))]


def test_a_permutation_comes_back_as_it_is(tmp_path: Path) -> None:
    make_shards(tmp_path, counts=(5, 3))
    for dtype in ("i8", "i4", ">i8", "u2", "u8"):
        order = np.random.default_rng(0).permutation(8).astype(dtype)
        found = read_shuffle_index(save(tmp_path, order), tmp_path, places(tmp_path), complete=True)
        assert found.dtype == np.int64
        assert found.tolist() == order.tolist()


def test_a_subset_will_do_with_and_without_a_file_index(tmp_path: Path) -> None:
    make_shards(tmp_path, counts=(5, 3))
    path = save(tmp_path, np.array([7, 0, 4]))
    assert read_shuffle_index(path, tmp_path, places(tmp_path), complete=True).tolist() == [7, 0, 4]
    (tmp_path / "metadata.npy").unlink()
    assert read_shuffle_index(path, tmp_path, places(tmp_path), complete=True).tolist() == [7, 0, 4]


def test_patches_of_shards_that_are_left_out_are_left_out(tmp_path: Path) -> None:
    make_shards(tmp_path, counts=(5, 3, 4))
    first, _, last = places(tmp_path)
    path = save(tmp_path, np.array([11, 5, 0, 7, 8, 4]))
    found = read_shuffle_index(path, tmp_path, [first, last], complete=False)
    assert found.tolist() == [8, 0, 5, 4]  # 5 and 7 lie in the shard between


def test_a_listed_shard_that_is_missing_is_counted(tmp_path: Path) -> None:
    make_shards(tmp_path, counts=(5, 3))
    first, second = places(tmp_path)
    Path(first.path).unlink()
    found = read_shuffle_index(save(tmp_path, np.arange(8)[::-1]), tmp_path, [second], complete=False)
    assert found.tolist() == [2, 1, 0]


def test_an_order_of_one_polarization_of_two_is_recognized(tmp_path: Path) -> None:
    make_shards(tmp_path, counts=(4,), polarization="vh")
    listed = np.load(tmp_path / "metadata.npy", allow_pickle=True).item()["file_index"]
    make_shards(tmp_path, counts=(3, 2), polarization="vv")
    metadata = np.load(tmp_path / "metadata.npy", allow_pickle=True).item()
    metadata["file_index"] = listed + metadata["file_index"]
    np.save(tmp_path / "metadata.npy", np.array(metadata, dtype=object), allow_pickle=True)
    shards = places(tmp_path, "*-vv-*.npy")
    own = save(tmp_path, np.array([4, 3, 2, 1, 0]))
    assert read_shuffle_index(own, tmp_path, shards, complete=True).tolist() == [4, 3, 2, 1, 0]
    of_both = save(tmp_path, np.array([8, 0, 1, 4, 3, 2, 7, 6, 5]))
    assert read_shuffle_index(of_both, tmp_path, shards, complete=True).tolist() == [4, 0, 3, 2, 1]
    with pytest.raises(SourceError, match="none of its 2 patches lies in the shards in use"):
        read_shuffle_index(save(tmp_path, np.array([1, 3])), tmp_path, shards, complete=True)


@pytest.mark.parametrize(
    ("order", "message"),
    [
        ([0, 1, 2, 8], r"numbers of 8 patches, 0 to 7, found 8: it belongs to another set"),
        ([0, -1], "from 0, found -1"),
        ([3, 1, 3, 3], r"found number 3 several times \(2 repeated"),
        ([0.0, 1.0], r"found float64 of shape \(2,\)"),
        ([[0, 1]], r"shape \(1, 2\)"),
        ([], "found float64"),
        (np.array([2**63], dtype=np.uint64), "found 9223372036854775808"),
        ([True, False], "found bool"),
    ],
)
def test_what_is_no_order_is_refused(order: Any, message: str, tmp_path: Path) -> None:
    make_shards(tmp_path, counts=(5, 3))
    with pytest.raises(SourceError, match=message):
        read_shuffle_index(save(tmp_path, order), tmp_path, places(tmp_path), complete=True)


def test_nothing_in_it_is_run_or_trusted(tmp_path: Path) -> None:
    make_shards(tmp_path, counts=(5, 3))
    path = save(tmp_path, np.array([print, 1], dtype=object), allow_pickle=True)
    with pytest.raises(SourceError, match="print"):
        read_shuffle_index(path, tmp_path, places(tmp_path), complete=True)
    path.write_bytes(save(tmp_path, np.arange(8)).read_bytes()[:-4])
    with pytest.raises(SourceError, match=r"shuffle_idx\.npy"):
        read_shuffle_index(path, tmp_path, places(tmp_path), complete=True)


def test_without_a_file_index_nothing_is_guessed_about_shards_left_out(tmp_path: Path) -> None:
    make_shards(tmp_path, counts=(5, 3))
    (tmp_path / "metadata.npy").unlink()
    with pytest.raises(SourceError, match=r"nothing tells which patches it numbers.*shuffled=False"):
        read_shuffle_index(save(tmp_path, np.arange(3)), tmp_path, places(tmp_path)[1:], complete=False)
    with pytest.raises(SourceError, match="found 8"):
        read_shuffle_index(save(tmp_path, np.arange(9)), tmp_path, places(tmp_path), complete=True)
