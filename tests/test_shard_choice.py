"""The shards of a directory: those that go together, or an error that names what is in the way."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sar_h5.errors import BadSourceError, SettingError, SourceError
from sar_h5.sources.shard_choice import choose_shards
from tests.conftest import make_shards


def test_shards_come_in_the_order_of_file_index_with_their_bounds(tmp_path: Path) -> None:
    make_shards(tmp_path, counts=(5, 3))
    metadata = np.load(tmp_path / "metadata.npy", allow_pickle=True).item()
    metadata["file_index"].reverse()
    np.save(tmp_path / "metadata.npy", np.array(metadata | {"stride": 16}, dtype=object), allow_pickle=True)
    chosen = choose_shards(tmp_path, None, skip_broken=False)
    assert [shard.count for shard in chosen.shards] == [3, 5]
    assert chosen.polarization == "vv"
    assert chosen.stride == 16
    assert chosen.bounds is not None
    assert (chosen.bounds.vmin, chosen.bounds.vmax) == (14.77, 24.54)


def test_every_broken_shard_is_named_at_once_or_left_out(tmp_path: Path) -> None:
    make_shards(tmp_path, counts=(5, 3, 2))
    first, second, _ = sorted(tmp_path.glob("s1a*.npy"))
    first.write_bytes(first.read_bytes()[:-1])
    second.write_bytes(b"")
    with pytest.raises(BadSourceError, match=r"2 sources are broken; nothing can be read") as caught:
        choose_shards(tmp_path, None, skip_broken=False)
    assert [(Path(bad.path), bad.reason.split()[0]) for bad in caught.value.sources] == [
        (first, "truncated:"),
        (second, "empty"),
    ]
    assert 'on_bad_source="skip"' in str(caught.value)
    chosen = choose_shards(tmp_path, None, skip_broken=True)
    assert [shard.count for shard in chosen.shards] == [2]
    assert len(chosen.broken) == 2
    sorted(tmp_path.glob("s1a*.npy"))[2].unlink()
    with pytest.raises(BadSourceError, match="3 sources"):
        choose_shards(tmp_path, None, skip_broken=True)


def test_patches_of_another_size_are_broken(tmp_path: Path) -> None:
    for name, size in (("a-vv", 8), ("b-vv", 16), ("c-vv", 8)):
        np.save(tmp_path / f"{name}.npy", np.zeros((2, size, size), np.float32))
    with pytest.raises(BadSourceError, match="patches of 8 x 8 pixels as most shards have, found 16 x 16"):
        choose_shards(tmp_path, None, skip_broken=False)
    assert [shard.info.name for shard in choose_shards(tmp_path, None, skip_broken=True).shards] == ["a", "c"]


def test_of_several_polarizations_one_must_be_chosen(tmp_path: Path) -> None:
    for name in ("a-vh", "a-vv"):
        np.save(tmp_path / f"{name}.npy", np.zeros((2, 8, 8), np.float32))
    with pytest.raises(SettingError, match='shards of vv and vh; say which to read, with polarization="vv"'):
        choose_shards(tmp_path, None, skip_broken=False)
    assert choose_shards(tmp_path, "vh", skip_broken=False).polarization == "vh"
    with pytest.raises(SourceError, match=r"no \.npy shard of polarization hh among 2"):
        choose_shards(tmp_path, "hh", skip_broken=False)
    with pytest.raises(SettingError, match="found 'xx'"):
        choose_shards(tmp_path, "xx", skip_broken=False)


def test_a_polarization_is_given_to_shards_that_tell_none(tmp_path: Path) -> None:
    np.save(tmp_path / "patches.npy", np.zeros((2, 8, 8), np.float32))
    with pytest.raises(BadSourceError, match="nothing tells its polarization"):
        choose_shards(tmp_path, None, skip_broken=False)
    assert choose_shards(tmp_path, "vv", skip_broken=False).polarization == "vv"


def test_places_without_shards_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"found no \.npy shard among 0"):
        choose_shards(tmp_path, None, skip_broken=False)
    with pytest.raises(SourceError, match=r"expected a directory of \.npy shards, found no such directory"):
        choose_shards(tmp_path / "gone", None, skip_broken=False)
    (tmp_path / "vv").mkdir()
    make_shards(tmp_path / "vv", counts=(2,))
    with pytest.raises(SourceError, match=r"found metadata.npy in .*vv; name one of them"):
        choose_shards(tmp_path, None, skip_broken=False)


def test_shards_need_no_rasterio() -> None:
    code = (
        "import sys; import sar_h5.sources.shard_choice, sar_h5.stores.shard_patches; print('rasterio' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
