"""Which patches are asked for: each condition narrows the choice, and what cannot be is said."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from sar_h5 import export_index
from sar_h5.errors import FormatError, SettingError
from sar_h5.tables.patch_choice import PatchChoice, as_scenes, read_choice
from tests.patch_files import make_codes, make_lut, write_file


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Ten patches, by turns of scenes a and b; row is three times the number."""
    path = write_file(tmp_path / "vv.h5", make_codes((10, 8, 8), 50, "u1"), make_lut(50))
    with h5py.File(path, "a") as f:
        f["splits/default"] = np.array([1, 1, 1, 2, 2, 2, 3, 3, 0, 1], np.uint8)
        f["splits/other"] = np.array([3] * 10, np.uint8)
    return path


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ({}, range(10)),
        ({"scenes": ("b",)}, [1, 3, 5, 7, 9]),
        ({"scenes": ("b", "a")}, range(10)),
        ({"split": "train"}, [0, 1, 2, 9]),
        ({"split": "validation"}, [3, 4, 5]),
        ({"split": "test", "split_name": "other", "where": "row < 7"}, [0, 1, 2]),
        ({"split": "train", "where": "row > 2", "scenes": ("b",)}, [1, 9]),
    ],
)
def test_all_conditions_hold_for_what_is_chosen(file: Path, choice: dict[str, object], expected: list[int]) -> None:
    asked = PatchChoice(**choice)  # type: ignore[arg-type]
    table, chosen = read_choice(file, asked)
    assert chosen.tolist() == list(expected)
    assert (table.count, asked.takes_all) == (10, choice == {})
    names = {"scenes": "scene"}
    index = {names.get(name, name): value for name, value in choice.items()}
    summary = export_index(file, file.with_suffix(".csv"), **index)  # type: ignore[arg-type]
    assert summary.patches == len(chosen)


def test_what_cannot_be_chosen_is_said(file: Path) -> None:
    with pytest.raises(SettingError, match=r"has no scene 'c'; the nearest are"):
        read_choice(file, PatchChoice(scenes=("a", "c")))
    with pytest.raises(SettingError, match=r"none of its 10 patches .*'where': 'row > 20'.*'split': 'train'"):
        read_choice(file, PatchChoice(where="row > 20", split="train", scenes=("a",)))
    with pytest.raises(FormatError, match="expected splits called 'mine'"):
        read_choice(file, PatchChoice(split="val", split_name="mine"))
    with pytest.raises(SettingError):
        PatchChoice(where="row >")
    assert (as_scenes("abc"), as_scenes(["a", "b"])) == (("abc",), ("a", "b"))


def test_a_split_that_names_patches_the_file_has_not_is_damage(file: Path) -> None:
    with h5py.File(file, "a") as f:
        f["splits/long"] = np.ones(12, np.uint8)
    with pytest.raises(FormatError):
        read_choice(file, PatchChoice(split="train", split_name="long"))
