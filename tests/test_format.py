"""The file as others see it: Debian's h5ls and h5dump, plain h5py, every object of ``format.md``, and the golden file."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import uuid
from pathlib import Path

import h5py
import hdf5plugin
import numpy as np
import pytest

from sar_h5 import convert, verify
from sar_h5.info import read_info
from tests import reference
from tests.golden.make import make_scene
from tests.raster_files import TRANSFORM, write_raster

GOLDEN = Path(__file__).parent / "golden" / "v1.0.h5"

PATCH_ATTRIBUTES = {
    "vmin": np.float64,
    "vmax": np.float64,
    "patch_size": np.int64,
    "stride": np.int64,
    "min_valid": np.float64,
    "polarization": str,
    "encoding": str,
    "layout": str,
}
ROOT_TEXTS = (
    "format", "format_version", "Conventions", "title", "history", "quantity", "units", "uuid", "content_digest",
    "software", "valid_measure", "bounds_origin",
)  # fmt: skip
INDEX = {"scene": "<i4", "row": "<i4", "col": "<i4", "valid_fraction": "<f4", "checksum": "<u4"}
SCENES = {
    "name": str, "source_path": str, "source_size": "<i8", "source_checksum": "<u4", "height": "<i4", "width": "<i4",
    "start_time": str, "platform": str, "mode": str, "product_type": str, "orbit": "<i4", "pass": str,
    "patch_start": "<i8", "patch_count": "<i8", "dropped_count": "<i8", "crs": str, "transform": "<f8",
    "gcp_start": "<i8", "gcp_count": "<i8", "gcp_crs": str,
}  # fmt: skip


@pytest.fixture(scope="module")
def file(products: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Converted with all defaults."""
    out = tmp_path_factory.mktemp("h5")
    convert(products, out, polarization="vv")
    return out / "vv.h5"


def tool(name: str, *arguments: object) -> str:
    if shutil.which(name) is None:
        pytest.skip(f"{name} (Debian's hdf5-tools) is not installed")
    environment = {**os.environ, "HDF5_PLUGIN_PATH": hdf5plugin.PLUGIN_PATH}
    run = subprocess.run(
        [name, *map(str, arguments)], capture_output=True, text=True, check=False, env=environment, timeout=60
    )
    assert run.returncode == 0, run.stderr
    assert "error" not in (run.stdout + run.stderr).lower()
    return run.stdout


def test_h5ls_lists_patches_with_shape_chunks_filter_and_bounds(file: Path) -> None:
    listing = re.sub(r" +", " ", tool("h5ls", "-v", file))
    with h5py.File(file) as f:
        count, vmin, vmax = len(f["patches"]), f.attrs["vmin"], f.attrs["vmax"]
    patches = listing[listing.index("patches Dataset") :]
    assert patches.startswith(f"patches Dataset {{{count}/Inf, 256/256, 256/256}}")
    assert "Chunks: {1, 256, 256}" in patches
    assert "Filter-0: blosc-32001" in patches
    for name, value in (("vmin", vmin), ("vmax", vmax)):
        assert re.search(rf"Attribute: {name} scalar\s+Type: native double", patches)
        for place in (f"/{name}", f"/patches/{name}"):
            data = re.search(r"DATA \{\s*\(0\): (\S+)", tool("h5dump", "-m", "%.17g", "-a", place, file))
            assert data, place
            assert float(data.group(1)) == value


def test_h5ls_lists_everything_without_error(file: Path) -> None:
    listing = tool("h5ls", "-r", "-v", file)
    for name in ("/histogram", "/index/scene", "/index/checksum", "/lut", "/scenes/name", "/scenes/gcps", "/patches"):
        assert f"\n{name} " in f"\n{listing}"


def test_h5dump_prints_the_codes_and_values(file: Path) -> None:
    codes = tool("h5dump", "-d", "/patches", "-s", "1,100,200", "-c", "1,1,8", "-y", "-w", "0", file)
    lut = tool("h5dump", "-d", "/lut", "-y", "-w", "0", "-m", "%.9g", file)
    with h5py.File(file) as f:
        expected, table = f["patches"][1, 100, 200:208], f["lut"][:]
    data = codes[codes.index("DATA {") :]
    assert [int(number) for number in re.findall(r"\d+", data[: data.index("}")])] == expected.tolist()
    data = lut[lut.index("DATA {") + 6 :]
    printed = np.array([float(number) for number in data[: data.index("}")].split(",")], dtype=np.float32)
    np.testing.assert_array_equal(printed, table)
    assert "H5T_STD_I32LE" in tool("h5dump", "-d", "/index/row", file)
    assert "s1a" in tool("h5dump", "-d", "/scenes/source_path", file)


@pytest.mark.parametrize("encoding", ["palette", "dn", "float32"])
def test_all_objects_and_attributes_are_those_of_the_format(products: Path, tmp_path: Path, encoding: str) -> None:
    convert(products, tmp_path, encoding=encoding, patch_size=96)
    with h5py.File(tmp_path / "vv.h5") as f:
        count = len(f["patches"])
        tables = {"patches", "index", "scenes", "histogram"} | ({"lut"} if encoding != "float32" else set())
        assert set(f) == tables
        assert f["patches"].shape == (count, 96, 96)
        assert f["patches"].chunks == (1, 96, 96)
        assert f["patches"].dtype.str == {"palette": "<u2", "dn": "<u2", "float32": "<f4"}[encoding]
        if "lut" in f:
            assert f["lut"].dtype.str == "<f4"
            assert len(f["lut"]) == (65536 if encoding == "dn" else len(np.unique(f["lut"][1:])) + 1)
        assert (f["histogram"].shape, f["histogram"].dtype.str) == ((65536,), "<u8")
        assert {name: column.dtype.str for name, column in f["index"].items()} == INDEX
        assert {column.shape for column in f["index"].values()} == {(count,)}
        assert set(f["scenes"]) == {*SCENES, "gcps"}
        assert f["scenes/gcps"].shape == (f["scenes/gcp_count"][:].sum(), 5)
        assert len(f["scenes/gcps"]) > 0
        for name, kind in SCENES.items():
            column = f["scenes"][name]
            assert column.shape == ((2, 6) if name == "transform" else (2,))
            if kind is str:
                assert h5py.check_string_dtype(column.dtype).encoding == "utf-8"
            else:
                assert column.dtype.str == kind


@pytest.mark.parametrize("encoding", ["palette", "dn", "float32"])
def test_attributes_stand_on_the_root_and_again_on_patches(products: Path, tmp_path: Path, encoding: str) -> None:
    convert(products, tmp_path, encoding=encoding, patch_size=96, stride=48, min_valid=0.75, vmin=14.5, vmax=25.25)
    with h5py.File(tmp_path / "vh.h5") as f:
        for holder in (f, f["patches"]):
            for name, kind in PATCH_ATTRIBUTES.items():
                assert type(holder.attrs[name]) is kind, name
            assert (holder.attrs["vmin"], holder.attrs["vmax"]) == (14.5, 25.25)
            assert (holder.attrs["patch_size"], holder.attrs["stride"], holder.attrs["min_valid"]) == (96, 48, 0.75)
            assert (holder.attrs["polarization"], holder.attrs["encoding"]) == ("vh", encoding)
            assert holder.attrs["layout"] == "patches"
            assert holder.attrs.get("invalid_code") == (None if encoding == "float32" else 0)
        for name in ROOT_TEXTS:
            assert isinstance(f.attrs[name], str), name
            assert f.attrs[name], name
        assert (f.attrs["format"], f.attrs["format_version"]) == ("sar-h5", "1.0")
        assert uuid.UUID(f.attrs["uuid"]).version == 4
        assert re.fullmatch("[0-9a-f]{64}", f.attrs["content_digest"])
        assert f.attrs["skipped_sources"].tolist() == []


def test_every_dataset_says_what_it_is_and_every_number_its_unit(file: Path) -> None:
    seen = []

    def visit(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset):
            seen.append(name)
            assert item.attrs["long_name"], name
            # CF: no units on text; a table whose columns differ says them in its long_name
            is_text = h5py.check_string_dtype(item.dtype) is not None
            assert ("units" in item.attrs) != (is_text or name in ("scenes/transform", "scenes/gcps")), name

    with h5py.File(file) as f:
        f.visititems(visit)
    assert len(seen) == 3 + len(INDEX) + len(SCENES) + 1


def test_only_plain_types_are_used(file: Path) -> None:
    kinds = set()

    def visit(_: str, item: object) -> None:
        if isinstance(item, h5py.Dataset):
            kinds.add("text" if h5py.check_string_dtype(item.dtype) else item.dtype.kind)

    with h5py.File(file) as f:
        f.visititems(visit)
    assert kinds <= {"text", "i", "u", "f"}


def test_plain_h5py_gets_the_floats_in_one_line(file: Path) -> None:
    with h5py.File(file) as f:
        patch = f["lut"][:][f["patches"][1]]
    assert (patch.dtype, patch.shape) == (np.float32, (256, 256))
    assert 0 <= patch.min() < patch.max() <= 1


def test_the_scenes_say_where_they_came_from(products: Path, tmp_path: Path) -> None:
    convert(products, tmp_path, patch_size=128, polarization="vh")
    with h5py.File(tmp_path / "vh.h5") as f:
        scenes = f["scenes"]
        for number, safe in enumerate(sorted(products.iterdir())):
            path = next(safe.rglob("*-vh-*.tiff"))
            assert scenes["name"].asstr()[number] == safe.stem
            assert Path(scenes["source_path"].asstr()[number]).samefile(path)
            assert scenes["source_size"][number] == path.stat().st_size
            assert (scenes["height"][number], scenes["width"][number]) == (400, 600)
            assert scenes["orbit"][number] == 36201 + number
            assert scenes["platform"].asstr()[number] == "S1A"
            assert scenes["mode"].asstr()[number] == "IW"
            assert scenes["product_type"].asstr()[number] == "GRD"
            assert scenes["pass"].asstr()[number] == "DESCENDING"
            assert scenes["start_time"].asstr()[number].startswith("2021-01-19T03:16:53")
            assert "4326" in scenes["gcp_crs"].asstr()[number]


def test_the_transform_of_a_geocoded_raster_is_kept(tmp_path: Path) -> None:
    write_raster(tmp_path / "a_vv.tif", make_scene(0))
    convert(tmp_path / "a_vv.tif", tmp_path / "h5", patch_size=32, min_valid=0.1)
    with h5py.File(tmp_path / "h5" / "vv.h5") as f:
        assert f["scenes/transform"][0].tolist() == list(TRANSFORM)[:6]
        assert "32633" in f["scenes/crs"].asstr()[0]


# The golden file: made once with format 1.0 by golden/make.py, and never again


def test_the_golden_file_stays_small_readable_and_sound() -> None:
    assert GOLDEN.stat().st_size < 100_000
    report = verify(GOLDEN)
    assert report.problems == ()
    assert report.patches == 12
    info = read_info(GOLDEN)
    assert (info.settings.vmin, info.settings.vmax, info.settings.encoding) == (14, 26, "palette")
    assert [scene["name"] for scene in info.scenes] == ["golden0", "golden1"]


def test_the_golden_file_holds_the_values_it_was_made_with() -> None:
    values = reference.read_plain(GOLDEN)
    assert values.shape == (12, 32, 32)
    scenes = [reference.scale(reference.to_db(make_scene(number))[0], 14, 26) for number in range(2)]
    expected = reference.cut(scenes, 32, 32, 0.5)
    np.testing.assert_allclose(values, expected.values, rtol=0, atol=2e-7)  # another processor's logarithm
    written_down = {
        (0, 0, 0): 0.0,
        (5, 0, 0): 0.7982791,
        (5, 0, 1): 0.80922335,
        (5, 0, 2): 0.81984633,
        (5, 0, 3): 0.83016616,
        (5, 31, 28): 0.7226432,
        (5, 31, 31): 0.76155615,
    }
    for place, value in written_down.items():
        assert values[place] == np.float32(value)
    with h5py.File(GOLDEN) as f:
        assert f["index/scene"][:].tolist() == [0] * 6 + [1] * 6
        assert f["index/row"][:].tolist() == [0, 0, 32, 32, 64, 64] * 2
        assert f["index/col"][:].tolist() == [0, 32] * 6
        assert f.attrs["content_digest"] == "fe5a9c0929270243f09774ee7d57b5b472af2afdb56a9a4b2fee05f3aaf7d048"


def test_converting_the_golden_scenes_again_gives_the_same_digest(tmp_path: Path) -> None:
    for number in range(2):
        write_raster(tmp_path / f"golden{number}-vv.tif", make_scene(number))
    (summary,) = convert(
        tmp_path, tmp_path / "h5", patch_size=32, stride=32, vmin=14, vmax=26, min_valid=0.5, codec="small"
    )
    with h5py.File(GOLDEN) as f:
        assert summary.content_digest == f.attrs["content_digest"]
