"""Damage to recovered places is found by ``verify``."""

from __future__ import annotations

import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest

from sar_h5 import BlockSplit, SARH5Dataset, split_file, verify
from sar_h5.errors import FormatError
from tests.recovered_places import convert_blocks, cut_shards, make_ground


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two scenes without water, all places of which are known."""
    directory = tmp_path_factory.mktemp("sound")
    cut_shards(directory / "shards", [make_ground(seed, 80, 96, water=False) for seed in (1, 2)])
    return convert_blocks(directory / "shards", directory / "h5")


def damaged(sound: Path, directory: Path, column: str, number: int, value: int) -> list[str]:
    """Return the problems after one entry of a column has been changed, without the content digest's."""
    path = Path(shutil.copy(sound, directory / "a.h5"))
    with h5py.File(path, "r+") as f:
        assert f[f"index/{column}"][number] != value
        f[f"index/{column}"][number] = value
    return [str(problem) for problem in verify(path).problems]


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("row", -1, "all three -1"),
        ("col", -7, "all three -1"),
        ("component", -1, "all three -1"),
        ("component", -2, "all three -1"),
        ("row", 17, "multiples of 16, the side of a block"),
        ("row", 480, None),
        ("col", 0, "the block that another patch of its component has at the same place"),
    ],
)
def test_what_cannot_be_is_reported(sound: Path, tmp_path: Path, column: str, value: int, reason: str | None) -> None:
    with h5py.File(sound) as f:
        number = int(np.flatnonzero((f["index/col"][:] == 32) & (f["index/component"][:] == 0))[1])
    problems = damaged(sound, tmp_path, column, number, value)
    if reason is None:
        # Far from all others nothing contradicts it; places have no say in the digest.
        assert problems == []
        return
    assert any("/index/component[" in problem and reason in problem for problem in problems)


def test_a_component_is_in_one_scene(sound: Path, tmp_path: Path) -> None:
    with h5py.File(sound) as f:
        number = int(f["scenes/patch_start"][1])
    problems = damaged(sound, tmp_path, "component", number, 0)
    assert any("a component in one scene only" in problem for problem in problems)


@pytest.mark.parametrize("values", [np.zeros(3, "<i4"), np.zeros(5, "<f4"), None])
def test_a_column_of_another_kind_is_reported(sound: Path, tmp_path: Path, values: np.ndarray | None) -> None:
    path = Path(shutil.copy(sound, tmp_path / "a.h5"))
    with h5py.File(path, "r+") as f:
        del f["index/component"]
        if values is None:
            f.create_group("index/component")
        else:
            f["index/component"] = values
    problems = [problem for problem in verify(path).problems if problem.place == "/index/component"]
    assert len(problems) == 1
    for read in (lambda: SARH5Dataset(path).index, lambda: split_file(path, BlockSplit())):
        with pytest.raises(FormatError, match=r"expected /index/component as <i4 \(40,\), found"):
            read()
