"""The table of patches: what each column holds, how it is joined and selected by, and files that have none."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from sar_h5 import SARH5Dataset, convert
from sar_h5.errors import FormatError, SettingError, SourceError
from sar_h5.tables.patch_table import read_patch_table, select_patches
from tests.conftest import REAL_SCENE, make_shards
from tests.patch_files import UTM, make_codes, make_lut, write_file

OWN = [
    "patch", "scene", "row", "col", "valid_fraction", "checksum", "scene_name", "source_path", "start_time", "platform", "mode",
    "product_type", "orbit", "pass", "crs", "left", "bottom", "right", "top",
]  # fmt: skip


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Six patches of scenes "a" (with a geo-reference) and "b" in turn."""
    return write_file(tmp_path / "vv.h5", make_codes((6, 8, 8), 200, "u1"), make_lut(200))


@pytest.fixture(scope="module")
def converted(products: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("h5")
    convert(products, out, patch_size=128, stride=64, polarization="vv")
    return out / "vv.h5"


def test_a_patch_has_the_columns_of_the_index_and_of_its_scene(converted: Path) -> None:
    table = read_patch_table(converted)
    assert list(table) == OWN
    dataset = SARH5Dataset(converted)
    for name, values in dataset.index.items():
        np.testing.assert_array_equal(table[name], values)
        assert table[name].dtype == values.dtype
    scenes = dataset.scenes
    for name, called in (("name", "scene_name"), ("start_time", "start_time"), ("orbit", "orbit"), ("pass", "pass")):
        assert table[called].tolist() == scenes[name][dataset.index["scene"]].tolist()
    assert set(table["orbit"].tolist()) == {36201, 36202}
    assert np.isnan(table["left"]).all()
    assert (table.count, table.settings.patch_size, len(table.digest)) == (len(dataset), 128, 64)
    assert all(column.column.long_name for column in table.columns.values())


def test_the_box_of_a_patch_is_the_one_of_its_sample(file: Path) -> None:
    table, dataset = read_patch_table(file), SARH5Dataset(file, sample="dict")
    boxes = np.stack([table[name] for name in ("left", "bottom", "right", "top")], axis=1)
    for number in range(0, 6, 2):
        np.testing.assert_array_equal(boxes[number], dataset[number]["bounds"].numpy())
    assert boxes[0].tolist() == [UTM[2], UTM[5] - 80, UTM[2] + 80, UTM[5]]
    assert np.isnan(boxes[1::2]).all()


def test_splits_are_columns_of_text(file: Path) -> None:
    with h5py.File(file, "a") as f:
        f["splits/default"] = np.array([1, 2, 3, 0, 1, 1], np.uint8)
        f["splits/by time"] = np.zeros(6, np.uint8)
    table = read_patch_table(file)
    assert list(table)[len(OWN) :] == ["split_by time", "split_default"]
    assert table["split_default"].tolist() == ["train", "val", "test", "", "train", "train"]
    assert set(table["split_by time"]) == {""}
    assert select_patches(file, "split_default == 'train' and `split_by time` == ''").tolist() == [0, 4, 5]


def test_a_manifest_is_joined_by_the_name_of_the_scene(file: Path, tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("scene,class,ice\nb,2,true\nz,9,maybe\na,1,false\n")
    table = read_patch_table(file, tmp_path / "m.csv")
    assert list(table)[len(OWN) :] == ["class", "ice"]
    assert table["class"].tolist() == [1, 2] * 3
    assert table["ice"].tolist() == [False, True] * 3
    assert select_patches(file, "class == 2 and ice and patch > 1", tmp_path / "m.csv").tolist() == [3, 5]


@pytest.mark.parametrize("header", ["scene,platform,x,left", "name,patch,split_default,row"])
def test_columns_that_the_file_has_already_are_refused_by_name(file: Path, tmp_path: Path, header: str) -> None:
    with h5py.File(file, "a") as f:
        f["splits/default"] = np.ones(6, np.uint8)
    (tmp_path / "m.csv").write_text(f"{header}\na,1,2,3\nb,1,2,3\n")
    clashing = ", ".join(name for name in header.split(",") if name not in ("scene", "name", "x"))
    with pytest.raises(
        SettingError, match=f"m.csv: expected columns that .*vv.h5 does not have itself, found {clashing}; rename"
    ):
        read_patch_table(file, tmp_path / "m.csv")


def test_patches_are_selected_by_any_column(converted: Path) -> None:
    index = SARH5Dataset(converted).index
    numbers = select_patches(converted, "orbit == 36202 and 0.95 < valid_fraction and (row == 0 or col >= 128)")
    expected = (
        (index["scene"] == 1)
        & (index["valid_fraction"] > np.float32(0.95))
        & ((index["row"] == 0) | (index["col"] >= 128))
    )
    assert numbers.dtype == np.int64
    np.testing.assert_array_equal(numbers, np.flatnonzero(expected))
    assert 0 < len(numbers) < len(index["scene"])
    assert len(select_patches(converted, "platform in ['S1A'] and '2021' <= start_time < '2022'")) == len(
        index["scene"]
    )
    assert SARH5Dataset(converted, indices=numbers).index["patch"].tolist() == numbers.tolist()


def test_a_condition_that_holds_for_nothing_is_refused(converted: Path, tmp_path: Path) -> None:
    with pytest.raises(
        SettingError, match=r"where=\"platform == 'S1B'\" holds for none of \d+ patches; `sar-h5 export"
    ):
        select_patches(converted, "platform == 'S1B'")
    with pytest.raises(
        SettingError, match=r"no column season .*there are patch, scene, row, col, valid_fraction, checksum, scene_name"
    ):
        select_patches(converted, "season == 'winter'")
    with pytest.raises(SettingError, match="expected a column"):
        select_patches(tmp_path / "absent.h5", "=")


def test_files_made_from_shards_say_what_they_know(tmp_path: Path) -> None:
    make_shards(tmp_path)
    convert(tmp_path, tmp_path / "h5")
    table = read_patch_table(tmp_path / "h5" / "vv.h5")
    assert set(table["row"].tolist()) == set(table["col"].tolist()) == {-1}
    assert set(table["pass"]) == set(table["crs"]) == {""}
    assert np.isnan(table["top"]).all()
    assert len(select_patches(table.path, "row == -1 and pass == '' and top != top")) == table.count == 8


def test_a_real_scene_is_selected_by_what_it_is(real_data: Path, tmp_path: Path) -> None:
    convert(real_data / REAL_SCENE, tmp_path / "h5", patch_size=128, stride=64, polarization="vh")
    path = tmp_path / "h5" / "vh.h5"
    (tmp_path / "m.csv").write_text(f"name;sea state\n{REAL_SCENE};calm\n")
    index = SARH5Dataset(path).index
    numbers = select_patches(
        path, "platform == 'S1A' and valid_fraction > 0.99 and `sea state` == 'calm'", tmp_path / "m.csv"
    )
    np.testing.assert_array_equal(numbers, np.flatnonzero(index["valid_fraction"] > np.float32(0.99)))


# Files that have no such table


def test_files_of_others_and_files_that_are_not_there_are_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "other.h5", "w") as f:
        f["patches"] = np.zeros((2, 4, 4), np.float32)
    with pytest.raises(FormatError, match="expected a file made by sar-h5 convert"):
        read_patch_table(tmp_path / "other.h5")
    with pytest.raises(SourceError, match="no such file"):
        read_patch_table(tmp_path / "absent.h5")


def replace(f: h5py.File, name: str, values: object) -> None:
    del f[name]
    f[name] = values


@pytest.mark.parametrize(
    ("damage", "message"),
    {
        "no index": (lambda f: f.pop("index"), "expected a group /index"),
        "no column": (lambda f: f.pop("scenes/orbit"), "expected a sound index, found damage: .*orbit"),
        "short": (lambda f: replace(f, "index/row", np.zeros(5, "<i4")), r"/index/row is int32 of shape \(5,\) where int32 of \(6,\)"),
        "floats": (lambda f: replace(f, "index/scene", np.zeros(6)), r"/index/scene is float64 of shape \(6,\) where int32"),
        "flat": (lambda f: replace(f, "scenes/transform", np.zeros(2)), r"/scenes/transform is float64 of shape \(2,\)"),
        "scalar": (lambda f: replace(f, "index/row", 5), "expected a sound index"),
        "number": (lambda f: replace(f, "scenes/name", np.zeros(2)), "expected a sound index"),
        "group": (lambda f: f.create_group("splits/a"), "expected a sound index"),
        "dataset": (lambda f: f.create_dataset("splits", data=[1]), "expected a sound index"),
        "long split": (lambda f: f.create_dataset("splits/a", data=np.zeros(7, "u1")), "/splits/a is uint8 of shape .7,"),
        "odd split": (lambda f: f.create_dataset("splits/a", data=np.full(6, 4, "u1")), "/splits/a holds 4 where 0 to 3"),
        "beyond": (lambda f: replace(f, "index/scene", np.full(6, 2, "<i4")), "/index/scene goes from 2 to 2 with 2 scenes"),
        "negative": (lambda f: replace(f, "index/scene", np.full(6, -1, "<i4")), "/index/scene goes from -1 to -1 with 2"),
        "odd text": (lambda f: replace(f, "scenes/platform", np.array([b"\xff", b"a"])), "expected a sound index"),
    }.values(),
)  # fmt: skip
def test_a_damaged_index_is_a_format_error(file: Path, damage: Callable[[h5py.File], object], message: str) -> None:
    with h5py.File(file, "a") as f:
        damage(f)
    with pytest.raises(FormatError, match=message) as caught:
        read_patch_table(file)
    assert str(caught.value).startswith(str(file))


def test_a_file_cut_short_is_a_format_error(converted: Path, tmp_path: Path) -> None:
    cut = shutil.copy(converted, tmp_path / "cut.h5")
    with cut.open("r+b") as stream:
        stream.truncate(converted.stat().st_size // 2)
    with pytest.raises(FormatError):
        read_patch_table(cut)


def test_selecting_loads_neither_rasterio_nor_torch_nor_pyarrow(file: Path) -> None:
    code = f"""
import sys
from sar_h5.tables.patch_table import select_patches
print(len(select_patches({str(file)!r}, "scene == 0")), [name for name in ("rasterio", "torch", "pyarrow") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "3 []\n"
