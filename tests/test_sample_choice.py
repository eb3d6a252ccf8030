"""Splits of one file and of joined files, which must agree on every patch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from sar_h5 import SARH5Dataset
from sar_h5.errors import FormatError, SettingError
from sar_h5.stores.file_patches import FilePatches
from sar_h5.stores.joined_files import JoinedFiles
from sar_h5.stores.sample_choice import choose_split
from tests.patch_files import Place, make_codes, make_lut, set_places, write_file

PLACES: list[Place] = [("a", 0, 0), ("a", 0, 8), ("b", 0, 0), ("b", 8, 8), ("c", 0, 0)]
TRAIN, VAL, TEST, UNUSED = 1, 2, 3, 0


def write_split(path: Path, members: dict[Place, int], polarization: str, split: str = "default") -> Path:
    places = list(members)
    write_file(path, make_codes((len(places), 8, 8), 50, "u1"), make_lut(50))
    set_places(path, places, polarization)
    with h5py.File(path, "r+") as file:
        file[f"splits/{split}"] = np.array(list(members.values()), dtype=np.uint8)
    return path


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Two files in different order; the first has not the last place, the second not the first one."""
    members = dict(zip(PLACES, (VAL, TRAIN, VAL, TRAIN, TEST), strict=True))
    backwards = dict(reversed(members.items()))
    del members[PLACES[4]], backwards[PLACES[0]]
    return [write_split(tmp_path / "vv.h5", members, "vv"), write_split(tmp_path / "vh.h5", backwards, "vh")]


def places_of(dataset: SARH5Dataset) -> list[Place]:
    columns = (dataset.index[name].tolist() for name in ("scene", "row", "col"))
    return [(dataset.scenes["name"][scene], row, col) for scene, row, col in zip(*columns, strict=True)]


def test_files_that_agree_give_the_patches_of_the_split_in_order(files: list[Path]) -> None:
    assert places_of(SARH5Dataset(files, split="train")) == [PLACES[1], PLACES[3]]
    assert places_of(SARH5Dataset(files, split="val", how="inner")) == [PLACES[2]]
    numbers = choose_split(JoinedFiles(files, "outer"), "validation", "default")
    assert numbers.dtype == np.int64
    assert numbers.tolist() == [0, 2]


def test_a_patch_that_one_file_alone_has_follows_that_file(files: list[Path]) -> None:
    assert places_of(SARH5Dataset(files, split="val", how="outer")) == [PLACES[0], PLACES[2]]


@pytest.mark.parametrize("how", ["inner", "outer"])
@pytest.mark.parametrize("file", [0, 1])
@pytest.mark.parametrize("member", [UNUSED, VAL, TEST])
def test_files_that_disagree_are_refused(files: list[Path], how: Any, file: int, member: int) -> None:
    with h5py.File(files[file], "r+") as handle:
        handle["splits/default"][1 if file == 0 else 3] = member  # of PLACES[1], which is for training
    with pytest.raises(
        SettingError, match=r"agree on split 'default'; 1 patches are in train in one of .*vv\.h5 .*vh\.h5"
    ):
        SARH5Dataset(files, split="train", how=how)


def test_a_split_of_which_the_join_leaves_nothing_is_refused(files: list[Path]) -> None:
    with h5py.File(files[0], "r+") as handle:
        handle["splits/default"][:] = [TEST, TRAIN, TRAIN, TRAIN]
    with h5py.File(files[1], "r+") as handle:
        handle["splits/default"][:] = [TEST, TRAIN, TRAIN, TRAIN]
    with pytest.raises(
        SettingError, match=r"split test of 'default' is empty: .* in all of .*vv\.h5 \+ .*how=\"outer\""
    ):
        SARH5Dataset(files, split="test")
    assert places_of(SARH5Dataset(files, split="test", how="outer")) == [PLACES[0], PLACES[4]]


def test_a_file_that_lacks_the_split_or_its_members_is_named(files: list[Path], tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"vv\.h5: split test of 'default' is empty"):
        SARH5Dataset(files, split="test")
    other = write_split(tmp_path / "hh.h5", {PLACES[1]: TRAIN}, "hh", split="other")
    with pytest.raises(FormatError, match=r"hh\.h5: expected splits called 'default' .* holds other"):
        SARH5Dataset([files[0], other], split="train")
    assert len(SARH5Dataset(other, split="train", split_name="other")) == 1
    with pytest.raises(SettingError, match="not both"):
        SARH5Dataset(files, split="train", indices=[0])


@pytest.mark.parametrize("joined", [False, True])
def test_a_split_that_names_patches_beyond_the_file_is_refused(files: list[Path], joined: bool) -> None:
    with h5py.File(files[0], "r+") as handle:
        del handle["splits/default"]
        handle["splits/default"] = np.full(9, TRAIN, np.uint8)
    with pytest.raises(
        FormatError, match=r"vv\.h5: split 'default' names patch 8, but the file has 4; run `sar-h5 verify"
    ):
        choose_split(JoinedFiles(files) if joined else FilePatches(files[0]), "train", "default")
