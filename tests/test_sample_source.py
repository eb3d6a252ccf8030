"""What a sampler draws from: counted, with its scenes, and known again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from torch.utils.data import Dataset, Subset

from sar_h5 import SARH5Dataset
from sar_h5.errors import SettingError
from sar_h5.samplers.source import SampleTable
from tests.patch_files import make_codes, make_lut, write_file


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of 12 patches, of scenes a and b in turns."""
    codes = make_codes((12, 8, 8), 300, "<u2")
    return write_file(tmp_path_factory.mktemp("h5") / "a.h5", codes, make_lut(300))


def fingerprint(source: Any) -> str:
    return SampleTable(source).fingerprint


def test_a_dataset_tells_its_scenes_and_their_names(file: Path) -> None:
    table = SampleTable(SARH5Dataset(file, indices=[1, 2, 4]))
    assert table.count == 3
    assert table.scenes.tolist() == [1, 0, 0]
    assert table.scene_names == ["a", "b"]


def test_a_number_and_an_array_do_where_they_suffice() -> None:
    assert SampleTable(np.int32(7)).count == 7
    assert SampleTable(range(5)).count == 5
    table = SampleTable(np.array([3, 3, 9], dtype=np.uint16))
    assert (table.count, table.scenes.tolist(), table.scene_names) == (3, [3, 3, 9], None)


@pytest.mark.parametrize(
    ("source", "found"),
    [(7, "the number 7"), ([1, 2], "list"), (Subset(range(3), [0]), "Subset")],  # type: ignore[arg-type]
)
def test_scenes_that_nobody_knows_are_asked_for(source: Any, found: str) -> None:
    with pytest.raises(SettingError, match=f"says which scene each sample is from.*; found {found}"):
        _ = SampleTable(source).scenes


def test_the_fingerprint_follows_the_samples_not_the_place_of_the_file(file: Path, tmp_path: Path) -> None:
    moved = tmp_path / "b.h5"
    moved.write_bytes(file.read_bytes())
    known = fingerprint(SARH5Dataset(file))
    assert fingerprint(SARH5Dataset(moved, augment=True, sample="dict")) == known
    assert fingerprint(SARH5Dataset(file, indices=range(12))) == known
    others = [fingerprint(SARH5Dataset(file, indices=chosen)) for chosen in ([0, 1], [1, 0], [0, 3], range(11, -1, -1))]
    assert len({known, *others}) == 5
    with h5py.File(moved, "r+") as opened:
        opened["index/checksum"][3] += 1  # another patch at the same place
    assert fingerprint(SARH5Dataset(moved)) != known
    with h5py.File(moved, "r+") as opened:
        opened["index/checksum"][3] -= 1
        opened["scenes/name"][0] = "c"
    assert fingerprint(SARH5Dataset(moved)) != known


def test_the_fingerprint_does_not_depend_on_how_numbers_are_stored() -> None:
    scenes = np.array([0, 2, 1])
    known = fingerprint(scenes)
    assert {fingerprint(scenes.astype(kind)) for kind in ("<i4", ">i8", "u1")} == {known}
    assert fingerprint(scenes[::-1].copy()[::-1]) == known
    assert len({known, fingerprint(scenes[::-1]), fingerprint(3), fingerprint(4), fingerprint(scenes[:2])}) == 5


def test_what_a_source_says_of_itself_counts() -> None:
    class Stated(list[int]):
        fingerprint: str

    one, other = Stated([1, 2]), Stated([1, 2])
    one.fingerprint, other.fingerprint = "ab", "cd"
    assert len({fingerprint(one), fingerprint(other), fingerprint([1, 2])}) == 3


def test_a_file_of_others_is_known_by_its_patches(tmp_path: Path) -> None:
    for name, value in (("a", 0), ("b", 0), ("c", 1)):
        with h5py.File(tmp_path / f"{name}.h5", "w") as opened:
            opened["x"] = np.full((6, 4, 4), value, dtype=np.float32)
    one, same, other = (fingerprint(SARH5Dataset(tmp_path / f"{name}.h5")) for name in "abc")
    assert one == same
    assert len({one, other, fingerprint(6)}) == 3


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (-1, "0 or more; found -1"),
        (2.5, "found float"),
        (None, "found NoneType"),
        (Dataset(), "found Dataset"),
        (np.zeros(3), "found float64 of shape"),
        (np.zeros((2, 2), dtype=int), r"found int64 of shape \(2, 2\)"),
        (np.array(3), r"found int64 of shape \(\)"),
        (np.array([True]), "found bool of shape"),
    ],
)
def test_what_cannot_be_counted_is_refused(source: Any, message: str) -> None:
    with pytest.raises(SettingError, match=message):
        SampleTable(source)
