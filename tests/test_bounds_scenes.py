"""Bounds from listed scenes: exactly their percentiles, whatever lists them, and a record of which they were."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import rasterio

from sar_h5 import SceneSplit, convert, preprocess_sar_complete, split_file, verify
from sar_h5.errors import BadSourceError, BoundsError, FormatError, SettingError
from sar_h5.splits.bounds_scenes import find_bounds_scenes
from tests.conftest import make_dn, make_shards
from tests.raster_files import TRANSFORM, write_raster

KNOWN = ["a", "b", "c"]
PIXELS = {
    name: make_dn(seed, (64, 80), median)
    for seed, (name, median) in enumerate(zip(KNOWN, (100, 150, 400), strict=True))
}


@pytest.fixture(scope="module")
def rasters(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("rasters")
    for number, (name, pixels) in enumerate(PIXELS.items()):
        apart = TRANSFORM @ rasterio.Affine.translation(1000 * number, 0)
        write_raster(directory / f"{name}_vv.tif", pixels, transform=apart)
    return directory


def run(rasters: Path, out: Path, *bounds_from: str | Path, **options: Any) -> Path:
    convert(rasters, out, patch_size=32, stride=16, min_valid=0, bounds_from=bounds_from, **options)
    return out / "vv.h5"


def bounds(path: Path) -> tuple[float, float, list[str]]:
    with h5py.File(path) as f:
        return (
            float(f.attrs["vmin"]),
            float(f.attrs["vmax"]),
            [name.decode() for name in f.attrs["bounds_scenes"].tolist()],
        )


@pytest.mark.parametrize("kind", ["dn", "linear"])
def test_bounds_are_the_percentiles_of_the_listed_scenes(tmp_path: Path, kind: str) -> None:
    pixels = PIXELS if kind == "dn" else {name: (dn.astype(np.float32) / 500) ** 2 for name, dn in PIXELS.items()}
    for name, values in pixels.items():
        write_raster(tmp_path / "in" / f"{name}_vv.tif", values)
    options: dict[str, Any] = {} if kind == "dn" else {"units": "linear"}
    path = run(tmp_path / "in", tmp_path / "h5", "b", "a", **options)
    vmin, vmax, scenes = bounds(path)
    listed = np.concatenate([pixels["a"], pixels["b"]])
    _, expected = preprocess_sar_complete(listed)
    assert (vmin, vmax) == pytest.approx((expected["vmin"], expected["vmax"]), abs=1e-6)
    assert scenes == ["a", "b"]
    assert verify(path).ok
    with h5py.File(path) as f:
        assert len(f["scenes/name"]) == 3
        assert f.attrs["bounds_origin"] == "percentiles 1 and 99 of all valid pixels of 2 scenes (bounds_scenes)"
        assert "bounds_from=('b', 'a')" in f.attrs["history"]
        if kind == "dn":
            # The histogram is that of the bounds, so that they follow from it.
            assert np.array_equal(f["histogram"][:], np.bincount(listed.ravel(), minlength=1 << 16))


def test_all_scenes_are_recorded_where_none_is_listed_and_nothing_else_changes(rasters: Path, tmp_path: Path) -> None:
    plain, listed = run(rasters, tmp_path / "a"), run(rasters, tmp_path / "b", *KNOWN)
    assert bounds(plain) == bounds(listed)
    with h5py.File(plain) as one, h5py.File(listed) as other:
        assert one.attrs["content_digest"] == other.attrs["content_digest"]
        assert one.attrs["bounds_origin"].endswith("of all scenes")
    given = run(rasters, tmp_path / "c", vmin=10, vmax=25)
    with h5py.File(given) as f:
        assert "bounds_scenes" not in f.attrs
    assert verify(given).ok


def test_a_list_may_be_names_a_text_file_or_a_file_with_splits(rasters: Path, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("\ufeff# training\n\n  c \r\na\n", encoding="utf-8")
    assert find_bounds_scenes([str(tmp_path / "list.txt")], KNOWN) == {"a", "c"}
    assert find_bounds_scenes(["b", str(tmp_path / "list.txt")], KNOWN) == {"a", "b", "c"}
    first = run(rasters, tmp_path / "first")
    with pytest.warns(UserWarning, match="bounds were computed on 2 scenes not wholly in train"):
        split_file(first, SceneSplit((0.4, 0.3, 0.3)))
    second = run(rasters, tmp_path / "second", first)
    (name,) = bounds(second)[2]
    report = split_file(second, SceneSplit((0.4, 0.3, 0.3)))
    assert report.warnings == ()
    with h5py.File(second) as f:
        (number,) = np.flatnonzero(f["scenes/name"].asstr()[:] == name)
        assert set(f["splits/default"][:][f["index/scene"][:] == number].tolist()) == {1}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            None,
            "--bounds-from .*list.txt: expected a scene, a text file .*found none of them. Scenes to convert: a, b, c",
        ),
        (b"a\nx\ny\n", "list.txt: expected scenes to convert; x, y are none. Scenes to convert: a, b, c"),
        (b"a\nx\n", "list.txt: expected scenes to convert; x is none. Scenes to convert: a, b, c"),
        (b"# nothing\n\n", "list.txt: expected the name of a scene in each line; found none"),
        (b"", "found none"),
        (b"\xff\xfe\x00a", "expected a text file with a scene in each line"),
    ],
)
def test_lists_that_name_no_scene_are_refused(tmp_path: Path, content: bytes | None, message: str) -> None:
    if content is not None:
        (tmp_path / "list.txt").write_bytes(content)
    with pytest.raises(SettingError, match=message):
        find_bounds_scenes([str(tmp_path / "list.txt")], KNOWN)


def test_many_scenes_are_not_all_named() -> None:
    with pytest.raises(SettingError, match="Scenes to convert: s00, s01, s02 and 47 more"):
        find_bounds_scenes(["nothing"], [f"s{number:02}" for number in range(50)])


@pytest.mark.filterwarnings("ignore::sar_h5.splits.leakage.LeakageWarning")
def test_files_without_whole_scenes_in_train_are_refused(rasters: Path, tmp_path: Path) -> None:
    path = run(rasters, tmp_path / "h5")
    with pytest.raises(FormatError, match="splits called 'default' for --bounds-from; the file holds none"):
        find_bounds_scenes([str(path)], KNOWN)
    with h5py.File(path, "r+") as f:
        f["splits/default"] = (np.arange(len(f["patches"])) % 3 + 1).astype(np.uint8)
    with pytest.raises(SettingError, match=r"scenes that lie wholly in train, found none: .*--vmin and --vmax"):
        find_bounds_scenes([str(path)], KNOWN)


def test_a_listed_scene_that_is_missing_or_broken_leaves_an_error_not_nonsense(rasters: Path, tmp_path: Path) -> None:
    shutil.copytree(rasters, tmp_path / "in")
    write_raster(tmp_path / "in" / "b_vv.tif", np.zeros((64, 80), np.uint16))
    with pytest.raises(BadSourceError, match=r"b_vv\.tif: holds no valid pixel"):
        run(tmp_path / "in", tmp_path / "h5", "a")
    with pytest.raises(BoundsError, match="--bounds-from: expected at least one vv scene that can be read"):
        run(tmp_path / "in", tmp_path / "h5", "b", on_bad_source="skip")
    assert bounds(run(tmp_path / "in", tmp_path / "h5", "a", "b", on_bad_source="skip"))[2] == ["a"]


def test_shards_and_given_bounds_leave_nothing_to_list(rasters: Path, tmp_path: Path) -> None:
    make_shards(tmp_path)
    with pytest.raises(SettingError, match="--bounds-from needs the products: the vv shards were scaled"):
        convert(tmp_path, tmp_path / "h5", bounds_from="x")
    for options in ({"vmin": 1, "vmax": 2}, {"bounds": tmp_path / "metadata.npy"}):
        with pytest.raises(SettingError, match="--bounds-from says which scenes give the bounds, but"):
            convert(rasters, tmp_path / "h5", bounds_from=["a"], **options)  # type: ignore[arg-type]
    assert not (tmp_path / "h5").exists()


def test_many_and_long_names_are_recorded(tmp_path: Path) -> None:
    names = [f"{number:02}-{'x' * 200}" for number in range(20)]
    for name in names:
        write_raster(tmp_path / "in" / f"{name}_vv.tif", PIXELS["a"])
    path = run(tmp_path / "in", tmp_path / "h5")
    assert bounds(path)[2] == names
    assert verify(path).ok
