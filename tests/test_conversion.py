"""``convert`` from rasters: every value and index row equals the reference pipeline, run naively in ``reference``."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import textwrap
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest

from sar_h5 import convert, verify
from sar_h5.errors import BadSourceError, BoundsError, OutputError, OutputExistsError, RadiometryError, SettingError
from sar_h5.sources.simulator import SimulatedScene, simulate_product
from tests import reference
from tests.conftest import REAL_SCENE, make_dn, make_shards
from tests.raster_files import write_raster


def rasters(products: Path, polarization: str) -> list[np.ndarray]:
    """Read all rasters of a polarization, in the order of the products' names."""
    paths = sorted(products.rglob(f"*{polarization}*.tiff"), key=lambda path: path.parts[len(products.parts)])
    assert paths
    return [reference.read_whole(path) for path in paths]


def expected_cut(
    images: list[np.ndarray], bounds: tuple[float, float], size: int, stride: int, min_valid: float
) -> reference.Cut:
    scaled = [reference.scale(reference.to_db(image)[0], *bounds) for image in images]
    return reference.cut(scaled, size, stride, min_valid)


def stored_bounds(path: Path) -> tuple[float, float]:
    with h5py.File(path) as f:
        return float(f.attrs["vmin"]), float(f.attrs["vmax"])


@pytest.mark.parametrize(("size", "stride"), [(256, 128), (96, 96), (96, 40), (250, 125), (64, 100), (400, 128)])
@pytest.mark.parametrize("encoding", ["palette", "dn", "float32"])
def test_products_give_every_value_and_index_row_of_the_reference_pipeline(
    products: Path, tmp_path: Path, size: int, stride: int, encoding: str
) -> None:
    convert(products, tmp_path, patch_size=size, stride=stride, encoding=encoding)
    for polarization in ("vv", "vh"):
        images = rasters(products, polarization)
        bounds = stored_bounds(tmp_path / f"{polarization}.h5")
        assert bounds == pytest.approx(reference.percentile_bounds(images), abs=1e-9)
        expected = expected_cut(images, bounds, size, stride, 0.9)
        assert expected.scene
        reference.assert_equals(tmp_path / f"{polarization}.h5", expected)


def test_the_filter_drops_what_the_reference_drops_and_the_summary_counts_it(products: Path, tmp_path: Path) -> None:
    summary = convert(products, tmp_path, patch_size=64, stride=32, min_valid=0.97, polarization="vh")
    images = rasters(products, "vh")
    expected = expected_cut(images, stored_bounds(tmp_path / "vh.h5"), 64, 32, 0.97)
    positions = 2 * len(range(0, 400 - 63, 32)) * len(range(0, 600 - 63, 32))
    assert 0 < len(expected.scene) < positions
    assert (summary["vh"].patches, summary["vh"].dropped) == (len(expected.scene), positions - len(expected.scene))
    reference.assert_equals(tmp_path / "vh.h5", expected)
    with h5py.File(tmp_path / "vh.h5") as f:
        assert f["scenes/patch_count"][:].tolist() == [expected.scene.count(0), expected.scene.count(1)]
        assert f["scenes/patch_start"][:].tolist() == [0, expected.scene.count(0)]
        assert f["scenes/dropped_count"][:].sum() == summary["vh"].dropped


def test_the_filter_by_pixels_counts_those_that_hold_data(products: Path, tmp_path: Path) -> None:
    convert(products, tmp_path, patch_size=64, stride=32, min_valid=0.8, valid_by="pixels", polarization="vv")
    images = rasters(products, "vv")
    bounds = stored_bounds(tmp_path / "vv.h5")
    scaled = [reference.scale(reference.to_db(image)[0], *bounds) for image in images]
    expected = reference.cut(scaled, 64, 32, 0.8, counted=[image > 0 for image in images])
    assert len(expected.scene) > 0
    assert min(expected.fraction) < 1
    reference.assert_equals(tmp_path / "vv.h5", expected)


@pytest.mark.parametrize(("size", "stride"), [(512, 128), (250, 250), (96, 128)])
def test_the_real_scene_equals_the_reference_pipeline(real_data: Path, tmp_path: Path, size: int, stride: int) -> None:
    convert(real_data / REAL_SCENE, tmp_path, patch_size=size, stride=stride)
    for polarization in ("vv", "vh"):
        image = reference.read_whole(real_data / REAL_SCENE / "measurement" / f"iw-{polarization}.tiff")
        bounds = stored_bounds(tmp_path / f"{polarization}.h5")
        assert bounds == pytest.approx(reference.percentile_bounds([image]), abs=1e-9)
        expected = expected_cut([image], bounds, size, stride, 0.9)
        assert expected.scene
        reference.assert_equals(tmp_path / f"{polarization}.h5", expected)


def test_the_histogram_counts_every_valid_pixel_of_all_scenes(products: Path, tmp_path: Path) -> None:
    convert(products, tmp_path / "a", patch_size=96)
    convert(products, tmp_path / "b", patch_size=96, vmin=15, vmax=25)
    counts = np.bincount(np.concatenate([image.ravel() for image in rasters(products, "vv")]), minlength=65536)
    counts[0] = 0
    for name in ("a", "b"):  # counted by the survey, and, where bounds are given, on the way
        with h5py.File(tmp_path / name / "vv.h5") as f:
            np.testing.assert_array_equal(f["histogram"][:], counts)


def test_pixels_without_data_have_the_invalid_code_and_no_others(products: Path, tmp_path: Path) -> None:
    convert(products, tmp_path, patch_size=128, stride=128, min_valid=0.5, polarization="vv")
    images = rasters(products, "vv")
    seen = 0
    with h5py.File(tmp_path / "vv.h5") as f:
        assert f["patches"].attrs["invalid_code"] == 0
        for number, codes in enumerate(f["patches"]):
            row, col = f["index/row"][number], f["index/col"][number]
            dn = images[f["index/scene"][number]][row : row + 128, col : col + 128]
            np.testing.assert_array_equal(codes == 0, dn == 0)
            seen += np.count_nonzero(dn == 0)
    assert seen > 0


def test_dn_codes_are_the_digital_numbers(products: Path, tmp_path: Path) -> None:
    convert(products, tmp_path, patch_size=128, encoding="dn", polarization="vv")
    images = rasters(products, "vv")
    with h5py.File(tmp_path / "vv.h5") as f:
        for number, codes in enumerate(f["patches"]):
            row, col = f["index/row"][number], f["index/col"][number]
            np.testing.assert_array_equal(codes, images[f["index/scene"][number]][row : row + 128, col : col + 128])


def test_zipped_products_and_single_safe_directories_give_the_same_patches(products: Path, tmp_path: Path) -> None:
    whole = convert(products, tmp_path / "whole", patch_size=128)
    (tmp_path / "zips").mkdir()
    for safe in products.iterdir():
        with zipfile.ZipFile(tmp_path / "zips" / f"{safe.stem}.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for file in safe.rglob("*"):
                archive.write(file, f"{safe.name}/{file.relative_to(safe)}")
    zipped = convert(tmp_path / "zips", tmp_path / "zipped", patch_size=128)
    listed = convert(sorted(products.iterdir(), reverse=True), tmp_path / "listed", patch_size=128)
    for other in (zipped, listed):
        assert [file.content_digest for file in other] == [file.content_digest for file in whole]
    for polarization in ("vv", "vh"):
        bounds = stored_bounds(tmp_path / "zipped" / f"{polarization}.h5")
        expected = expected_cut(rasters(products, polarization), bounds, 128, 128, 0.9)
        reference.assert_equals(tmp_path / "zipped" / f"{polarization}.h5", expected)


def test_plain_geotiffs_take_their_polarization_from_names_or_from_the_user(tmp_path: Path) -> None:
    vv = write_raster(tmp_path / "in" / "place_VV.tif", make_dn(1, (150, 170)))
    vh = write_raster(tmp_path / "in" / "place_VH.tif", make_dn(2, (150, 170), 60))
    other = write_raster(tmp_path / "other.tif", make_dn(3, (150, 170)))
    convert(tmp_path / "in", tmp_path / "h5", patch_size=64, stride=43)
    convert(tmp_path / "other.tif", tmp_path / "named", patch_size=64, stride=43, polarization="hh")
    for path, image in (("h5/vv.h5", vv), ("h5/vh.h5", vh), ("named/hh.h5", other)):
        bounds = stored_bounds(tmp_path / path)
        assert bounds == pytest.approx(reference.percentile_bounds([image]), abs=1e-9)
        reference.assert_equals(tmp_path / path, expected_cut([image], bounds, 64, 43, 0.9))


def test_declared_nodata_counts_as_no_data(tmp_path: Path) -> None:
    dn = make_dn(4, (100, 120))
    dn[:20] = 7
    write_raster(tmp_path / "a_vv.tif", dn, nodata=7)
    convert(tmp_path / "a_vv.tif", tmp_path / "h5", patch_size=32, stride=32, min_valid=0.3)
    masked = np.where(dn == 7, 0, dn)
    bounds = stored_bounds(tmp_path / "h5" / "vv.h5")
    assert bounds == pytest.approx(reference.percentile_bounds([masked]), abs=1e-9)
    reference.assert_equals(tmp_path / "h5" / "vv.h5", expected_cut([masked], bounds, 32, 32, 0.3))


def test_other_percentiles_are_taken_over_all_scenes_at_once(products: Path, tmp_path: Path) -> None:
    summary = convert(products, tmp_path, patch_size=128, percentiles=(0.37, 96.5), polarization="vv")
    bounds = reference.percentile_bounds(rasters(products, "vv"), 0.37, 96.5)
    assert (summary["vv"].vmin, summary["vv"].vmax) == pytest.approx(bounds, abs=1e-9)
    assert "percentiles 0.37 and 96.5" in summary["vv"].bounds_origin


def test_bounds_may_be_given_as_numbers_or_files_and_are_used_as_they_are(products: Path, tmp_path: Path) -> None:
    (tmp_path / "b.json").write_text('{"vv": {"vmin": 14.77, "vmax": 24.54}, "vh": [10.5, 21.25]}')
    np.save(tmp_path / "b.npy", np.array({"vmin": 14.77, "vmax": 24.54}, dtype=object), allow_pickle=True)
    options = {"numbers": {"vmin": 14.77, "vmax": 24.54}, "json": {"bounds": tmp_path / "b.json"}}
    options["pickle"] = {"bounds": tmp_path / "b.npy"}
    for name, given in options.items():
        summary = convert(products, tmp_path / name, patch_size=128, min_valid=0.2, **given)
        for polarization in ("vv", "vh"):
            bounds = (10.5, 21.25) if (name, polarization) == ("json", "vh") else (14.77, 24.54)
            assert (summary[polarization].vmin, summary[polarization].vmax) == bounds
            expected = expected_cut(rasters(products, polarization), bounds, 128, 128, 0.2)
            assert expected.scene
            reference.assert_equals(tmp_path / name / f"{polarization}.h5", expected)


# Float rasters


def linear_cut(images: list[np.ndarray], bounds: tuple[float, float], size: int, stride: int) -> reference.Cut:
    return expected_cut(images, bounds, size, stride, 0.9)


def test_linear_floats_with_nan_equal_the_reference_pipeline(real_data: Path, tmp_path: Path) -> None:
    source = real_data / "opera_rtc_nan"
    summary = convert(source, tmp_path, patch_size=32, stride=24)
    images = [reference.read_whole(path) for path in sorted(source.glob("*.tif"))]
    assert all(np.isnan(image).any() for image in images)
    bounds = stored_bounds(tmp_path / "vh.h5")
    assert bounds == pytest.approx(reference.percentile_bounds(images), abs=1e-6)
    expected = linear_cut(images, bounds, 32, 24)
    assert len(expected.scene) > 10
    reference.assert_equals(tmp_path / "vh.h5", expected)
    assert summary["vh"].encoding in ("palette", "float32")
    assert verify(tmp_path / "vh.h5").ok


@pytest.mark.parametrize("name", ["pyrosar/*.tif", "BigEarthNet-S1-Example/*/*_VH.tif"])
def test_rasters_in_db_are_never_logged_twice(real_data: Path, tmp_path: Path, name: str) -> None:
    paths = sorted(real_data.glob(name))
    images = [reference.read_whole(path) for path in paths]
    bounds = (-26.0, -2.0)
    (summary,) = convert(paths, tmp_path, patch_size=64, stride=48, vmin=-26, vmax=-2, min_valid=0.6)
    scaled = []
    for image in images:
        invalid = ~np.isfinite(image) | (image == -99)
        values = reference.scale(np.where(invalid, np.float32(-100), image), *bounds)
        scaled.append(values)
    expected = reference.cut(scaled, 64, 48, 0.6)
    assert expected.scene
    order = np.argsort([path.parent.name for path in paths] if len(paths) > 1 else [0])
    assert order.tolist() == sorted(order.tolist())
    reference.assert_equals(Path(summary.path), expected)
    with h5py.File(summary.path) as f:
        assert f.attrs["units"] == "dB"
        assert "histogram" not in f


def test_rasters_in_db_with_declared_nodata_leave_it_out_of_bounds_and_values(tmp_path: Path) -> None:
    db = np.random.default_rng(8).normal(-12, 3, (120, 140)).astype(np.float32)
    db[:40, :30] = -99
    db[100, 100] = np.nan
    write_raster(tmp_path / "a_vv.tif", db, nodata=-99)
    (summary,) = convert(tmp_path / "a_vv.tif", tmp_path / "h5", patch_size=32, stride=20, min_valid=0.5)
    invalid = (db == -99) | np.isnan(db)
    bounds = np.percentile(db[~invalid].astype(np.float64), [1, 99]).tolist()
    assert (summary.vmin, summary.vmax) == pytest.approx(bounds, abs=1e-6)
    values = reference.scale(np.where(invalid, np.float32(-100), db), summary.vmin, summary.vmax)
    expected = reference.cut([values], 32, 20, 0.5)
    assert min(expected.fraction) < 0.9
    reference.assert_equals(tmp_path / "h5" / "vv.h5", expected)


def test_floats_of_few_values_get_a_palette_and_of_many_float32_with_the_reason(tmp_path: Path) -> None:
    generator = np.random.default_rng(5)
    few = generator.choice(np.linspace(0.001, 0.5, 300, dtype=np.float32), (200, 200))
    many = generator.gamma(4.4, 0.02, (400, 400)).astype(np.float32)
    for name, image, encoding in (("few", few, "palette"), ("many", many, "float32")):
        write_raster(tmp_path / f"{name}_vv.tif", image)
        (summary,) = convert(tmp_path / f"{name}_vv.tif", tmp_path / name, patch_size=64, stride=64)
        assert summary.encoding == encoding
        bounds = stored_bounds(Path(summary.path))
        reference.assert_equals(Path(summary.path), linear_cut([image], bounds, 64, 64))
    assert any("stored as float32: more than 65,536 distinct values" in note for note in summary.notes)
    with pytest.raises(SettingError, match=r"palette cannot hold these values.*--encoding float32 or auto"):
        convert(tmp_path / "many_vv.tif", tmp_path / "p", patch_size=64, encoding="palette")
    with pytest.raises(SettingError, match="dn is for uint16"):
        convert(tmp_path / "few_vv.tif", tmp_path / "p", patch_size=64, encoding="dn")
    assert not (tmp_path / "p").exists()


def test_floats_in_doubt_are_asked_about_and_taken_once_the_user_says(tmp_path: Path) -> None:
    amplitudes = make_dn(6, (100, 100)).astype(np.float32)
    write_raster(tmp_path / "a_vv.tif", amplitudes)
    with pytest.raises(RadiometryError, match=r"a_vv.tif.*cannot tell whether.*--units linear or --units db"):
        convert(tmp_path / "a_vv.tif", tmp_path / "h5", patch_size=32)
    assert not (tmp_path / "h5").exists()
    (summary,) = convert(tmp_path / "a_vv.tif", tmp_path / "h5", patch_size=32, stride=32, units="linear")
    reference.assert_equals(
        Path(summary.path), linear_cut([amplitudes], stored_bounds(tmp_path / "h5" / "vv.h5"), 32, 32)
    )


# Determinism


@pytest.mark.parametrize("encoding", ["palette", "dn", "float32"])
def test_the_same_input_gives_the_same_digest_and_bytes_whatever_the_codec(
    products: Path, tmp_path: Path, encoding: str
) -> None:
    digests, contents, frames = set(), [], []
    for number, codec in enumerate(("fast", "fast", "small", "zlib", "blosclz", "lz4hc")):
        (summary,) = convert(
            products, tmp_path / str(number), patch_size=96, encoding=encoding, codec=codec, polarization="vv"
        )
        digests.add(summary.content_digest)
        with h5py.File(summary.path) as f:
            contents.append(f["patches"][:])
            frames.append([f["patches"].id.read_direct_chunk((i, 0, 0))[1] for i in range(len(f["patches"]))])
    assert len(digests) == 1
    assert all(np.array_equal(content, contents[0]) for content in contents)
    assert frames[0] == frames[1]
    assert frames[0] != frames[2]


def test_the_digest_differs_when_one_pixel_differs(tmp_path: Path) -> None:
    digests = []
    dn = make_dn(7, (64, 64))
    for number in range(2):
        dn[33, 44] = 120 + number
        write_raster(tmp_path / f"{number}" / "a_vv.tif", dn)
        (summary,) = convert(
            tmp_path / f"{number}", tmp_path / f"out{number}", patch_size=32, stride=32, vmin=14.77, vmax=24.54
        )
        digests.append(summary.content_digest)
    assert digests[0] != digests[1]


# The output directory


def test_an_existing_result_is_refused_and_untouched_unless_overwriting(products: Path, tmp_path: Path) -> None:
    (tmp_path / "vh.h5").write_bytes(b"precious")
    with pytest.raises(OutputExistsError, match=r"vh\.h5: is there already; pass --overwrite"):
        convert(products, tmp_path, patch_size=128)
    assert [path.name for path in tmp_path.iterdir()] == ["vh.h5"]
    assert (tmp_path / "vh.h5").read_bytes() == b"precious"
    convert(products, tmp_path, patch_size=128, overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["vh.h5", "vv.h5"]
    assert verify(tmp_path / "vh.h5").ok


def test_a_failed_overwrite_leaves_the_old_result(products: Path, tmp_path: Path) -> None:
    (tmp_path / "vv.h5").write_bytes(b"precious")
    with pytest.raises(BoundsError, match="vmin must be below vmax"):
        convert(products, tmp_path, vmin=3, vmax=3, overwrite=True)
    with pytest.raises(OSError, match=r"no vv patch is left: all 12 have less than 90% .*lower --min-valid.* 90.00 dB"):
        convert(products, tmp_path, vmin=80, vmax=90, overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["vv.h5"]
    assert (tmp_path / "vv.h5").read_bytes() == b"precious"


def test_directories_are_made_and_taken_away_again_where_nothing_comes_of_them(products: Path, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="no vv patch is left"):
        convert(products, tmp_path / "a" / "b", vmin=80, vmax=90)
    assert list(tmp_path.iterdir()) == []
    convert(products, tmp_path / "a" / "b", patch_size=128)
    assert sorted(path.name for path in (tmp_path / "a" / "b").iterdir()) == ["vh.h5", "vv.h5"]


@pytest.mark.parametrize("name", ["file/below", "x" * 300, "new/" + "x" * 300])
def test_an_output_directory_that_cannot_be_made_is_an_error_that_names_it(
    products: Path, tmp_path: Path, name: str
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"expected a directory to write to, cannot make it.*choose another --out"):
        convert(products, tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_too_little_disk_is_said_before_anything_is_written(
    products: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=100_000))
    with pytest.raises(OutputError, match=r"expected about 0\.00\d GB of free disk.*found 0\.000 GB; free some"):
        convert(products, tmp_path / "h5")
    assert list(tmp_path.iterdir()) == []


def test_the_estimate_of_disk_space_is_near_what_is_needed(
    products: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    summary = convert(products, tmp_path / "a", patch_size=128)
    needed = sum(file.nbytes for file in summary)
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=needed * 3 // 2))
    convert(products, tmp_path / "b", patch_size=128)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=needed * 2 // 3))
    with pytest.raises(OutputError, match="free disk"):
        convert(products, tmp_path / "c", patch_size=128)


def test_the_history_says_what_was_run(products: Path, tmp_path: Path) -> None:
    convert(products, tmp_path, patch_size=128, min_valid=0.5, polarization="vv")
    with h5py.File(tmp_path / "vv.h5") as f:
        history = f.attrs["history"]
    assert f"convert {products} with patch_size=128, min_valid=0.5, polarizations=('vv',)" in history


def test_the_summary_is_iterable_indexable_and_plain_data(products: Path, tmp_path: Path) -> None:
    summary = convert(str(products), str(tmp_path), patch_size=128)
    assert [file.polarization for file in summary] == ["vv", "vh"]
    assert summary["vh"] is summary[1]
    assert len(summary) == 2
    with pytest.raises(KeyError, match="hh"):
        summary["hh"]
    data = json.loads(json.dumps(summary.to_dict()))
    entry = data["files"][0]
    assert entry["path"] == str(tmp_path / "vv.h5")
    assert entry["nbytes"] == (tmp_path / "vv.h5").stat().st_size
    with h5py.File(tmp_path / "vv.h5") as f:
        assert entry["patches"] == len(f["patches"])
        assert entry["content_digest"] == f.attrs["content_digest"]
    assert entry["ratio"] == pytest.approx(entry["patches"] * 128 * 128 * 4 / entry["nbytes"])


# Broken sources that only reading finds


@pytest.fixture
def damaged(products: Path, tmp_path: Path) -> tuple[Path, list[str]]:
    """The products with one truncated VV raster and one truncated VH raster, and their names."""
    copy = tmp_path / "damaged"
    shutil.copytree(products, copy)
    safes = sorted(copy.iterdir())
    paths = [next(safes[0].rglob("*-vv-*.tiff")), next(safes[1].rglob("*-vh-*.tiff"))]
    for path in paths:
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return copy, [path.name for path in paths]


@pytest.mark.parametrize("given", [{}, {"vmin": 14.0, "vmax": 26.0}])
def test_unreadable_rasters_of_all_polarizations_are_named_at_once(
    damaged: tuple[Path, list[str]], tmp_path: Path, given: dict[str, float]
) -> None:
    source, names = damaged
    with pytest.raises(BadSourceError, match="2 sources are broken; nothing was written") as caught:
        convert(source, tmp_path / "h5", patch_size=128, **given)
    assert [Path(bad.path).name for bad in caught.value.sources] == names
    assert all("expected a readable" in bad.reason for bad in caught.value.sources)
    assert not (tmp_path / "h5").exists()


@pytest.mark.parametrize("given", [{}, {"vmin": 14.0, "vmax": 26.0}])
def test_skipping_leaves_broken_rasters_out_of_everything_and_lists_them(
    damaged: tuple[Path, list[str]], products: Path, tmp_path: Path, given: dict[str, float]
) -> None:
    source, names = damaged
    summary = convert(source, tmp_path, patch_size=128, on_bad_source="skip", **given)
    assert [Path(bad.path).name for bad in summary.skipped] == names
    for polarization, number in (("vv", 1), ("vh", 0)):
        image = rasters(products, polarization)[number]
        path = tmp_path / f"{polarization}.h5"
        bounds = stored_bounds(path)
        assert bounds == (tuple(given.values()) or pytest.approx(reference.percentile_bounds([image]), abs=1e-9))
        reference.assert_equals(path, expected_cut([image], bounds, 128, 128, 0.9))
        (bad,) = summary[polarization].skipped
        assert str(bad) in summary.to_text()
        with h5py.File(path) as f:
            assert f.attrs["skipped_sources"].tolist() == [str(bad)]
            assert f["histogram"][:].sum() == np.count_nonzero(image)
        assert verify(path).ok


def test_a_polarization_of_which_nothing_is_left_is_skipped_as_a_whole(
    damaged: tuple[Path, list[str]], tmp_path: Path
) -> None:
    source, names = damaged
    first = sorted(source.iterdir())[0]
    for given in ({}, {"vmin": 14, "vmax": 26}):
        out = tmp_path / f"h5{len(given)}"
        summary = convert(first, out, patch_size=128, on_bad_source="skip", **given)
        assert [path.name for path in out.iterdir()] == ["vh.h5"]
        assert [file.polarization for file in summary] == ["vh"]
        assert [Path(bad.path).name for bad in summary.skipped] == names[:1]
        assert names[0] in summary.to_text()


def test_a_raster_that_vanishes_on_the_way_is_a_broken_source(
    products: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(products, tmp_path / "in")
    victim = sorted((tmp_path / "in").rglob("*-vv-*.tiff"))[0]
    from sar_h5.raster_job import RasterJob

    plan = RasterJob.plan

    def plan_and_lose(self: RasterJob, progress: object) -> object:
        result = plan(self, progress)  # type: ignore[arg-type]
        victim.unlink(missing_ok=True)
        return result

    monkeypatch.setattr(RasterJob, "plan", plan_and_lose)
    with pytest.raises(BadSourceError, match=victim.name):
        convert(tmp_path / "in", tmp_path / "h5", patch_size=128)
    assert not (tmp_path / "h5").exists()


# Memory


MEASURE = """
import resource, sys
from pathlib import Path
import sar_h5.conversion, sar_h5.raster_job, sar_h5.shard_job, rasterio, h5py, hdf5plugin, numcodecs.blosc, numpy
def peak():
    line = next(l for l in Path("/proc/self/status").read_text().splitlines() if l.startswith("VmHWM"))
    return int(line.split()[1]) / 1024
before = peak()
sar_h5.conversion.convert(sys.argv[1], sys.argv[2], cache_nbytes=int(sys.argv[3]))
print(peak() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")
@pytest.mark.parametrize("cached_scenes", [0, 1])
def test_memory_stays_far_below_400_mb_and_does_not_grow_with_the_scenes(tmp_path: Path, cached_scenes: int) -> None:
    peaks = []
    for count in (1 + 2 * cached_scenes, 12):  # more than stay in memory
        source = tmp_path / f"in{count}"
        for number in range(count):
            write_raster(
                source / f"s{number}_vv.tif", make_dn(number, (1000, 4000)), compress="deflate", zlevel=1, tiled=True
            )
        run = subprocess.run(
            [sys.executable, "-c", MEASURE, str(source), str(tmp_path / f"out{count}"), str(cached_scenes * 8_000_000)],
            capture_output=True, text=True, check=True, env={**os.environ, "PYTHONWARNINGS": "ignore"},
        )  # fmt: skip
        peaks.append(float(run.stdout))
        shutil.rmtree(source)
    assert max(peaks) < 250
    assert peaks[1] < peaks[0] + 25


def test_converting_needs_no_torch(products: Path, tmp_path: Path) -> None:
    code = f"""
    import sys
    from sar_h5 import convert, verify
    convert({str(products)!r}, {str(tmp_path)!r}, patch_size=128)
    print(verify({str(tmp_path / "vv.h5")!r}).ok, "torch" in sys.modules)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["True", "False"]


def test_the_order_of_scenes_is_that_of_their_names(tmp_path: Path) -> None:
    for orbit, seed in ((36209, 1), (36201, 2), (36205, 3)):
        scene = SimulatedScene(height=80, width=120, border_px=4, seed=seed, orbit=orbit, polarizations=("VV",))
        simulate_product(tmp_path / "in", scene)
    convert(tmp_path / "in", tmp_path / "h5", patch_size=32, stride=32, min_valid=0.1)
    with h5py.File(tmp_path / "h5" / "vv.h5") as f:
        assert f["scenes/orbit"][:].tolist() == [36201, 36205, 36209]
        assert sorted(set(f["index/scene"][:].tolist())) == [0, 1, 2]


def test_two_shards_of_the_same_bytes_are_noted(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        make_shards(tmp_path / name, counts=(2,))
    summary = convert([tmp_path / "a", tmp_path / "b"], tmp_path / "h5", progress=False)
    assert summary["vv"].patches == 4
    assert any("holds the same bytes as" in note for note in summary["vv"].notes)


def test_a_polarization_without_any_usable_source_is_said_to_have_no_file(tmp_path: Path) -> None:
    make_shards(tmp_path, "vv", counts=(2,))
    (tmp_path / "metadata.npy").unlink()
    broken = np.full((2, 32, 32), np.nan, dtype=np.float32)
    np.save(tmp_path / "other-vh-1.npy", broken)
    summary = convert(tmp_path, tmp_path / "h5", vmin=14.77, vmax=24.54, on_bad_source="skip", progress=False)
    assert [file.polarization for file in summary] == ["vv"]
    assert summary["vv"].skipped == ()
    assert "No file was made of these" in summary.to_text()
    assert "other-vh-1.npy: patch 0 holds NaN" in summary.to_text()
