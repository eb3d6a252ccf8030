from __future__ import annotations

import os
import struct
import subprocess
import sys
import threading
import warnings
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from rasterio.errors import NotGeoreferencedWarning
from rasterio.windows import Window

from sar_h5.errors import SourceError
from sar_h5.sources import rasters as rasters_module
from sar_h5.sources.archives import archive_rasters
from sar_h5.sources.products import loose_raster, product_directory_rasters
from sar_h5.sources.rasters import GDAL_CACHE_NBYTES, GeoTiffScene, load_sar_image, open_raster, open_scenes
from sar_h5.sources.scene import SourceFile
from sar_h5.sources.simulator import SimulatedScene, simulate_product
from tests.conftest import REAL_SCENE, make_dn
from tests.raster_files import GCPS, write_raster


def open_all(path: Path, assigned: str | None = None) -> list[GeoTiffScene]:
    scenes, broken = open_scenes(loose_raster(path), assigned)
    assert broken == []
    return scenes


def why_refused(path: Path, assigned: str | None = None) -> str:
    scenes, broken = open_scenes(loose_raster(path), assigned)
    assert scenes == []
    assert [source.path for source in broken] == [str(path)]
    return broken[0].reason


def read_plainly(path: Path, band: int = 1) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(path) as dataset:
            return dataset.read(band)


def assert_reads_as(scene: GeoTiffScene, expected: np.ndarray) -> None:
    """Bands of any height and any rows are those of the whole, with its dtype."""
    height = len(expected)
    assert (scene.info.height, scene.info.width) == expected.shape
    assert scene.dtype == expected.dtype
    for rows in (1, 7, height, height + 5):
        with scene.bands(rows) as bands:
            parts = list(bands)
        assert [len(part) for part in parts] == [min(rows, height - top) for top in range(0, height, rows)]
        whole = np.concatenate(parts)
        assert whole.dtype == expected.dtype
        assert np.array_equal(whole, expected, equal_nan=expected.dtype.kind == "f")
        if height > 500:
            break
    for start, stop in ((0, height), (0, 1), (height - 1, height), (height // 3, height // 2)):
        assert scene.rows(start, stop).tobytes() == expected[start:stop].tobytes()


# Real rasters


@pytest.mark.parametrize("polarization", ["vv", "vh"])
def test_the_real_scene_reads_as_rasterio_reads_it(real_data: Path, polarization: str) -> None:
    files, _ = product_directory_rasters(real_data / REAL_SCENE)
    file = next(file for file in files if file.info.polarization == polarization)
    (scene,), broken = open_scenes(file, None)
    path = Path(file.gdal_path)
    assert broken == []
    assert_reads_as(scene, read_plainly(path))
    assert scene.dtype == np.uint16
    assert scene.nodata is None
    assert scene.identify() == SourceFile(path.stat().st_size, zlib.crc32(path.read_bytes()))


def test_the_real_scene_keeps_its_ground_control_points(real_data: Path) -> None:
    path = real_data / REAL_SCENE / "measurement" / "iw-vv.tiff"
    place = open_all(path)[0].info.georeference
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(path) as dataset:
            points, crs = dataset.gcps
    assert len(place.gcps) == 210
    assert place.gcps == tuple((point.row, point.col, point.x, point.y, point.z) for point in points)
    assert rasterio.CRS.from_wkt(place.gcp_crs) == crs == rasterio.CRS.from_epsg(4326)
    assert place.crs == ""
    assert all(np.isnan(place.transform))


def test_real_db_with_declared_nodata_is_read(real_data: Path) -> None:
    (path,) = (real_data / "pyrosar").glob("*.tif")
    (scene,) = open_all(path)
    assert_reads_as(scene, read_plainly(path))
    assert (scene.dtype, scene.nodata, scene.info.polarization) == (np.float32, -99.0, "vv")
    with rasterio.open(path) as dataset:
        assert scene.info.georeference.transform == tuple(dataset.transform)[:6]
        assert rasterio.CRS.from_wkt(scene.info.georeference.crs) == dataset.crs
    image = load_sar_image(path)
    assert np.array_equal(image, read_plainly(path))
    assert np.isfinite(image).all()  # it declares a value that no pixel has


def test_real_linear_backscatter_with_nan_is_read(real_data: Path) -> None:
    paths = sorted((real_data / "opera_rtc_nan").glob("*.tif"))
    assert len(paths) == 2
    for path in paths:
        (scene,) = open_all(path)
        assert scene.nodata is not None
        assert np.isnan(scene.nodata)
        assert_reads_as(scene, read_plainly(path))
        assert scene.info.georeference.gcps == ()
        assert np.isnan(load_sar_image(path)).mean() > 0.5


def test_real_patches_of_bigearthnet_are_read(real_data: Path) -> None:
    paths = sorted((real_data / "BigEarthNet-S1-Example").rglob("*.tif"))
    assert len(paths) == 12
    for path in paths:
        (scene,) = open_all(path)
        assert_reads_as(scene, read_plainly(path))
        assert (scene.info.height, scene.info.width, scene.dtype) == (120, 120, np.float32)


def test_a_real_single_look_complex_raster_is_refused(real_data: Path) -> None:
    (path,) = (real_data / "slc_complex").glob("*.tiff")
    reason = why_refused(path)
    assert "expected detected amplitude or intensity, found complex pixels (complex_int16, SLC)" in reason
    assert "detect it first" in reason
    with pytest.raises(SourceError, match="complex pixels"):
        load_sar_image(path)


# Pixels


@pytest.mark.parametrize("dtype", ["uint16", "float32", "float64"])
@pytest.mark.parametrize(
    "layout",
    [
        {},
        {"blockysize": 1, "compress": "deflate", "predictor": 2},
        {"tiled": True, "blockxsize": 16, "blockysize": 32, "compress": "zstd"},
        {"driver": "COG", "compress": "lzw"},
        {"BIGTIFF": "YES", "ENDIANNESS": "BIG"},
    ],
)
def test_any_layout_reads_as_it_was_written(tmp_path: Path, dtype: str, layout: dict[str, Any]) -> None:
    pixels = write_raster(tmp_path / "a-vv.tif", make_dn(3, (100, 70)).astype(dtype), **layout)
    assert_reads_as(open_all(tmp_path / "a-vv.tif")[0], pixels)


def test_every_float_survives_as_it_is(tmp_path: Path) -> None:
    bits = np.random.default_rng(0).integers(0, 1 << 32, (60, 40), dtype=np.uint32)
    bits.ravel()[:6] = [0x7FC00001, 0x7F800000, 0xFF800000, 0x80000000, 1, 0x7F7FFFFF]
    write_raster(tmp_path / "a-vv.tif", bits.view(np.float32))
    assert open_all(tmp_path / "a-vv.tif")[0].rows(0, 60).tobytes() == bits.tobytes()


@pytest.mark.parametrize(
    "name", ["a b-vv", "日本-vv", "{x-vv", "x}-vv", "a!b-vv", "a#b?c-vv", "a%20-vv", "zip:a-vv", "s3:a-vv", "vsi-vv"]
)
def test_odd_names_open(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    pixels = write_raster(tmp_path / "plain.tif")
    (tmp_path / "plain.tif").rename(tmp_path / f"{name}.tif")
    for path in (Path(f"{name}.tif"), tmp_path / f"{name}.tif"):
        assert_reads_as(open_all(path)[0], pixels)


def test_a_zipped_raster_reads_as_an_unpacked_one(tmp_path: Path) -> None:
    scene = SimulatedScene(height=60, width=80, border_px=4, seed=1)
    directory = simulate_product(tmp_path / "directory", scene)
    archive = simulate_product(tmp_path / "archive", scene, zipped=True)
    for plain, packed in zip(product_directory_rasters(directory)[0], archive_rasters(archive)[0], strict=True):
        one, other = open_scenes(plain, None)[0][0], open_scenes(packed, None)[0][0]
        assert one.info.georeference == other.info.georeference
        assert one.info.name == other.info.name
        assert one.identify() == other.identify()
        assert_reads_as(other, read_plainly(Path(plain.gdal_path)))


# Georeference


def test_a_transform_is_kept_exactly(tmp_path: Path) -> None:
    exact = rasterio.Affine(0.1, 1e-9, -180.0 / 7, 1 / 3, -0.1, 90.0 / 7)
    write_raster(tmp_path / "a-vv.tif", transform=exact, crs="EPSG:4326")
    place = open_all(tmp_path / "a-vv.tif")[0].info.georeference
    assert place.transform == tuple(exact)[:6]
    assert rasterio.CRS.from_wkt(place.crs).to_epsg() == 4326
    assert (place.gcps, place.gcp_crs) == ((), "")


def test_ground_control_points_are_kept_exactly(tmp_path: Path) -> None:
    write_raster(tmp_path / "a-vv.tif", gcps=GCPS, crs="EPSG:4326")
    place = open_all(tmp_path / "a-vv.tif")[0].info.georeference
    assert place.gcps == tuple((point.row, point.col, point.x, point.y, point.z) for point in GCPS)
    assert rasterio.CRS.from_wkt(place.gcp_crs).to_epsg() == 4326


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_a_raster_without_place_has_none_and_gives_no_warning(tmp_path: Path) -> None:
    path = tmp_path / "a-vv.tif"
    write_raster(path, crs=None, transform=None)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        (scene,) = open_all(path)
        scene.rows(0, 3)
        with scene.bands(9) as bands:
            assert len(list(bands)) == 5
        load_sar_image(path)
    assert caught == []
    assert scene.info.georeference.crs == ""
    assert all(np.isnan(scene.info.georeference.transform))


# Nodata


@pytest.mark.parametrize(
    ("dtype", "text", "nodata"),
    [
        ("uint16", "0", 0.0),
        ("uint16", "65535", 65535.0),
        ("uint16", "-9999", None),
        ("uint16", "70000", None),
        ("uint16", "230.5", None),
        ("float32", "-99", -99.0),
        ("float32", "0.1", float(np.float32(0.1))),
        ("float32", "-3.4028234663852886e+38", float(np.finfo(np.float32).min)),
        ("float64", "-1.7976931348623157e+308", float(np.finfo(np.float64).min)),
    ],
)
def test_a_declared_nodata_counts_where_pixels_can_hold_it(
    tmp_path: Path, dtype: str, text: str, nodata: float | None
) -> None:
    path = tmp_path / "a-vv.tif"
    write_raster(path, make_dn(0, (40, 50)).astype(dtype), nodata=7)
    _replace_nodata(path, text.ljust(5))  # five characters do not fit into the tag itself
    (scene,) = open_all(path)
    assert scene.nodata == nodata
    image = load_sar_image(path)
    assert np.isnan(image).sum() == (0 if nodata is None else np.sum(scene.rows(0, 40) == scene.dtype.type(nodata)))


def _replace_nodata(path: Path, text: str) -> None:
    """Rewrite the tag GDAL_NODATA, whatever GDAL itself would think of the text."""
    data = bytearray(path.read_bytes())
    (first,) = struct.unpack_from("<I", data, 4)
    (entries,) = struct.unpack_from("<H", data, first)
    for entry in range(first + 2, first + 2 + 12 * entries, 12):
        if struct.unpack_from("<H", data, entry) == (42113,):
            struct.pack_into("<HII", data, entry + 2, 2, len(text) + 1, len(data))
            path.write_bytes(bytes(data) + text.encode() + b"\0")
            return
    raise AssertionError("the raster declares no nodata")


def test_pixels_with_the_declared_value_become_nan(tmp_path: Path) -> None:
    pixels = make_dn(0, (40, 50)).astype(np.float32)
    pixels[3, 4:9] = np.float32(0.1)
    write_raster(tmp_path / "a-vv.tif", pixels, nodata=0.1)
    image = load_sar_image(tmp_path / "a-vv.tif")
    assert np.isnan(image[3, 4:9]).all()
    assert np.isnan(image).sum() == 5


# Bands and polarizations


def test_bands_are_told_apart_by_their_descriptions(tmp_path: Path) -> None:
    pixels = write_raster(
        tmp_path / "a.tif", np.stack([make_dn(band, (40, 50)) for band in range(3)]), ("VH", "angle", " vv ")
    )
    scenes = open_all(tmp_path / "a.tif")
    assert [scene.info.polarization for scene in scenes] == ["vh", "vv"]
    assert_reads_as(scenes[0], pixels[0])
    assert_reads_as(scenes[1], pixels[2])
    with pytest.raises(SourceError, match="expected one band, found 2; read them with rasterio"):
        load_sar_image(tmp_path / "a.tif")


@pytest.mark.parametrize("descriptions", [(), ("", ""), ("VV", "VV"), ("sigma0", "angle")])
def test_bands_that_nothing_tells_apart_are_refused(tmp_path: Path, descriptions: tuple[str, ...]) -> None:
    write_raster(tmp_path / "a-vv.tif", np.stack([make_dn(0, (40, 50))] * 2), descriptions)
    reason = why_refused(tmp_path / "a-vv.tif")
    assert "found 2 bands described as" in reason
    assert "expected one band, or bands described VV, VH, HH or HV" in reason


def test_the_name_a_description_or_the_user_gives_the_polarization(tmp_path: Path) -> None:
    write_raster(tmp_path / "a-hv.tif", descriptions=("VV",))
    write_raster(tmp_path / "b.tif", descriptions=("VH",))
    write_raster(tmp_path / "c.tif")
    assert open_all(tmp_path / "a-hv.tif", "vv")[0].info.polarization == "hv"
    assert open_all(tmp_path / "b.tif", "vv")[0].info.polarization == "vh"
    assert open_all(tmp_path / "c.tif", "vv")[0].info.polarization == "vv"
    assert "nothing tells its polarization: name it like scene-vv.tif, or pass --polarization vv" in why_refused(
        tmp_path / "c.tif"
    )


def test_descriptions_and_tags_of_another_encoding_are_harmless(tmp_path: Path) -> None:
    path = tmp_path / "a-vv.tif"
    write_raster(path, descriptions=("YYYYYYYYYY",))
    with rasterio.open(path, "r+") as dataset:
        dataset.update_tags(TIFFTAG_IMAGEDESCRIPTION="XXXXXXXXXX")
    data = path.read_bytes().replace(b"Y" * 10, b"\xe9\xff\xfeYYYYYYY").replace(b"X" * 10, b"\xe9\xff\xfeXXXXXXX")
    path.write_bytes(data)
    assert open_all(path)[0].info.polarization == "vv"


@pytest.mark.parametrize(
    ("tag", "facts"),
    [
        ("Sentinel-1A IW GRD HR L1", ("S1A", "IW", "GRD")),
        ("Sentinel-1C EW GRD MR L1", ("S1C", "EW", "GRD")),
        ("Sentinel-1 is a radar mission", ("", "", "")),
        ("Sentinel-2A MSI L1C", ("", "", "")),
        ("Sentinel-1A", ("", "", "")),
    ],
)
def test_the_tag_of_esa_s_rasters_tells_what_no_name_does(
    tmp_path: Path, tag: str, facts: tuple[str, str, str]
) -> None:
    write_raster(tmp_path / "a-vv.tif")
    with rasterio.open(tmp_path / "a-vv.tif", "r+") as dataset:
        dataset.update_tags(TIFFTAG_IMAGEDESCRIPTION=tag)
    info = open_all(tmp_path / "a-vv.tif")[0].info
    assert (info.platform, info.mode, info.product_type) == facts


# Refused


@pytest.mark.parametrize("dtype", ["uint8", "int8"])
def test_display_images_are_refused(tmp_path: Path, dtype: str) -> None:
    write_raster(tmp_path / "a-vv.tif", np.ones((40, 50), dtype))
    assert f"found {dtype}: an 8-bit display image has lost its radiometry" in why_refused(tmp_path / "a-vv.tif")


@pytest.mark.parametrize("dtype", ["int16", "uint32", "int32"])
def test_other_integers_are_refused(tmp_path: Path, dtype: str) -> None:
    write_raster(tmp_path / "a-vv.tif", np.ones((40, 50), dtype))
    assert why_refused(tmp_path / "a-vv.tif") == f"expected dtype uint16, float32, float64, found {dtype}"


@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
def test_complex_pixels_are_refused(tmp_path: Path, dtype: str) -> None:
    write_raster(tmp_path / "a-vv.tif", np.ones((40, 50), dtype))
    assert f"found complex pixels ({dtype}, SLC): detect it first" in why_refused(tmp_path / "a-vv.tif")


def test_a_product_type_that_is_not_detected_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "s1a-iw1-slc-vv-20210119t031653-20210119t031718-036201-043ed0-004.tiff"
    write_raster(path)
    assert "expected a detected product (GRD), found SLC: detect it first" in why_refused(path)


def test_pixels_that_need_a_scale_are_refused(tmp_path: Path) -> None:
    write_raster(tmp_path / "a-vv.tif")
    with rasterio.open(tmp_path / "a-vv.tif", "r+") as dataset:
        dataset.scales, dataset.offsets = (0.01,), (-50,)
    reason = why_refused(tmp_path / "a-vv.tif")
    assert "found scale 0.01 and offset -50 to apply; unpack it with gdal_translate -unscale" in reason


@pytest.mark.parametrize("options", [{"compress": "deflate", "blockysize": 256}, {"compress": "zstd"}])
def test_one_huge_compressed_block_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
) -> None:
    monkeypatch.setattr(rasters_module, "MOST_BLOCK_NBYTES", 1 << 20)
    tile = {"tiled": True, "blockxsize": 1024, "blockysize": 1024}
    write_raster(tmp_path / "a-vv.tif", make_dn(0, (1024, 1024)), **{**tile, **options, "blockysize": 1024})
    reason = why_refused(tmp_path / "a-vv.tif")
    assert "found one block of 1024 x 1024 pixels (2 MB)" in reason
    assert "gdal_translate -co TILED=YES" in reason


def test_an_uncompressed_scene_in_one_strip_is_read_line_by_line(tmp_path: Path) -> None:
    path = tmp_path / "a-vv.tif"
    height, width = 9100, 8000
    _write_one_strip(path, height, width)
    (scene,) = open_all(path)
    assert height * width * 2 > rasters_module.MOST_BLOCK_NBYTES
    assert np.array_equal(scene.rows(height - 1, height)[0, :3], [1, 2, 3])


def _write_one_strip(path: Path, height: int, width: int) -> None:
    """An uncompressed TIFF with all pixels in one strip, sparse on the disk; its last row starts with 1, 2, 3."""
    first, nbytes = 1024, height * width * 2
    entries = [(256, width), (257, height), (258, 16), (259, 1), (262, 1), (273, first), (277, 1), (278, height)]
    entries += [(279, nbytes), (339, 1)]
    with path.open("wb") as file:
        file.write(struct.pack("<2sHIH", b"II", 42, 8, len(entries)))
        for tag, value in entries:
            file.write(struct.pack("<HHII", tag, 4, 1, value))
        file.truncate(first + nbytes)
        file.seek(first + nbytes - width * 2)
        file.write(np.array([1, 2, 3], "<u2").tobytes())


@pytest.mark.parametrize(
    "content", [b"", b"II*\0", b"MM\0*\0\0\0\x08", b"hello", bytes(5000), b"\x89PNG\r\n\x1a\n" + bytes(50)]
)
def test_a_file_that_is_no_geotiff_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a-vv.tif").write_bytes(content)
    assert why_refused(tmp_path / "a-vv.tif").startswith("expected a readable GeoTIFF; GDAL says: ")


def test_a_missing_raster_is_named(tmp_path: Path) -> None:
    assert "expected a readable GeoTIFF" in why_refused(tmp_path / "gone-vv.tif")
    with pytest.raises(SourceError, match=r"gone-vv\.tif"):
        load_sar_image(tmp_path / "gone-vv.tif")


def test_a_virtual_raster_under_a_tiff_s_name_leads_nowhere(tmp_path: Path) -> None:
    write_raster(tmp_path / "secret.tif")
    (tmp_path / "a-vv.tif").write_text(
        '<VRTDataset rasterXSize="50" rasterYSize="40"><VRTRasterBand dataType="UInt16" band="1"><SimpleSource>'
        '<SourceFilename relativeToVRT="1">secret.tif</SourceFilename></SimpleSource></VRTRasterBand></VRTDataset>'
    )
    assert "expected a readable GeoTIFF" in why_refused(tmp_path / "a-vv.tif")


@pytest.mark.parametrize(
    "layout",
    [
        {},
        {"compress": "deflate", "blockysize": 8},
        {"compress": "lzw", "predictor": 2},
        {"compress": "zstd", "tiled": True, "blockxsize": 64, "blockysize": 64},
        {"driver": "COG", "compress": "deflate"},
        {"BIGTIFF": "YES", "tiled": True, "blockxsize": 64, "blockysize": 64},
    ],
)
def test_a_raster_cut_short_anywhere_is_never_read_wrongly(tmp_path: Path, layout: dict[str, Any]) -> None:
    pixels = write_raster(tmp_path / "whole.tif", make_dn(0, (200, 150)), **layout)
    data = (tmp_path / "whole.tif").read_bytes()
    lengths = sorted({*range(0, len(data), len(data) // 60), *range(0, 400, 40), len(data) - 2, len(data) - 1})
    failed = 0
    for nbytes in lengths:
        # Each under its own name: GDAL may remember a file by its name.
        path = tmp_path / f"cut{nbytes}-vv.tif"
        path.write_bytes(data[:nbytes])
        scenes, broken = open_scenes(loose_raster(path), None)
        try:
            for scene in scenes:
                assert np.array_equal(scene.rows(0, scene.info.height), pixels)
        except SourceError as error:
            assert "GDAL says" in str(error)  # noqa: PT017 - some lengths still hold all pixels
            failed += 1
        failed += bool(broken)
    assert failed >= len(lengths) - 3


def test_a_damaged_raster_fails_in_its_bands_and_leaves_the_state_clean(tmp_path: Path) -> None:
    write_raster(tmp_path / "whole.tif", make_dn(0, (200, 150)), compress="deflate", blockysize=8)
    data = (tmp_path / "whole.tif").read_bytes()
    path = tmp_path / "a-vv.tif"
    path.write_bytes(data[: len(data) * 2 // 3])
    (scene,) = open_all(path)
    filters = list(warnings.filters)
    with pytest.raises(SourceError, match="GDAL says: "), scene.bands(8) as bands:
        list(bands)
    assert warnings.filters == filters
    assert len(scene.rows(0, 8)) == 8  # what is sound can still be read


def test_a_raster_that_vanishes_or_changes_is_named(tmp_path: Path) -> None:
    write_raster(tmp_path / "a-vv.tif")
    (scene,) = open_all(tmp_path / "a-vv.tif")
    (tmp_path / "a-vv.tif").unlink()
    with pytest.raises(SourceError, match="expected a readable GeoTIFF"):
        scene.rows(0, 1)
    with pytest.raises(SourceError, match=r"cannot be read any more: .*No such file"):
        scene.identify()


def test_an_archive_that_vanishes_or_changes_is_named(tmp_path: Path) -> None:
    archive = simulate_product(tmp_path, SimulatedScene(height=60, width=80, border_px=4, seed=1), zipped=True)
    scene = open_scenes(archive_rasters(archive)[0][0], None)[0][0]
    archive.write_bytes(b"PK")
    with pytest.raises(SourceError, match="the archive is damaged: File is not a zip file; download it again"):
        scene.identify()
    archive.unlink()
    with pytest.raises(SourceError, match="cannot be read any more"):
        scene.identify()


# Memory and noise


def test_the_block_cache_is_bounded_while_a_raster_is_open(tmp_path: Path) -> None:
    write_raster(tmp_path / "a-vv.tif")
    with open_raster(str(tmp_path / "a-vv.tif")) as dataset:
        dataset.read(1, window=Window(0, 0, 50, 1))
        assert rasterio.env.get_gdal_config("GDAL_CACHEMAX") == GDAL_CACHE_NBYTES == 64 << 20


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc, which is Linux'")
def test_a_large_raster_is_streamed_in_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "a-vv.tif"
    write_raster(path, np.zeros((9000, 12000), np.uint16), tiled=True, blockxsize=256, blockysize=256, compress="zstd")
    script = """
import sys
import threading
from pathlib import Path
from sar_h5.sources.products import loose_raster
from sar_h5.sources.rasters import open_scenes
def status(field):
    text = Path("/proc/self/status").read_text()
    return int(text.split(field + ":")[1].split()[0])
before = status("VmRSS")
(scene,), _ = open_scenes(loose_raster(Path(sys.argv[1])), None)
with scene.bands(128) as bands:
    rows = sum(len(band) for band in bands)
print(rows, (status("VmHWM") - before) >> 10)
"""
    done = subprocess.run(
        [sys.executable, "-c", script, path],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "GDAL_NUM_THREADS": "1"},
    )
    rows, grown_mb = map(int, done.stdout.split())
    assert rows == 9000
    assert grown_mb < 110  # the raster itself takes 216 MB, GDAL's own cache could take 5 % of the machine
    assert done.stderr == ""


# One image


def test_an_image_is_loaded_whole_as_float32(tmp_path: Path) -> None:
    pixels = write_raster(tmp_path / "a.tif")
    image = load_sar_image(str(tmp_path / "a.tif"))
    assert image.dtype == np.float32
    assert np.array_equal(image, pixels)


def test_an_image_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    write_raster(tmp_path / "a.tif", np.ones((40, 50), np.uint8))
    with pytest.raises(SourceError, match=r"a\.tif: expected uint16 DN or float backscatter, found uint8"):
        load_sar_image(tmp_path / "a.tif")


def test_a_zipped_raster_whose_bytes_do_not_match_their_checksum_is_refused_before_it_is_read(tmp_path: Path) -> None:
    archive = simulate_product(tmp_path, SimulatedScene(height=200, width=300, border_px=4, seed=1), zipped=True)
    with zipfile.ZipFile(archive) as stored:
        members = {info.filename: stored.read(info) for info in stored.infolist()}
        name = next(member for member in members if member.endswith("-001.tiff"))
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as stored:
        for member, content in members.items():
            stored.writestr(member, content)
    data = bytearray(archive.read_bytes())
    middle = data.index(members[name]) + len(members[name]) // 2
    data[middle] ^= 1
    archive.write_bytes(data)
    file = next(file for file in archive_rasters(archive)[0] if file.member.endswith("-001.tiff"))
    scene = open_scenes(file, None)[0][0]
    with (
        pytest.raises(SourceError, match=r"the archive is damaged: Bad CRC-32 for file .*download it again"),
        scene.bands(64),
    ):
        pass


# Threads


@pytest.mark.parametrize("jobs", [2, 3, 20])
@pytest.mark.parametrize(
    "layout",
    [
        {},
        {"blockysize": 1},
        {"blockysize": 13},
        {"blockysize": 300},
        {"tiled": True, "blockxsize": 32, "blockysize": 32},
    ],
)
def test_threads_read_the_same_bands_in_order(tmp_path: Path, jobs: int, layout: dict[str, Any]) -> None:
    pixels = write_raster(tmp_path / "a_vv.tif", make_dn(0, (211, 150)), compress="deflate", **layout)
    (scene,) = open_all(tmp_path / "a_vv.tif")
    before = threading.active_count()
    for height in (1, 20, 64, 500):
        with scene.bands(height, jobs) as bands:
            parts = list(bands)
        assert max(len(part) for part in parts) <= height
        assert np.array_equal(np.concatenate(parts), pixels)
    assert threading.active_count() == before


def test_bands_that_are_kept_stay_as_they_were(tmp_path: Path) -> None:
    pixels = write_raster(tmp_path / "a_vv.tif", make_dn(0, (200, 50)))
    (scene,) = open_all(tmp_path / "a_vv.tif")
    with scene.bands(10, 3) as bands:
        every_third = [band for number, band in enumerate(bands) if number % 3 == 0]
    for number, band in enumerate(every_third):
        assert np.array_equal(band, pixels[30 * number : 30 * number + 10])


def test_no_block_is_decoded_by_two_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_raster(tmp_path / "a_vv.tif", make_dn(0, (211, 150)), compress="deflate", blockysize=16)
    (scene,) = open_all(tmp_path / "a_vv.tif")
    read, windows = GeoTiffScene._read, []

    def note(self: GeoTiffScene, dataset: Any, window: tuple[int, int], *arguments: Any) -> np.ndarray:
        windows.append(window)
        return read(self, dataset, window, *arguments)

    monkeypatch.setattr(GeoTiffScene, "_read", note)
    with scene.bands(40, 3) as bands:
        assert sum(len(band) for band in bands) == 211
    assert sorted(windows) == [(start, min(start + 32, 211)) for start in range(0, 211, 32)]


@pytest.mark.parametrize("jobs", [2, 5])
def test_whoever_stops_in_the_middle_leaves_neither_threads_nor_open_files(tmp_path: Path, jobs: int) -> None:
    write_raster(tmp_path / "a_vv.tif", make_dn(0, (2000, 150)), compress="deflate")
    (scene,) = open_all(tmp_path / "a_vv.tif")
    before = threading.active_count()
    for _ in range(5):
        with scene.bands(10, jobs) as bands:
            next(bands)
    with pytest.raises(ZeroDivisionError), scene.bands(10, jobs) as bands:  # noqa: PT012
        next(bands)
        raise ZeroDivisionError
    assert threading.active_count() == before
    if Path("/proc/self/fd").is_dir():
        opened = [link.resolve().name for link in Path("/proc/self/fd").iterdir()]
        assert "a_vv.tif" not in opened


@pytest.mark.parametrize("jobs", [2, 5])
def test_what_gdal_says_in_a_thread_is_a_source_error(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], jobs: int
) -> None:
    path = tmp_path / "a_vv.tif"
    write_raster(path, make_dn(0, (500, 150)), compress="deflate")
    (scene,) = open_all(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(SourceError, match="GDAL says: "), scene.bands(10, jobs) as bands:
        list(bands)
    assert capfd.readouterr() == ("", "")
