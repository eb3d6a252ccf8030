"""Rasters of single patches as a source: put together where they agree, named where they do not."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import rasterio

from sar_h5 import convert, export_geotiffs, find_all_sar_files, scan
from sar_h5.errors import BadSourceError, SourceError
from sar_h5.sources.patch_rasters import find_patch_rasters
from sar_h5.sources.scene import ShardScene
from tests.exported_files import make_file, read_values
from tests.raster_files import write_raster


@pytest.fixture(scope="module")
def original(products: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A file and its patches, 12 of two scenes."""
    top = tmp_path_factory.mktemp("original")
    path = make_file(products, top / "h5", patch_size=160, stride=130)
    export_geotiffs(path, top / "patches")
    return path, top / "patches"


@pytest.fixture
def patches(original: tuple[Path, Path], tmp_path: Path) -> Path:
    """A copy of the patches, to change."""
    return Path(shutil.copytree(original[1], tmp_path / "patches"))


def rasters(directory: Path) -> list[Path]:
    return sorted(directory.rglob("*.tif"))


def write_again(
    path: Path, pixels: np.ndarray | None = None, tags: dict[str, str] | None = None, **profile: Any
) -> None:
    """Write a patch raster anew with some of it changed, as other programs do: tags stay."""
    with rasterio.open(path) as dataset:
        old, old_tags, gcps = dataset.read(1), dataset.tags(), dataset.gcps
    pixels = old if pixels is None else pixels
    placed: dict[str, Any] = {"gcps": gcps[0], "crs": gcps[1]} | profile
    shape = {"height": pixels.shape[0], "width": pixels.shape[1], "count": 1, "dtype": pixels.dtype}
    with rasterio.open(path, "w", driver="GTiff", **shape, **placed) as dataset:
        dataset.write(pixels, 1)
        dataset.update_tags(**{**old_tags, **(tags or {})})


def broken_by(patches: Path, reason: str) -> str:
    """Convert what must be refused; return which one source is at fault. Without it the rest converts."""
    with pytest.raises(BadSourceError, match=reason) as caught:
        convert(patches, patches.parent / "h5", overwrite=True)
    (bad,) = caught.value.sources
    (summary,) = convert(patches, patches.parent / "h5", on_bad_source="skip", overwrite=True)
    assert summary.patches < len(rasters(patches)) or "is patch" in bad.reason
    return bad.path


def test_scenes_are_put_together_in_the_order_of_the_file_wherever_patches_lie(
    original: tuple[Path, Path], tmp_path: Path
) -> None:
    path, exported = original
    for number, raster in enumerate(reversed(rasters(exported))):
        shutil.copy(raster, tmp_path / f"{number}.TIF")
    found = find_patch_rasters(sorted(tmp_path.iterdir()))
    assert (found.broken, found.others, list(found.scenes)) == ([], [], ["vv"])
    assert all(isinstance(scene, ShardScene) for scene in found.scenes["vv"])
    values = read_values(path)
    together = np.concatenate([batch for scene in found.scenes["vv"] for batch in scene.batches(160 * 160 * 4 * 5)])
    np.testing.assert_array_equal(together, values)
    with h5py.File(path) as file:
        places = np.stack([file["index/row"][:], file["index/col"][:]], axis=1)
        names = file["scenes/name"].asstr()[:].tolist()
    assert [scene.info.name for scene in found.scenes["vv"]] == names
    np.testing.assert_array_equal(np.concatenate([scene.places for scene in found.scenes["vv"]]), places)
    assert found.scenes["vv"][0].identify().nbytes > 0
    assert len({scene.info.path for scene in found.scenes["vv"]}) == 2
    assert [Path(scene.info.path).name for scene in find_patch_rasters(rasters(exported)).scenes["vv"]] == names
    assert (found.strides, find_patch_rasters(rasters(exported), ["vh"]).scenes) == ({"vv": 130}, {})


def test_a_patch_that_is_missing_is_simply_not_there(original: tuple[Path, Path], patches: Path) -> None:
    rasters(patches)[3].unlink()
    (summary,) = convert(patches, patches.parent / "h5")
    values = read_values(original[0])
    assert summary.patches == len(values) - 1
    assert scan(patches).plans[0].patches == len(values) - 1
    assert len(find_all_sar_files(patches)) == len(values) - 1


def test_a_patch_of_another_size_or_dtype_is_a_bad_source(patches: Path) -> None:
    first, second = rasters(patches)[:2]
    original = second.read_bytes()
    write_again(second, np.zeros((150, 160), np.float32))
    assert broken_by(patches, "found \\(1, 150, 160\\) of float32: it was changed after the export") == str(second)
    second.write_bytes(original)
    write_again(first, np.ones((160, 160), np.uint16))
    assert broken_by(patches, "of float32 as its tags say, found .* of uint16") == str(first)


@pytest.mark.parametrize(
    ("tags", "reason"),
    [
        ({"SAR_H5_VMIN": "3.5"}, "contradicts the other patches of its scene about vmin: found '3.5'"),
        ({"SAR_H5_STRIDE": "7"}, "about stride: found '7', expected '130'"),
        ({"SAR_H5_SCENE": "../../x"}, "about name: found '../../x'"),
        ({"SAR_H5_ORBIT": "1"}, "about orbit"),
        ({"SAR_H5_SCENE_GCP_CRS": "LOCAL_CS[]"}, "about gcp_crs"),
        ({"SAR_H5_PATCH": "1"}, "is patch 1 of its scene, which .* is already"),
        ({"SAR_H5_ROW": "99999999999999999999"}, "an integer in SAR_H5_ROW"),
        ({"SAR_H5_COL": "500"}, "of a scene that has 600"),
        ({"SAR_H5_PIXELS": "dn"}, "of uint16 as its tags say, found .* of float32"),
        ({"SAR_H5_PATCH_SIZE": "2000000000"}, "of a scene that has|as its tags say"),
        ({"SAR_H5_FORMAT": "patch 9"}, "update sar_h5"),
    ],
)
def test_a_patch_whose_tags_contradict_its_neighbours_is_a_bad_source(
    patches: Path, tags: dict[str, str], reason: str
) -> None:
    third = rasters(patches)[2]
    write_again(third, tags=tags)
    assert Path(broken_by(patches, reason)).parent == third.parent
    assert sorted(path.name for path in patches.parent.iterdir()) == ["h5", "patches"]


def test_a_patch_that_was_moved_on_the_ground_is_a_bad_source(tmp_path: Path) -> None:
    write_raster(tmp_path / "scene-vv.tif")
    (summary,) = convert(tmp_path / "scene-vv.tif", tmp_path / "h5", patch_size=16, stride=12, min_valid=0)
    export_geotiffs(summary.path, tmp_path / "patches")
    second, third = rasters(tmp_path / "patches")[1:3]
    with rasterio.open(second, "r+") as dataset:
        dataset.transform = dataset.transform @ rasterio.Affine.translation(1, 0)
    assert broken_by(tmp_path / "patches", "it was moved or warped after the export") == str(second)
    second.unlink()
    with rasterio.open(third, "r+") as dataset:
        dataset.crs = "EPSG:32634"
    assert broken_by(tmp_path / "patches", "contradicts the other patches of its scene about ground") == str(third)


def test_pixels_that_are_no_values_and_files_that_end_early_are_bad_sources(patches: Path) -> None:
    first, second = rasters(patches)[:2]
    original = first.read_bytes()
    write_again(first, np.full((160, 160), 1.5, np.float32))
    with pytest.raises(BadSourceError, match="patch 0 holds values outside"):
        convert(patches, patches.parent / "h5")
    first.write_bytes(original)
    second.write_bytes(second.read_bytes()[: second.stat().st_size // 2])
    with pytest.raises(BadSourceError, match=r"GDAL says|cannot be read"):
        convert(patches, patches.parent / "h5")


def test_a_scene_that_is_there_twice_is_refused(original: tuple[Path, Path], patches: Path) -> None:
    for path in rasters(patches / rasters(patches)[0].parent.name):
        write_again(path, tags={"SAR_H5_SOURCE_DIGEST": "another file"})
    shutil.copytree(original[1], patches / "again")
    with pytest.raises(SourceError, match="is there 2 times"):
        convert(patches, patches.parent / "h5")


def test_patches_scaled_otherwise_belong_into_another_file(products: Path, patches: Path) -> None:
    path = make_file(products, patches.parent / "b", patch_size=160, stride=260, vmin=0.0, vmax=30.0)
    export_geotiffs(path, patches / "more")
    with pytest.raises(BadSourceError, match=r"as most vv patches say.*convert them into separate files"):
        convert(patches, patches.parent / "h5")


def test_other_rasters_are_left_to_others(tmp_path: Path) -> None:
    write_raster(tmp_path / "scene-vv.tif")
    (tmp_path / "text.tif").write_text("no raster")
    found = find_patch_rasters(sorted(tmp_path.iterdir()))
    assert (found.scenes, found.broken) == ({}, [])
    assert [path.name for path in found.others] == ["scene-vv.tif", "text.tif"]
