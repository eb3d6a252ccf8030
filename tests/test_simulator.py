from __future__ import annotations

import hashlib
import os
import re
import shutil
import tracemalloc
import zipfile
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st

from sar_h5.errors import OutputError, OutputExistsError, SarH5Error, SettingError
from sar_h5.sources import simulator
from sar_h5.sources.simulator import SimulatedScene, backscatter_rows, simulate_product, simulate_rows

SMALL = SimulatedScene(height=150, width=240, border_px=20, seed=7)
NAMESPACES = {
    "gml": "http://www.opengis.net/gml",
    "safe": "http://www.esa.int/safe/sentinel-1.0",
    "s1": "http://www.esa.int/safe/sentinel-1.0/sentinel-1",
    "s1sarl1": "http://www.esa.int/safe/sentinel-1.0/sentinel-1/sar/level-1",
}


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return simulate_product(tmp_path_factory.mktemp("simulated"), SMALL)


@pytest.fixture(scope="module")
def whole() -> dict[str, Any]:
    scene = SimulatedScene()
    return {name: simulate_rows(scene, name, 0, scene.height) for name in scene.polarizations}


@pytest.fixture(scope="module")
def real_safe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = Path(os.environ.get("SAR_H5_TEST_DATA", "/work/shared/data"))
    archive = next(data.glob("pyrosar/S1A_IW_GRDH_*.zip"), None)
    if archive is None:
        pytest.skip(f"the real product is not in {data}; SAR_H5_TEST_DATA names another place")
    unpacked = tmp_path_factory.mktemp("real")
    shutil.unpack_archive(archive, unpacked)
    return next(unpacked.glob("*.SAFE"))


def read_xml(path: Path) -> ET.Element:
    return ET.fromstring(path.read_bytes())


def texts(root: ET.Element, path: str) -> list[str]:
    return [element.text or "" for element in root.findall(path, NAMESPACES)]


def numbers(root: ET.Element, path: str) -> list[np.ndarray]:
    elements = root.findall(path)
    arrays = [np.array((element.text or "").split(), dtype=float) for element in elements]
    assert [array.size for array in arrays] == [int(element.attrib["count"]) for element in elements]
    return arrays


def paths_of(root: ET.Element) -> set[str]:
    """Return the path of tags to every element."""
    inner = {f"{root.tag}/{path}" for child in root for path in paths_of(child)}
    return {root.tag} | inner


# --- pixels


def test_the_same_settings_give_the_same_pixels() -> None:
    first, second = (simulate_rows(SMALL, "VV", 0, SMALL.height) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert first.dtype == np.uint16
    assert first.shape == (150, 240)


@pytest.mark.parametrize("change", [{"seed": 8}, {"looks": 4.0}, {"border_px": 10}])
def test_every_setting_of_the_pixels_changes_them(change: dict[str, Any]) -> None:
    assert (simulate_rows(SMALL, "VV", 0, 80) != simulate_rows(replace(SMALL, **change), "VV", 0, 80)).any()


def test_settings_of_the_acquisition_leave_the_pixels_alone() -> None:
    other = replace(SMALL, start=datetime(2024, 5, 6), platform="S1C", orbit=1, orbit_pass="ASCENDING")  # noqa: S106
    np.testing.assert_array_equal(simulate_rows(SMALL, "VV", 0, 150), simulate_rows(other, "VV", 0, 150))


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, SMALL.height), max_size=6).map(sorted))
def test_pixels_do_not_depend_on_the_bands_they_are_asked_for_in(cuts: list[int]) -> None:
    edges = [0, *cuts, SMALL.height]
    bands = [simulate_rows(SMALL, "VH", start, stop) for start, stop in pairwise(edges)]
    np.testing.assert_array_equal(np.concatenate(bands), simulate_rows(SMALL, "VH", 0, SMALL.height))


@pytest.mark.parametrize(("polarization", "median"), [("VV", 231), ("VH", 110)])
def test_medians_are_those_of_the_real_scene(whole: dict[str, Any], polarization: str, median: int) -> None:
    pixels = whole[polarization]
    assert np.median(pixels[pixels > 0]) == pytest.approx(median, rel=0.05)


@pytest.mark.parametrize("polarization", ["VV", "VH"])
def test_dark_and_bright_ends_are_near_those_of_the_real_scene(whole: dict[str, Any], polarization: str) -> None:
    # Percentiles 1 and 99 of the real scene are 103 and 432 (VV), 26 and 195 (VH).
    # It is decimated, and its 13-20 looks spread less.
    low, high = {"VV": (50, 550), "VH": (15, 280)}[polarization]
    first, last = np.percentile(whole[polarization][whole[polarization] > 0], (1, 99))
    assert low < first < last < high


@pytest.mark.parametrize("looks", [1, 4.4, 20.0])
def test_speckle_has_mean_one_and_the_looks_asked_for(looks: float) -> None:
    scene = SimulatedScene(height=200, width=300, looks=looks, border_px=0, seed=3)
    intensity = simulate_rows(scene, "VV", 0, 200).astype(np.float64) ** 2
    speckle = intensity / backscatter_rows(scene, "VV", 0, 200)
    assert speckle.mean() == pytest.approx(1, rel=0.02)
    assert speckle.mean() ** 2 / speckle.var() == pytest.approx(looks, rel=0.05)


def test_a_homogeneous_area_shows_the_looks_asked_for(whole: dict[str, Any]) -> None:
    level = backscatter_rows(SimulatedScene(), "VV", 0, 1024)
    area = (level > 10_200) & (level < 10_400)  # water, whose noise varies little
    assert area.sum() > 20_000
    intensity = whole["VV"][area & (whole["VV"] > 0)].astype(np.float64) ** 2
    assert intensity.mean() ** 2 / intensity.var() == pytest.approx(4.4, rel=0.05)


def test_neighbouring_pixels_and_polarizations_have_independent_speckle() -> None:
    scene = SimulatedScene(height=200, width=300, border_px=0)
    speckle = {
        name: simulate_rows(scene, name, 0, 200).astype(np.float64) ** 2 / backscatter_rows(scene, name, 0, 200)
        for name in scene.polarizations
    }
    vv, vh = speckle["VV"], speckle["VH"]
    for one, other in ((vv[:, 1:], vv[:, :-1]), (vv[1:], vv[:-1]), (vv, vh)):
        assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 0.02


def test_polarizations_share_the_structure_of_the_ground() -> None:
    vv, vh = (10 * np.log10(backscatter_rows(SMALL, name, 0, 150)) for name in SMALL.polarizations)
    assert np.corrcoef(vv.ravel(), vh.ravel())[0, 1] > 0.5
    assert vv.std() > 1


def test_water_lies_beside_land_and_bright_points_above_both() -> None:
    level_db = 10 * np.log10(backscatter_rows(SimulatedScene(), "VV", 0, 1024))
    assert 0.03 < (level_db < 42).mean() < 0.3
    assert 1e-5 < (level_db > 60).mean() < 1e-3


def test_borders_are_zero_and_nothing_else_is() -> None:
    pixels = simulate_rows(SMALL, "VV", 0, SMALL.height)
    rows, border = SMALL.zero_rows, SMALL.border_px
    assert not pixels[:rows].any()
    assert not pixels[-rows:].any()
    inner = pixels[rows:-rows]
    assert not inner[:, : border // 2].any()
    assert not inner[:, -(border // 2) :].any()
    assert inner[:, border:-border].all()
    assert ((inner > 0).argmax(axis=1) + (inner > 0).sum(axis=1) == 240 - (inner > 0)[:, ::-1].argmax(axis=1)).all()


def test_the_edges_are_slanted_and_stepped(whole: dict[str, Any]) -> None:
    left = (whole["VV"][4:-4] > 0).argmax(axis=1)
    assert np.unique(left).size > 4
    assert left[-200:].mean() > left[:200].mean() + 5


def test_a_scene_without_borders_has_no_zero() -> None:
    assert simulate_rows(replace(SMALL, border_px=0, looks=1), "VH", 0, 150).all()


@pytest.mark.parametrize(("start", "stop"), [(-1, 5), (5, 4), (0, 151)])
def test_rows_outside_the_scene_are_refused(start: int, stop: int) -> None:
    with pytest.raises(SettingError, match=f"0 <= start <= stop <= 150, found {start} to {stop}"):
        simulate_rows(SMALL, "VV", start, stop)


def test_a_polarization_that_the_scene_lacks_is_refused() -> None:
    with pytest.raises(SettingError, match="polarization: expected one of 'VV', 'VH', found 'HH'"):
        simulate_rows(SMALL, "HH", 0, 1)


# --- settings and names


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"height": 19}, "height: expected an integer from 20"),
        ({"width": 55}, "width: expected an integer from 56"),
        ({"height": 150.0}, "height: expected an integer"),
        ({"border_px": -1}, "border_px: expected an integer from 0"),
        ({"looks": 0.5}, "looks: expected a finite number of at least 1"),
        ({"looks": float("nan")}, "looks: expected a finite number"),
        ({"looks": "4"}, "looks: expected a number"),
        ({"looks": True}, "looks: expected a number"),
        ({"seed": -1}, "seed: expected an integer from 0 to 4294967295"),
        ({"seed": True}, "seed: expected an integer"),
        ({"orbit": 0}, "orbit: expected an integer from 1 to 999999"),
        ({"start": datetime(2021, 1, 1, tzinfo=UTC)}, "without time zone"),
        ({"start": "2021-01-01"}, "start: expected a datetime"),
        ({"platform": "S2A"}, "platform: expected one of 'S1A'"),
        ({"orbit_pass": "descending"}, "orbit_pass: expected one of 'ASCENDING'"),
        ({"polarizations": ("VH", "VV")}, "polarizations: expected one of"),
        ({"polarizations": ["VV"]}, "polarizations: expected one of"),
        ({"polarizations": ()}, "polarizations: expected one of"),
    ],
)
def test_bad_settings_are_refused_by_name(change: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        replace(SMALL, **change)


@pytest.mark.parametrize(
    ("polarizations", "letters"),
    [(("VV",), "1SSV"), (("HH",), "1SSH"), (("VV", "VH"), "1SDV"), (("HH", "HV"), "1SDH")],
)
def test_product_names_follow_the_convention(polarizations: tuple[str, ...], letters: str) -> None:
    scene = SimulatedScene(height=17_000, width=400, polarizations=polarizations)
    pattern = rf"S1A_IW_GRDH_{letters}_20210119T031653_20210119T031718_036201_[0-9A-F]{{6}}_[0-9A-F]{{4}}"
    assert re.fullmatch(pattern, scene.product_name)


def test_image_names_follow_the_convention() -> None:
    pattern = r"s1a-iw-grd-vh-20210119t031653-20210119t031653-036201-[0-9a-f]{6}-002"
    assert re.fullmatch(pattern, SMALL.image_name("VH"))


def test_the_identifier_in_the_name_follows_from_all_settings() -> None:
    names = {replace(SMALL, seed=seed).product_name for seed in range(20)}
    assert len(names) == 20
    assert SMALL.product_name == replace(SMALL).product_name
    assert len({name[:-4] for name in names}) == 1


@pytest.mark.parametrize(
    ("platform", "orbit", "relative"),
    [
        ("S1A", 36201, 79),
        ("S1A", 73, 1),
        ("S1B", 27, 1),
        ("S1C", 1681, 110),
        ("S1C", 8019, 46),
        ("S1D", 2389, 73),
    ],
)
def test_relative_orbits_are_those_of_real_products(platform: str, orbit: int, relative: int) -> None:
    assert replace(SMALL, platform=platform, orbit=orbit).relative_orbit == relative


# --- the product on the disk


def test_a_product_holds_the_files_of_a_real_one(product: Path) -> None:
    vv, vh = SMALL.image_name("VV"), SMALL.image_name("VH")
    found = {path.relative_to(product).as_posix() for path in product.rglob("*") if path.is_file()}
    assert product.name == f"{SMALL.product_name}.SAFE"
    assert found == {"manifest.safe"} | {
        place.format(name)
        for name in (vv, vh)
        for place in (
            "annotation/{}.xml",
            "annotation/calibration/calibration-{}.xml",
            "annotation/calibration/noise-{}.xml",
            "measurement/{}.tiff",
        )
    }


@pytest.mark.parametrize("polarization", ["VV", "VH"])
def test_a_measurement_is_stored_as_in_real_products(product: Path, polarization: str) -> None:
    with rasterio.open(product / "measurement" / f"{SMALL.image_name(polarization)}.tiff") as measurement:
        assert measurement.dtypes == ("uint16",)
        assert measurement.crs is None
        assert measurement.transform.is_identity
        assert measurement.nodata is None
        assert measurement.block_shapes == [(1, SMALL.width)]
        structure = measurement.tags(ns="IMAGE_STRUCTURE")
        assert (structure["COMPRESSION"], structure["PREDICTOR"]) == ("DEFLATE", "2")
        assert measurement.tags()["TIFFTAG_IMAGEDESCRIPTION"] == "Sentinel-1A IW GRD HR L1"
        assert measurement.tags()["TIFFTAG_SOFTWARE"] == "sar_h5 simulator"
        assert measurement.tags()["TIFFTAG_DATETIME"] == "2021:01:19 03:16:53"
        pixels = measurement.read(1)
    np.testing.assert_array_equal(pixels, simulate_rows(SMALL, polarization, 0, SMALL.height))


def test_ground_control_points_span_the_scene_and_agree_with_the_annotation(product: Path) -> None:
    name = SMALL.image_name("VV")
    with rasterio.open(product / "measurement" / f"{name}.tiff") as measurement:
        gcps, crs = measurement.gcps
    assert crs.to_epsg() == 4326
    assert len(gcps) == 10 * 21
    assert {(0, 0), (0, 239), (149, 0), (149, 239)} <= {(gcp.row, gcp.col) for gcp in gcps}
    grid = read_xml(product / "annotation" / f"{name}.xml").find("geolocationGrid/geolocationGridPointList")
    assert grid is not None
    assert grid.attrib["count"] == "210"
    tags = ("line", "pixel", "longitude", "latitude", "height")
    listed = np.array([[float(point.findtext(tag, "")) for tag in tags] for point in grid])
    np.testing.assert_allclose(listed, [(gcp.row, gcp.col, gcp.x, gcp.y, gcp.z) for gcp in gcps], rtol=1e-12)


@pytest.mark.parametrize(
    ("orbit_pass", "east", "north"),
    [("DESCENDING", -1, -1), ("ASCENDING", 1, 1)],
)
def test_the_sensor_looks_to_the_right_of_its_heading(tmp_path: Path, orbit_pass: Any, east: int, north: int) -> None:
    scene = SimulatedScene(height=16, width=16, border_px=0, polarizations=("VV",), orbit_pass=orbit_pass)
    name = scene.image_name("VV")
    with rasterio.open(simulate_product(tmp_path, scene) / "measurement" / f"{name}.tiff") as measurement:
        points = {(gcp.row, gcp.col): gcp for gcp in measurement.gcps[0]}
    assert np.sign(points[0, 15].x - points[0, 0].x) == east
    assert np.sign(points[15, 0].y - points[0, 0].y) == north


@pytest.mark.parametrize(("polarization", "number"), [("VV", "001"), ("VH", "002")])
def test_every_document_begins_with_the_acquisition(product: Path, polarization: str, number: str) -> None:
    name = SMALL.image_name(polarization)
    places = (f"{name}.xml", f"calibration/calibration-{name}.xml", f"calibration/noise-{name}.xml")
    roots = [read_xml(product / "annotation" / place) for place in places]
    assert [root.tag for root in roots] == ["product", "calibration", "noise"]
    for root in roots:
        header = root.find("adsHeader")
        assert header is not None
        assert {element.tag: element.text for element in header} == {
            "missionId": "S1A",
            "productType": "GRD",
            "polarisation": polarization,
            "mode": "IW",
            "swath": "IW",
            "startTime": "2021-01-19T03:16:53.000000",
            "stopTime": "2021-01-19T03:16:53.221009",
            "absoluteOrbitNumber": "36201",
            "missionDataTakeId": str(SMALL.data_take),
            "imageNumber": number,
        }


def test_the_annotation_tells_size_spacing_and_pass(product: Path) -> None:
    root = read_xml(product / "annotation" / f"{SMALL.image_name('VV')}.xml")
    image = "imageAnnotation/imageInformation"
    assert root.findtext("generalAnnotation/productInformation/pass") == "Descending"
    assert (root.findtext(f"{image}/numberOfLines"), root.findtext(f"{image}/numberOfSamples")) == (
        "150",
        "240",
    )
    assert float(root.findtext(f"{image}/rangePixelSpacing", "")) == 10
    assert float(root.findtext(f"{image}/azimuthPixelSpacing", "")) == 10


def test_calibration_vectors_are_those_of_real_products(product: Path) -> None:
    root = read_xml(product / "annotation" / "calibration" / f"calibration-{SMALL.image_name('VV')}.xml")
    vectors = "calibrationVectorList/calibrationVector"
    assert texts(root, f"{vectors}/line") == ["0", "149"]
    for pixel in numbers(root, f"{vectors}/pixel"):
        assert pixel.tolist() == [0, 40, 80, 120, 160, 200, 239]
    # In the middle of the real swath: sigmaNought 599.6, gamma 529.7, betaNought and dn 474.
    for tag, real in (("sigmaNought", 599.6), ("gamma", 529.7), ("betaNought", 474.0), ("dn", 474.0)):
        np.testing.assert_allclose(numbers(root, f"{vectors}/{tag}"), real, rtol=0.01)


@pytest.mark.parametrize("polarization", ["VV", "VH"])
def test_noise_vectors_are_the_noise_in_the_pixels(product: Path, polarization: str) -> None:
    root = read_xml(product / "annotation" / "calibration" / f"noise-{SMALL.image_name(polarization)}.xml")
    ranges = numbers(root, "noiseRangeVectorList/noiseRangeVector/noiseRangeLut")
    (azimuth,) = numbers(root, "noiseAzimuthVectorList/noiseAzimuthVector/noiseAzimuthLut")
    assert 1 <= azimuth.min() <= azimuth.max() <= 1.1
    weakest = backscatter_rows(SMALL, polarization, 0, 1)
    columns = numbers(root, "noiseRangeVectorList/noiseRangeVector/pixel")[0].astype(int)
    assert (ranges[0] < weakest[0, columns]).all()
    assert 300 < ranges[0].min() < ranges[0].max() < 3000


def test_a_full_swath_has_the_noise_of_all_three_subswaths(tmp_path: Path) -> None:
    scene = SimulatedScene(height=16, width=25_931, border_px=0)
    safe = simulate_product(tmp_path, scene)
    root = read_xml(safe / "annotation" / "calibration" / f"noise-{scene.image_name('VH')}.xml")
    vectors = "noiseAzimuthVectorList/noiseAzimuthVector"
    assert texts(root, f"{vectors}/swath") == ["IW1", "IW2", "IW3"]
    assert texts(root, f"{vectors}/firstRangeSample")[0] == "0"
    assert texts(root, f"{vectors}/lastRangeSample")[2] == "25930"
    noise = numbers(root, "noiseRangeVectorList/noiseRangeVector/noiseRangeLut")[0]
    assert (noise[0], noise.max(), noise.min()) == pytest.approx((2765, 2765, 371), rel=0.02)


def test_the_manifest_tells_the_acquisition(product: Path) -> None:
    root = read_xml(product / "manifest.safe")
    expected = {
        ".//safe:platform/safe:familyName": ["SENTINEL-1"],
        ".//safe:platform/safe:number": ["A"],
        ".//s1sarl1:mode": ["IW"],
        ".//safe:orbitNumber": ["36201", "36201"],
        ".//safe:relativeOrbitNumber": ["79", "79"],
        ".//s1:pass": ["DESCENDING"],
        ".//s1sarl1:productType": ["GRD"],
        ".//s1sarl1:missionDataTakeID": [str(SMALL.data_take)],
        ".//s1sarl1:transmitterReceiverPolarisation": ["VV", "VH"],
        ".//safe:startTime": ["2021-01-19T03:16:53.000000"],
        ".//safe:stopTime": ["2021-01-19T03:16:53.221009"],
    }
    assert {path: texts(root, path) for path in expected} == expected
    (corners,) = texts(root, ".//gml:coordinates")
    assert len(corners.split()) == 4
    assert corners.split()[3] == "-17.698900,34.982700"


def test_the_manifest_lists_every_file_with_size_and_checksum(product: Path) -> None:
    listed = read_xml(product / "manifest.safe").findall("dataObjectSection/dataObject/byteStream")
    places = [stream.find("fileLocation").attrib["href"] for stream in listed]  # type: ignore[union-attr]
    assert len(places) == len(set(places)) == 8
    for stream, place in zip(listed, places, strict=True):
        content = (product / place).read_bytes()
        assert stream.attrib["size"] == str(len(content))
        assert stream.findtext("checksum") == hashlib.md5(content, usedforsecurity=False).hexdigest()


def test_every_reference_within_the_manifest_leads_somewhere(product: Path) -> None:
    root = read_xml(product / "manifest.safe")
    known = [element.attrib["ID"] for element in root.iter() if "ID" in element.attrib]
    assert len(known) == len(set(known))
    pointers = {element.attrib["dataObjectID"] for element in root.iter() if "dataObjectID" in element.attrib}
    metadata = {name for element in root.iter() for name in element.attrib.get("dmdID", "").split()}
    assert pointers | metadata <= set(known)


def test_gdal_reads_the_product_through_its_manifest(product: Path) -> None:
    with rasterio.open(product / "manifest.safe") as dataset:
        assert dataset.driver == "SAFE"
        assert (dataset.count, *dataset.shape) == (2, 150, 240)
        assert dataset.tags()["ORBIT_DIRECTION"] == "DESCENDING"
        assert len(dataset.gcps[0]) == 210
        np.testing.assert_array_equal(dataset.read(1), simulate_rows(SMALL, "VV", 0, 150))


def test_names_and_elements_are_those_of_a_real_product(product: Path, real_safe: Path) -> None:
    for place in (
        "annotation/*-vv-*.xml",
        "annotation/calibration/noise-*-vv-*.xml",
        "annotation/calibration/cal*-vv-*.xml",
    ):
        ours, theirs = (paths_of(read_xml(next(safe.glob(place)))) for safe in (product, real_safe))
        assert ours <= theirs
    ours, theirs = (paths_of(read_xml(safe / "manifest.safe")) for safe in (product, real_safe))
    assert ours <= theirs


def test_a_zipped_product_is_read_in_place(tmp_path: Path) -> None:
    archive = simulate_product(tmp_path, SMALL, zipped=True)
    assert archive == tmp_path / f"{SMALL.product_name}.zip"
    member = f"{SMALL.product_name}.SAFE/measurement/{SMALL.image_name('VH')}.tiff"
    with rasterio.open(f"/vsizip/{archive}/{member}") as measurement:
        np.testing.assert_array_equal(measurement.read(1), simulate_rows(SMALL, "VH", 0, SMALL.height))
    with zipfile.ZipFile(archive) as opened:
        assert opened.testzip() is None
        assert {name.split("/")[0] for name in opened.namelist()} == {f"{SMALL.product_name}.SAFE"}
    assert list(tmp_path.iterdir()) == [archive]


def test_a_zipped_product_holds_the_same_files_as_a_directory(product: Path, tmp_path: Path) -> None:
    shutil.unpack_archive(simulate_product(tmp_path, SMALL, zipped=True), tmp_path / "unpacked")
    for path in (path for path in product.rglob("*") if path.is_file()):
        unpacked = tmp_path / "unpacked" / product.name / path.relative_to(product)
        assert unpacked.read_bytes() == path.read_bytes()


def test_a_missing_directory_is_made(tmp_path: Path) -> None:
    scene = SimulatedScene(height=16, width=16, border_px=0, polarizations=("HH",))
    assert simulate_product(tmp_path / "new" / "place", scene).is_dir()


def test_memory_does_not_grow_with_the_scene(tmp_path: Path) -> None:
    def peak_nbytes(height: int) -> int:
        scene = SimulatedScene(height=height, width=2000, border_px=0, polarizations=("VV",))
        tracemalloc.start()
        try:
            simulate_product(tmp_path, scene)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    # From the second band on, the one before is still held while the next is made.
    assert peak_nbytes(10 * simulator.BAND_ROWS) < peak_nbytes(2 * simulator.BAND_ROWS) + 50_000


# --- failures


@pytest.mark.parametrize("zipped", [False, True])
def test_an_existing_product_is_refused_and_left_alone(tmp_path: Path, zipped: bool) -> None:
    existing = tmp_path / f"{SMALL.product_name}.{'zip' if zipped else 'SAFE'}"
    existing.write_text("precious")
    with pytest.raises(OutputExistsError, match="exists already: remove it"):
        simulate_product(tmp_path, SMALL, zipped=zipped)
    assert existing.read_text() == "precious"
    assert list(tmp_path.iterdir()) == [existing]


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("failure", [OSError("no space left"), KeyboardInterrupt()])
def test_nothing_is_left_after_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: BaseException, zipped: bool
) -> None:
    def fail(*_: object) -> None:
        raise failure

    monkeypatch.setattr(simulator, "manifest_xml", fail)
    expected = OutputError if isinstance(failure, OSError) else KeyboardInterrupt
    with pytest.raises(expected, match="no space left" if expected is OutputError else None):
        simulate_product(tmp_path, SMALL, zipped=zipped)
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_place_of_the_directory_is_an_output_error(tmp_path: Path) -> None:
    place = tmp_path / "file"
    place.touch()
    with pytest.raises(OutputError, match="cannot be written") as caught:
        simulate_product(place, SMALL)
    assert isinstance(caught.value, SarH5Error)
