"""What a file holds is read as it is now, whoever has it open, and named where it is damaged."""

from __future__ import annotations

import warnings
from pathlib import Path

import h5py
import numpy as np
import pytest

from sar_h5 import SARH5Dataset, SceneSplit, export_index, plot_footprints, split_file
from sar_h5.contents import holds_codes, read_columns, read_split
from sar_h5.errors import FormatError
from sar_h5.maps.scene_map import read_scene_map
from sar_h5.splits.leakage import LeakageWarning
from tests.patch_files import make_codes, make_lut, write_file

TWO = SceneSplit((0.5, 0.5))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = write_file(tmp_path / "vv.h5", make_codes((12, 8, 8), 50, "uint8"), make_lut(50))
    with h5py.File(path, "r+") as file:
        file["scenes/height"][:] = file["scenes/width"][:] = 100
        file["scenes/transform"][:] = np.nan
    return path


def test_splits_made_while_the_process_reads_the_file_are_seen_by_everything(path: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    dataset = SARH5Dataset(path)
    dataset[0]
    with h5py.File(path) as file, warnings.catch_warnings():
        warnings.simplefilter("ignore", LeakageWarning)
        assert "splits" not in file
        split_file(path, TWO, name="mine")
        train = read_split(path, "train", "mine")
        chosen = SARH5Dataset(path, where="split_mine == 'train'")
        summary = export_index(path, tmp_path / "index.csv", where="split_mine == 'train'")
        members = read_scene_map(path, "mine", 12).split
        assert "train" in dataset._repr_html_()
    assert 0 < len(train) < 12
    assert np.array_equal(chosen.index["patch"], train)
    assert summary.patches == len(train)
    assert members is not None
    assert np.array_equal(np.flatnonzero(members == 1), train)
    assert plot_footprints(path, split="mine").axes


def test_a_group_in_place_of_a_column_is_an_error_of_the_file(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        del file["scenes/name"]
        file.create_group("scenes/name")
    with pytest.raises(FormatError, match=r"vv\.h5: expected a sound file, found damage: .*sar-h5 verify"):
        split_file(path, TWO)


def test_a_group_that_is_not_there_is_named(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        del file["index"]
    with pytest.raises(FormatError, match=r"expected a group /index"):
        read_columns(path, "index")


def test_a_file_tells_whether_it_holds_codes(path: Path, tmp_path: Path) -> None:
    assert holds_codes(path)
    assert not holds_codes(write_file(tmp_path / "floats.h5", np.zeros((3, 8, 8), np.float32)))
