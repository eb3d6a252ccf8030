"""Patches as GeoTIFFs: what plain rasterio reads of them is what the file holds, where it lies on the ground."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest
import rasterio
from rasterio.errors import NotGeoreferencedWarning
from rasterio.transform import GCPTransformer
from rasterio.windows import Window

from sar_h5 import convert, export_geotiffs, export_shards, repair, verify
from sar_h5.errors import CorruptPatchError, FormatError, OutputError, SettingError, SourceError
from sar_h5.exports import geotiff_export
from sar_h5.verify_report import ProblemKind
from tests.command_line import CommandLine, snapshot
from tests.conftest import REAL_SCENE, make_shards
from tests.damage import break_patch
from tests.exported_files import HOSTILE_NAMES, assert_same, digest, make_file, read_values, rename_scenes
from tests.raster_files import GCPS, TRANSFORM, write_raster


@pytest.fixture(scope="module")
def made(products: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """12 patches of two scenes."""
    return make_file(products, tmp_path_factory.mktemp("h5"), patch_size=160, stride=130)


@pytest.fixture
def _lies_nowhere() -> Iterator[None]:
    """Reading a raster without a place makes rasterio warn."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        yield


def rasters(directory: Path) -> list[Path]:
    return sorted(directory.rglob("*.tif"))


def place(path: Path) -> tuple[int, int]:
    row, col = path.stem.split("_")
    return int(row), int(col)


# Real scenes


def test_digital_numbers_and_control_points_of_a_real_scene_are_those_of_its_raster(
    real_data: Path, tmp_path: Path
) -> None:
    (summary,) = convert(
        real_data / REAL_SCENE, tmp_path / "h5", polarization="vv", patch_size=256, stride=300, min_valid=0,
        encoding="dn",
    )  # fmt: skip
    export = export_geotiffs(summary.path, tmp_path / "out", pixels="dn")
    assert export.patches == len(rasters(tmp_path / "out" / REAL_SCENE)) == 8
    with rasterio.open(real_data / REAL_SCENE / "measurement" / "iw-vv.tiff") as scene:
        scene_points, scene_crs = scene.gcps
        on_scene = GCPTransformer(scene_points)
        for path in rasters(tmp_path / "out"):
            row, col = place(path)
            with rasterio.open(path) as patch:
                np.testing.assert_array_equal(patch.read(1), scene.read(1, window=Window(col, row, 256, 256)))
                assert (patch.nodata, patch.dtypes, patch.block_shapes) == (0, ("uint16",), [(256, 256)])
                points, crs = patch.gcps
                assert crs == scene_crs
                moved = [(point.row + row, point.col + col, point.x, point.y, point.z) for point in points]
                expected_points = [(point.row, point.col, point.x, point.y, point.z) for point in scene_points]
                np.testing.assert_allclose(moved, expected_points, rtol=0, atol=1e-10)
                with GCPTransformer(points) as on_patch:
                    pixels = [(0, 0), (128, 77), (255, 255)]
                    expected = [on_scene.xy(row + y, col + x) for y, x in pixels]
                    np.testing.assert_allclose([on_patch.xy(y, x) for y, x in pixels], expected, rtol=0, atol=1e-7)
        on_scene.close()
    (back,) = convert(tmp_path / "out", tmp_path / "again")
    assert back.content_digest == summary.content_digest
    assert_same(Path(summary.path), Path(back.path))


def test_values_crs_and_pixels_without_data_of_a_real_raster_are_kept(real_data: Path, tmp_path: Path) -> None:
    source = sorted((real_data / "opera_rtc_nan").glob("*.tif"))[0]
    (summary,) = convert(
        source, tmp_path / "h5", patch_size=64, stride=50, min_valid=0, valid_by="pixels", units="linear",
        vmin=-30, vmax=0,
    )  # fmt: skip
    export_geotiffs(summary.path, tmp_path / "out")
    values = read_values(Path(summary.path))
    with rasterio.open(source) as scene:
        for value, path in zip(values, sorted(rasters(tmp_path / "out"), key=place), strict=True):
            row, col = place(path)
            window = Window(col, row, 64, 64)
            with rasterio.open(path) as patch:
                assert patch.read(1).tobytes() == value.tobytes()
                assert patch.crs == scene.crs
                assert patch.transform == scene.transform @ rasterio.Affine.translation(col, row)
                assert (patch.nodata, patch.count) == (None, 1)
                pixels = scene.read(1, window=window)
                held = np.isfinite(pixels) & (pixels > 0)
                np.testing.assert_array_equal(patch.read_masks(1) > 0, held)
                np.testing.assert_array_equal(patch.read(1, masked=True).mask, ~held)
    (back,) = convert(tmp_path / "out", tmp_path / "again")
    assert_same_but_fraction(Path(summary.path), Path(back.path))


def assert_same_but_fraction(one: Path, other: Path) -> None:
    """Compare files where "pixels" counted as valid what values do not tell."""
    np.testing.assert_array_equal(read_values(one), read_values(other))
    with h5py.File(one) as first, h5py.File(other) as second:
        for name in ("index/row", "index/col", "scenes/crs", "scenes/transform", "scenes/height"):
            np.testing.assert_array_equal(first[name][:], second[name][:])


# There and back


@pytest.mark.parametrize("settings", [{}, {"encoding": "dn"}, {"encoding": "float32", "codec": "small"}])
def test_values_come_back_with_places_scenes_and_settings(
    products: Path, tmp_path: Path, settings: dict[str, object]
) -> None:
    path = make_file(products, tmp_path / "h5", patch_size=160, stride=130, **settings)
    export_geotiffs(path, tmp_path / "out", jobs=1)
    (back,) = convert(tmp_path / "out", tmp_path / "again")
    assert_same(path, Path(back.path))
    assert verify(back.path, source=tmp_path / "out").problems == ()


def test_digital_numbers_come_back_under_any_number_of_threads_and_any_encoding(products: Path, tmp_path: Path) -> None:
    path = make_file(products, tmp_path / "h5", patch_size=160, stride=130, encoding="dn")
    export_geotiffs(path, tmp_path / "one", pixels="dn", jobs=1)
    export_geotiffs(path, tmp_path / "four", pixels="dn", jobs=4)
    files = [sorted(file.relative_to(tmp_path / name) for file in rasters(tmp_path / name)) for name in ("one", "four")]
    assert files[0] == files[1]
    assert all((tmp_path / "one" / file).read_bytes() == (tmp_path / "four" / file).read_bytes() for file in files[0])
    (back,) = convert(tmp_path / "four", tmp_path / "again")
    assert (back.encoding, back.content_digest) == ("dn", digest(path))
    with h5py.File(back.path) as file:
        assert (file.attrs["quantity"], "histogram" in file) == ("digital number of the detected amplitude", False)
    kinds = {problem.kind for problem in verify(path, source=tmp_path / "four").problems}
    assert kinds == {ProblemKind.SOURCE_CHANGED}  # the same patches, of other files
    values = read_values(path)
    break_patch(path, 3)
    repair(path, tmp_path / "repaired.h5", source=tmp_path / "four")
    assert digest(tmp_path / "repaired.h5") == back.content_digest
    (palette,) = convert(tmp_path / "four", tmp_path / "palette", encoding="palette")
    np.testing.assert_array_equal(read_values(Path(palette.path)), values)
    assert verify(palette.path).problems == ()


@pytest.mark.usefixtures("_lies_nowhere")
def test_patches_of_shards_are_named_by_their_positions_and_come_back_with_the_digest(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    make_shards(tmp_path / "in")
    (summary,) = convert(tmp_path / "in", tmp_path / "h5")
    export_geotiffs(summary.path, tmp_path / "out", where="patch != 1")
    names = [path.stem for path in rasters(tmp_path / "out")]
    assert names == ["0", "2", "3", "4", "0", "1", "2"]
    export_geotiffs(summary.path, tmp_path / "all")
    (back,) = convert(tmp_path / "all", tmp_path / "again")
    assert back.content_digest == summary.content_digest


@pytest.mark.parametrize(
    "profile",
    [
        {},
        {"crs": None},
        {"crs": "EPSG:4326", "transform": rasterio.Affine(0.1, 0.02, 10, 0.03, -0.2, 50)},
        {"gcps": GCPS, "crs": "EPSG:4326"},
        {"gcps": [rasterio.control.GroundControlPoint(row / 3, col / 7, row + 0.1, col, None)
                  for row in (0, 100) for col in (0, 50, 99)], "crs": "EPSG:4326"},
    ],
    ids=["utm", "no crs", "sheared", "gcps", "gcps between pixels"],
)  # fmt: skip
def test_every_kind_of_georeference_comes_back_exactly(tmp_path: Path, profile: dict[str, object]) -> None:
    write_raster(tmp_path / "scene-vv.tif", np.arange(1, 100 * 90 + 1, dtype=np.uint16).reshape(100, 90), **profile)
    (summary,) = convert(tmp_path / "scene-vv.tif", tmp_path / "h5", patch_size=32, stride=20, min_valid=0)
    export_geotiffs(summary.path, tmp_path / "out")
    with rasterio.open(tmp_path / "out" / "scene" / "20_40.tif") as patch:
        if "gcps" in profile:
            assert len(patch.gcps[0]) == len(profile["gcps"])  # type: ignore[arg-type]
        else:
            transform = profile.get("transform", TRANSFORM)
            assert patch.transform.almost_equals(transform @ rasterio.Affine.translation(40, 20), 1e-9)  # type: ignore[operator]
    (back,) = convert(tmp_path / "out", tmp_path / "again")
    assert_same(Path(summary.path), Path(back.path))


# What others see


def test_tags_tell_people_and_programs_what_a_patch_is(made: Path, tmp_path: Path) -> None:
    export_geotiffs(made, tmp_path / "out", where="row == 130 and col == 260")
    (path, _) = rasters(tmp_path / "out")
    with rasterio.open(path) as patch:
        tags, scene = patch.tags(), path.parent.name
        assert patch.descriptions == ("VV",)
        assert patch.profile["compress"] == "deflate"
        assert patch.tags(ns="IMAGE_STRUCTURE")["PREDICTOR"] == "3"
    assert tags["TIFFTAG_IMAGEDESCRIPTION"].startswith(f"SAR patch, VV, {scene}, row 130, column 260: dB from")
    assert tags["TIFFTAG_DATETIME"] == "2021:01:19 03:16:53"
    with h5py.File(made) as file:
        assert (float(tags["SAR_H5_VMIN"]), float(tags["SAR_H5_VMAX"])) == (file.attrs["vmin"], file.attrs["vmax"])
    expected = {"SCENE": scene, "ROW": "130", "COL": "260", "POLARIZATION": "vv", "STRIDE": "130", "PATCH_SIZE": "160"}
    assert {name: tags[f"SAR_H5_{name}"] for name in expected} == expected


# Hostile and broken files


@pytest.mark.parametrize("places", ["known", "unknown"])
@pytest.mark.usefixtures("_lies_nowhere")
def test_no_name_within_a_file_leads_outside_and_all_of_them_come_back(made: Path, tmp_path: Path, places: str) -> None:
    (tmp_path / "top").mkdir()
    path = Path(shutil.copy(made, tmp_path / "top" / "vv.h5"))
    names = HOSTILE_NAMES[:12]
    rename_scenes(path, names)
    if places == "unknown":
        with h5py.File(path, "a") as file:
            file["index/row"][:] = file["index/col"][:] = -1
    before = snapshot(tmp_path) or {}
    export_geotiffs(path, tmp_path / "top" / "out")
    added = {Path(place) for place in snapshot(tmp_path) or {} if place not in before}
    assert all(place.is_relative_to(tmp_path / "top" / "out") or place.name == "out.lock" for place in added)
    (back,) = convert(tmp_path / "top" / "out", tmp_path / "again")
    np.testing.assert_array_equal(read_values(Path(back.path)), read_values(path))
    with h5py.File(back.path) as file:
        assert sorted(file["scenes/name"].asstr()[:]) == sorted(names)


def test_a_broken_patch_is_named_and_nothing_is_left(made: Path, tmp_path: Path) -> None:
    path = Path(shutil.copy(made, tmp_path / "vv.h5"))
    break_patch(path, 7)
    with pytest.raises(CorruptPatchError, match="patch 7 cannot be read"):
        export_geotiffs(path, tmp_path / "out")
    assert [file.name for file in tmp_path.iterdir()] == ["vv.h5"]


def test_reference_systems_that_are_none_are_named(made: Path, tmp_path: Path) -> None:
    path = Path(shutil.copy(made, tmp_path / "vv.h5"))
    with h5py.File(path, "a") as file:
        file["scenes/gcp_crs"][:] = b"nonsense"
    with pytest.raises(FormatError, match="reference system as WKT, found 'nonsense'"):
        export_geotiffs(path, tmp_path / "out")
    export_shards(path, tmp_path / "shards")


def test_what_cannot_be_exported_is_refused(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingError, match="no digital numbers to export: it was made with --encoding palette"):
        export_geotiffs(made, tmp_path / "out", pixels="dn")
    with pytest.raises(SettingError, match="expected pixels values or dn; found 'db'"):
        export_geotiffs(made, tmp_path / "out", pixels="db")  # type: ignore[arg-type]
    usage = shutil.disk_usage(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
        with pytest.raises(OutputError, match="choose another --geotiff"):
            export_geotiffs(made, tmp_path / "out")

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OutputError, match=r"cannot be written .*: No space left on device"):
        export_geotiffs(made, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_memory_does_not_grow_with_the_file(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[int] = []
    read = geotiff_export.PatchSource.values

    def note(source: geotiff_export.PatchSource, numbers: np.ndarray, threads: int = 1) -> np.ndarray:
        held.append(len(numbers))
        return read(source, numbers, threads)

    monkeypatch.setattr(geotiff_export.PatchSource, "values", note)
    monkeypatch.setattr(geotiff_export, "BATCH_NBYTES", 160 * 160 * 4 * 2)
    export_geotiffs(made, tmp_path / "out")
    assert max(held) == 2


def test_the_command_exports_and_converts_back(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = CommandLine(monkeypatch, capsys)
    outcome = command.run("export", made, "--geotiff", tmp_path / "out", "--json")
    assert (outcome.code, outcome.err) == (0, "")
    summary = json.loads(outcome.out)
    nbytes = sum(path.stat().st_size for path in rasters(tmp_path / "out"))
    assert (summary["kind"], summary["pixels"], summary["nbytes"]) == ("geotiff", "values", nbytes)
    assert command.run("convert", tmp_path / "out", "--out", tmp_path / "again").code == 0
    assert_same(made, tmp_path / "again" / "vv.h5")
    command.refuse("export", made, "--geotiff", tmp_path / "out", untouched=tmp_path / "out")


def test_patches_and_shards_of_the_same_polarization_are_not_taken_for_different_ones(
    made: Path, tmp_path: Path
) -> None:
    export_geotiffs(made, tmp_path / "a")
    export_shards(made, tmp_path / "b")
    with pytest.raises(SourceError, match="both shards and rasters of single patches of vv"):
        convert(tmp_path, tmp_path / "h5")
