"""Where patches lie: checked against 3 x 3 matrices."""

from __future__ import annotations

import math

import numpy as np
import pytest
import rasterio.crs
from hypothesis import given
from hypothesis import strategies as st

from sar_h5.georeference import PIXELS, Transform, box_patches, locate_patches, patch_bounds, patch_transform, short_crs

UTM: Transform = (10.0, 0.0, 399_960.0, 0.0, -10.0, 4_200_000.0)
NOWHERE = (math.nan,) * 6

coefficients = st.tuples(*[st.integers(-1000, 1000).map(lambda number: number / 8)] * 6)
places = st.integers(0, 30_000)


def as_matrix(transform: Transform) -> np.ndarray:
    return np.array([transform[:3], transform[3:], (0, 0, 1)], dtype=float)


@given(scene=coefficients, row=places, col=places)
def test_a_patch_lies_where_its_pixels_lie_in_the_scene(scene: Transform, row: int, col: int) -> None:
    moved = as_matrix(scene) @ as_matrix((1, 0, col, 0, 1, row))
    assert patch_transform(scene, row, col) == pytest.approx(moved[:2].ravel())


@given(scene=coefficients, row=places, col=places, height=st.integers(1, 512), width=st.integers(1, 512))
def test_the_bounds_hold_all_corners_and_touch_them(
    scene: Transform, row: int, col: int, height: int, width: int
) -> None:
    transform = patch_transform(scene, row, col)
    corners = [(x, y, 1) for y in (row, row + height) for x in (col, col + width)]
    xs, ys, _ = as_matrix(scene) @ np.transpose(corners)
    assert patch_bounds(transform, height, width) == pytest.approx((xs.min(), ys.min(), xs.max(), ys.max()))


def test_north_is_up_and_rows_come_before_columns() -> None:
    transform = patch_transform(UTM, 2, 5)
    assert transform == (10, 0, 400_010, 0, -10, 4_199_980)
    assert patch_bounds(transform, 3, 4) == (400_010, 4_199_950, 400_050, 4_199_980)


def test_the_first_patch_has_the_transform_of_its_scene() -> None:
    assert patch_transform(UTM, 0, 0) == UTM


def test_a_scene_without_a_georeference_is_measured_in_pixels() -> None:
    transform = patch_transform(NOWHERE, 20, 30)
    assert transform == (1, 0, 30, 0, 1, 20)
    assert patch_transform(NOWHERE, 0, 0) == PIXELS
    assert patch_bounds(transform, 8, 16) == (30, 20, 46, 28)


@pytest.mark.parametrize(("row", "col"), [(-1, -1), (-1, 4), (4, -1)])
def test_a_patch_of_unknown_place_has_no_transform(row: int, col: int) -> None:
    transform = patch_transform(UTM, row, col)
    assert len(transform) == 6
    assert all(math.isnan(value) for value in transform)
    assert all(math.isnan(value) for value in patch_bounds(transform, 8, 8))


def test_rows_of_a_file_give_plain_floats() -> None:
    stored = np.array(UTM, dtype="<f8")
    transform = patch_transform(stored, np.int32(2), np.int32(5))  # type: ignore[arg-type]
    assert transform == patch_transform(UTM, 2, 5)
    assert patch_transform(stored, 0, 0) == UTM
    assert all(isinstance(value, float) for value in patch_transform(stored, 0, 0))


INDEX = {
    "scene": np.array([0, 1, 0, 2, 1], dtype="<i4"),
    "row": np.array([0, 4, 128, 8, -1], dtype="<i4"),
    "col": np.array([0, 6, 64, 9, -1], dtype="<i4"),
}
SCENES = {"transform": np.array([UTM, NOWHERE, (0, 2, 5, 3, 0, 7)])}


def test_many_patches_are_located_as_each_of_them() -> None:
    patches = np.array([4, 2, 2, 0, 1, 3])
    places = locate_patches(patches, INDEX, SCENES, 3, 4)
    assert {name: (values.dtype.str, values.shape) for name, values in places.items()} == {
        "bounds": ("<f8", (6, 4)),
        "transform": ("<f8", (6, 6)),
        **dict.fromkeys(("index", "scene", "row", "col"), ("<i8", (6,))),
    }
    assert places["index"].tolist() == patches.tolist()
    for name in ("scene", "row", "col"):
        assert places[name].tolist() == INDEX[name][patches].tolist()
    for number, patch in enumerate(patches):
        scene = SCENES["transform"][INDEX["scene"][patch]]
        transform = patch_transform(scene, INDEX["row"][patch], INDEX["col"][patch])
        np.testing.assert_array_equal(places["transform"][number], transform)
        np.testing.assert_array_equal(places["bounds"][number], patch_bounds(transform, 3, 4))
    assert places["transform"][1].tolist() == [10, 0, 400_600, 0, -10, 4_198_720]
    assert places["bounds"][1].tolist() == [400_600, 4_198_690, 400_640, 4_198_720]
    assert np.isnan(places["transform"][0]).all()


def test_no_patches_have_no_places_and_the_same_shapes() -> None:
    places = locate_patches(np.zeros(0, np.int64), INDEX, SCENES, 3, 4)
    assert (places["bounds"].shape, places["transform"].shape, places["row"].shape) == ((0, 4), (0, 6), (0,))


@given(scene=coefficients, row=places, col=places, height=st.integers(1, 512), width=st.integers(1, 512))
def test_many_boxes_are_those_of_the_patches_one_by_one(
    scene: Transform, row: int, col: int, height: int, width: int
) -> None:
    rows, cols = np.array([row, -1, row], dtype="<i4"), np.array([col, col, -1], dtype="<i4")
    boxes = box_patches(np.array([scene] * 3), rows, cols, height, width)
    assert boxes[0].tolist() == list(patch_bounds(patch_transform(scene, row, col), height, width))
    assert np.isnan(boxes[1:]).all()


def test_a_scene_without_a_georeference_has_no_boxes() -> None:
    assert np.isnan(box_patches(np.array([NOWHERE]), np.array([4]), np.array([5]), 8, 8)).all()
    assert box_patches(np.empty((0, 6)), np.empty(0, int), np.empty(0, int), 8, 8).shape == (0, 4)


@pytest.mark.parametrize("code", [4326, 32633, 3031])
@pytest.mark.parametrize("version", ["WKT1_GDAL", "WKT2_2019"])
def test_the_code_of_a_reference_system_is_read_from_its_wkt(code: int, version: str) -> None:
    wkt = rasterio.crs.CRS.from_epsg(code).to_wkt(version=version)
    assert short_crs(wkt) == f"EPSG:{code}"


def test_a_reference_system_without_a_code_stays_as_it_is() -> None:
    wkt = rasterio.crs.CRS.from_proj4("+proj=laea +lat_0=90 +datum=WGS84").to_wkt()
    assert "EPSG" in wkt
    assert short_crs(wkt) == wkt
    assert short_crs("") == ""
