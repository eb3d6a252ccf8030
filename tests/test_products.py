from __future__ import annotations

import json
import shutil
import struct
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest

from sar_h5.errors import BadSource
from sar_h5.sources import products as products_module
from sar_h5.sources.archives import archive_rasters
from sar_h5.sources.naming import find_product_name
from sar_h5.sources.products import (
    RasterFile,
    is_product_directory,
    loose_raster,
    name_facts,
    named_raster,
    product_directory_rasters,
    product_of,
)
from sar_h5.sources.rasters import open_scenes
from sar_h5.sources.simulator import SimulatedScene, simulate_product
from tests.conftest import REAL_SCENE
from tests.raster_files import write_raster

NAME = "S1A_IW_GRDH_1SDV_20210119T031653_20210119T031718_036201_043ED0_8255"
MEASUREMENT = "s1a-iw-grd-{}-20210119t031653-20210119t031718-036201-043ed0-{}"
VV, VH = MEASUREMENT.format("vv", "001"), MEASUREMENT.format("vh", "002")
NO_RASTER = r"expected measurement/\*\.tiff, found no raster there: the product is incomplete, download it again"


def make_product(path: Path, rasters: tuple[str, ...] = (f"{VV}.tiff", f"{VH}.tiff")) -> Path:
    """A product directory with rasters and nothing else."""
    (path / "measurement").mkdir(parents=True)
    for raster in rasters:
        write_raster(path / "measurement" / raster)
    return path


def zip_tree(folder: Path, archive: Path, prefix: str = "") -> Path:
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for path in sorted(folder.rglob("*")):
            file.write(path, f"{prefix}{path.relative_to(folder).as_posix()}")
    return archive


def polarizations(rasters: list[RasterFile]) -> list[str]:
    return sorted(raster.info.polarization for raster in rasters)


def sole(broken: list[BadSource]) -> str:
    assert len(broken) == 1
    return str(broken[0])


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A simulated product directory of 60 x 80 pixels."""
    scene = SimulatedScene(height=60, width=80, border_px=4, seed=1)
    return simulate_product(tmp_path_factory.mktemp("simulated"), scene)


# Directories


def test_a_safe_directory_tells_everything_about_its_rasters(simulated: Path) -> None:
    rasters, broken = product_directory_rasters(simulated)
    assert broken == []
    assert polarizations(rasters) == ["vh", "vv"]
    for raster in rasters:
        info = raster.info
        assert info.name == simulated.stem
        assert Path(info.path).is_file()
        assert raster.gdal_path == info.path
        assert (raster.archive, raster.member) == (None, "")
        assert (info.platform, info.mode, info.product_type) == ("S1A", "IW", "GRD")
        assert info.start_time.startswith("2021-01-19T03:16:53")
        assert (info.orbit, info.orbit_pass) == (36201, "DESCENDING")


def test_the_real_cloud_layout_takes_its_name_and_facts_from_its_folder(real_data: Path) -> None:
    rasters, broken = product_directory_rasters(real_data / REAL_SCENE)
    assert broken == []
    assert [Path(raster.gdal_path).name for raster in rasters] == ["iw-vh.tiff", "iw-vv.tiff"]
    for raster in rasters:
        info = raster.info
        assert (info.name, info.platform, info.mode, info.product_type) == (REAL_SCENE, "S1A", "IW", "GRD")
        assert (info.start_time, info.orbit, info.orbit_pass) == ("2018-07-16T00:40:42", 22812, "")


def test_a_renamed_cloud_product_takes_its_name_from_its_product_info(tmp_path: Path) -> None:
    product = make_product(tmp_path / "north sea", ("iw-vv.tiff",))
    (product / "productInfo.json").write_text(json.dumps({"id": NAME, "path": "GRD/2021"}))
    rasters, _ = product_directory_rasters(product)
    assert (rasters[0].info.name, rasters[0].info.orbit) == (NAME, 36201)


@pytest.mark.parametrize("document", ["", "[]", '{"id": null}', '{"id": ["x"]}', "\udcff"])
def test_a_useless_product_info_leaves_the_folder_s_name(tmp_path: Path, document: str) -> None:
    product = make_product(tmp_path / "north sea", ("iw-vv.tiff",))
    (product / "productInfo.json").write_bytes(document.encode(errors="surrogateescape"))
    rasters, broken = product_directory_rasters(product)
    assert (rasters[0].info.name, rasters[0].info.orbit, broken) == ("north sea", -1, [])


def test_the_real_annotation_tells_time_orbit_and_pass(real_data: Path, tmp_path: Path) -> None:
    archive = next((real_data / "pyrosar").glob("*.zip"))
    with zipfile.ZipFile(archive) as file:
        file.extractall(tmp_path)
    product = tmp_path / f"{NAME}.SAFE"
    for name in (VV, VH):
        write_raster(product / "measurement" / f"{name}.tiff")
    rasters, broken = product_directory_rasters(product)
    assert broken == []
    assert polarizations(rasters) == ["vh", "vv"]
    for raster in rasters:
        info = raster.info
        assert (info.name, info.orbit, info.orbit_pass) == (NAME, 36201, "DESCENDING")
        assert info.start_time == "2021-01-19T03:16:53.799379"


def test_the_annotation_outranks_the_names(tmp_path: Path) -> None:
    product = make_product(tmp_path / f"{NAME}.SAFE", (f"{VV}.tiff",))
    (product / "annotation").mkdir()
    (product / "annotation" / f"{VV}.xml").write_text("<a><absoluteOrbitNumber>7</absoluteOrbitNumber></a>")
    (product / "manifest.safe").write_text("<m><orbitNumber>8</orbitNumber><pass>ascending</pass></m>")
    info = product_directory_rasters(product)[0][0].info
    assert (info.orbit, info.orbit_pass, info.platform) == (7, "ASCENDING", "S1A")


@pytest.mark.parametrize("orbit", ["-5", "12.5", "", "one", "9" * 50])
def test_an_orbit_that_is_no_number_is_unknown(tmp_path: Path, orbit: str) -> None:
    product = make_product(tmp_path / "x.SAFE", ("a-vv.tiff",))
    (product / "manifest.safe").write_text(f"<m><orbitNumber>{orbit}</orbitNumber></m>")
    assert product_directory_rasters(product)[0][0].info.orbit == -1


def test_a_broken_annotation_is_named_with_its_raster_and_spares_the_other(tmp_path: Path) -> None:
    product = make_product(tmp_path / f"{NAME}.SAFE")
    (product / "annotation").mkdir()
    (product / "annotation" / f"{VH}.xml").write_text("<product><adsHeader>")
    rasters, broken = product_directory_rasters(product)
    assert polarizations(rasters) == ["vv"]
    assert broken[0].path.endswith(f"{VH}.tiff")
    assert f"annotation/{VH}.xml: expected an XML document, found no element found" in sole(broken)


def test_a_polarization_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    product = make_product(tmp_path / f"{NAME}.SAFE", (f"{VV}.tiff",))
    (product / "annotation").mkdir()
    (product / "annotation" / f"{VV}.xml").write_text("<a><polarisation>XX</polarisation></a>")
    rasters, broken = product_directory_rasters(product)
    assert rasters == []
    assert "expected polarization vv, vh, hh, hv in its annotation, found 'xx'" in sole(broken)


def test_a_huge_document_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products_module, "_DOCUMENT_LIMIT_NBYTES", 1 << 20)
    product = make_product(tmp_path / f"{NAME}.SAFE", (f"{VV}.tiff",))
    (product / "manifest.safe").write_bytes(b"<a>" + bytes(1 << 20))
    rasters, broken = product_directory_rasters(product)
    assert rasters == []
    assert "manifest.safe is larger than 1 MB, which no product's is" in sole(broken)


def test_only_visible_rasters_count_whatever_their_case(tmp_path: Path) -> None:
    product = make_product(tmp_path / f"{NAME}.SAFE", (f"{VV}.TIFF", "iw-vh.tif"))
    (product / "measurement" / f"._{VV}.tiff").write_bytes(b"resource fork of macOS")
    (product / "measurement" / "thumbs.db").write_bytes(b"of Windows")
    rasters, broken = product_directory_rasters(product)
    assert (polarizations(rasters), broken) == (["vh", "vv"], [])


@pytest.mark.parametrize("content", [(), ("measurement/",), ("measurement/quick-look.png",), ("preview/a.tif",)])
def test_a_product_without_raster_is_named(tmp_path: Path, content: tuple[str, ...]) -> None:
    product = tmp_path / f"{NAME}.SAFE"
    product.mkdir()
    for name in content:
        (product / name).parent.mkdir(exist_ok=True)
        (product / name).mkdir() if name.endswith("/") else (product / name).write_bytes(b"x")
    rasters, broken = product_directory_rasters(product)
    assert rasters == []
    assert sole(broken).startswith(str(product))
    assert broken[0].reason == NO_RASTER.replace("\\", "")


def test_what_a_product_directory_is(tmp_path: Path, simulated: Path) -> None:
    assert is_product_directory(simulated)
    assert is_product_directory(make_product(tmp_path / "cloud", ()))
    for name, product in (("empty.SAFE", True), ("empty.safe", True), ("plain", False)):
        (tmp_path / name).mkdir()
        assert is_product_directory(tmp_path / name) is product
    (tmp_path / "plain" / "manifest.safe").touch()
    assert is_product_directory(tmp_path / "plain")


def test_a_safe_unpacked_into_a_folder_of_its_own_name_is_the_inner_one(tmp_path: Path) -> None:
    inner = make_product(tmp_path / f"{NAME}.SAFE" / f"{NAME}.SAFE")
    assert not is_product_directory(inner.parent)
    assert is_product_directory(inner)


# Archives


@pytest.mark.parametrize(
    ("prefix", "name"),
    [
        (f"{NAME}.SAFE/", f"{NAME}.zip"),
        (f"{NAME}.SAFE/", f"{NAME}.SAFE.zip"),  # as the Copernicus Data Space names them
        (f"{NAME}.SAFE/", "download (1).zip"),
        (f"{NAME}.SAFE/{NAME}.SAFE/", f"{NAME}.zip"),
        (f"my data/{NAME}.SAFE/", "my data.ZIP"),
        ("", f"{NAME}.zip"),
        ("", f"{NAME}.SAFE.zip"),
        (f"{NAME}/", "cloud layout.zip"),
    ],
)
def test_a_zipped_product_is_found_wherever_it_lies_in_its_archive(
    tmp_path: Path, simulated: Path, prefix: str, name: str
) -> None:
    archive = zip_tree(simulated, tmp_path / name, prefix)
    rasters, broken = archive_rasters(archive)
    assert broken == []
    assert polarizations(rasters) == ["vh", "vv"]
    for raster in rasters:
        assert raster.info.name in (NAME, simulated.stem)
        assert (raster.info.orbit, raster.info.orbit_pass) == (36201, "DESCENDING")
        assert raster.info.path.startswith(f"{archive}/measurement/")
        assert raster.archive == archive
        assert raster.member.startswith(f"{prefix}measurement/s1a-iw-grd-")
        scenes, unusable = open_scenes(raster, None)
        assert unusable == []
        assert scenes[0].rows(0, 60).shape == (60, 80)


def test_directory_entries_in_an_archive_are_not_needed(tmp_path: Path, simulated: Path) -> None:
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in (simulated / "measurement").iterdir():
            file.write(path, f"{NAME}.SAFE/measurement/{path.name}")
    rasters, broken = archive_rasters(archive)
    assert (polarizations(rasters), broken) == (["vh", "vv"], [])


def test_several_products_in_one_archive_are_all_found(tmp_path: Path, simulated: Path) -> None:
    other = NAME.replace("8255", "0000")
    archive = tmp_path / "two.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for name in (NAME, other):
            for path in (simulated / "measurement").iterdir():
                file.write(path, f"{name}.SAFE/measurement/{path.name}")
        file.writestr(f"__MACOSX/{NAME}.SAFE/measurement/._a-vv.tiff", b"resource fork")
        file.writestr("readme.txt", "hello")
    rasters, broken = archive_rasters(archive)
    assert broken == []
    assert sorted({raster.info.name for raster in rasters}) == [other, NAME]
    assert len(rasters) == 4


@pytest.mark.parametrize(
    "name",
    ["a b", "ü-日本", "{braces}", "{open", "close}", "}{", "per%20cent", "a#b?c", "a!b&c", "quo'te", "x.zip.d"],
)
def test_odd_names_of_archives_and_folders_open(tmp_path: Path, simulated: Path, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    archive = zip_tree(simulated, folder / f"{name}.zip", f"{name} ü {{x}}.SAFE/")
    rasters, broken = archive_rasters(archive)
    assert (polarizations(rasters), broken) == (["vh", "vv"], [])
    for raster in rasters:
        scenes, unusable = open_scenes(raster, None)
        assert unusable == []
        assert scenes[0].rows(0, 60).any()


def test_the_real_archive_without_measurement_is_refused(real_data: Path) -> None:
    archive = next((real_data / "pyrosar").glob("*.zip"))
    rasters, broken = archive_rasters(archive)
    assert rasters == []
    assert broken[0].path == str(archive)
    assert broken[0].reason == NO_RASTER.replace("\\", "")


def test_an_archive_without_product_says_what_was_expected(tmp_path: Path) -> None:
    archive = tmp_path / "tifs.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("a-vv.tif", b"II")
        file.writestr("not a folder.SAFE", b"")
    assert "holds neither a .SAFE directory nor a measurement folder" in sole(archive_rasters(archive)[1])


@pytest.mark.parametrize("content", [b"", b"PK", b"hello", bytes(1000), b"PK\x05\x06" + b"\xff" * 18])
def test_a_file_that_is_no_archive_is_named(tmp_path: Path, content: bytes) -> None:
    archive = tmp_path / "a.zip"
    archive.write_bytes(content)
    rasters, broken = archive_rasters(archive)
    assert rasters == []
    assert sole(broken).startswith(f"{archive}: expected a ZIP archive with a .SAFE product, but it cannot be read: ")


def test_a_missing_archive_and_a_folder_called_zip_are_named(tmp_path: Path) -> None:
    (tmp_path / "folder.zip").mkdir()
    for name in ("gone.zip", "folder.zip"):
        assert "cannot be read" in sole(archive_rasters(tmp_path / name)[1])


def _set_flag(archive: Path, flag: int) -> None:
    """Set a general purpose flag of every member, in both places where an archive keeps it."""
    data = bytearray(archive.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        place = data.find(signature)
        while place >= 0:
            (flags,) = struct.unpack_from("<H", data, place + offset)
            struct.pack_into("<H", data, place + offset, flags | flag)
            place = data.find(signature, place + 4)
    archive.write_bytes(data)


def test_an_encrypted_archive_is_named(tmp_path: Path, simulated: Path) -> None:
    archive = zip_tree(simulated, tmp_path / "a.zip", f"{NAME}.SAFE/")
    _set_flag(archive, 1)
    rasters, broken = archive_rasters(archive)
    assert rasters == []
    assert "password required" in sole(broken)


def test_an_archive_cut_short_anywhere_is_named(tmp_path: Path, simulated: Path) -> None:
    data = zip_tree(simulated, tmp_path / "a.zip", f"{NAME}.SAFE/").read_bytes()
    cut = tmp_path / "cut.zip"
    for nbytes in [*range(0, len(data), len(data) // 40), len(data) - 23, len(data) - 1]:
        cut.write_bytes(data[:nbytes])
        rasters, broken = archive_rasters(cut)
        assert rasters == []
        assert "download it again" in sole(broken)


def test_damage_anywhere_in_an_archive_never_escapes(tmp_path: Path, simulated: Path) -> None:
    documents = tmp_path / "product"
    shutil.copytree(simulated, documents, ignore=shutil.ignore_patterns("calibration", "*.xsd"))
    data = zip_tree(documents, tmp_path / "a.zip", f"{NAME}.SAFE/").read_bytes()
    generator = np.random.default_rng(0)
    damaged = tmp_path / "damaged.zip"
    refused = 0
    directory = data.rfind(b"PK\x05\x06") - 600
    for trial in range(150):
        copy = bytearray(data)
        # Half of the damage falls into the central directory, which decides how everything else is read.
        first = directory if trial % 2 else 0
        for place in generator.integers(first, len(data), 3):
            copy[place] = generator.integers(256)
        damaged.write_bytes(copy)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # zipfile's, of duplicate names
            rasters, broken = archive_rasters(damaged)
        refused += bool(broken)
        assert rasters or broken
    assert refused > 10


def test_a_damaged_document_in_an_archive_is_named(tmp_path: Path, simulated: Path) -> None:
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("x.SAFE/manifest.safe", "<m>" + "".join(f"<a{n}/>" for n in range(900)) + "</m>")
        file.write(next((simulated / "measurement").iterdir()), f"x.SAFE/measurement/{VV}.tiff")
    data = bytearray(archive.read_bytes())
    start = data.index(b"manifest.safe") + len("manifest.safe")
    data[start : start + 40] = bytes(range(200, 240))
    archive.write_bytes(data)
    rasters, broken = archive_rasters(archive)
    assert rasters == []
    assert "cannot be read" in sole(broken)


# Rasters by themselves


def test_a_loose_raster_tells_what_its_name_tells(tmp_path: Path) -> None:
    info = loose_raster(tmp_path / f"{VV}.tiff").info
    assert (info.polarization, info.platform, info.orbit, info.orbit_pass) == ("vv", "S1A", 36201, "")
    assert info.name == "s1a-iw-grd-20210119t031653-20210119t031718-036201-043ed0"


def test_a_loose_raster_without_name_takes_its_folder_s(tmp_path: Path) -> None:
    info = loose_raster(tmp_path / NAME / "VH.tif").info
    assert (info.name, info.polarization, info.mode, info.orbit) == (NAME, "vh", "IW", 36201)
    assert loose_raster(tmp_path / "vv" / "scene7.tif").info.polarization == "vv"
    assert loose_raster(tmp_path / "x" / "scene7.tif").info.polarization == ""


def test_a_raster_named_by_itself_is_described_as_part_of_its_product(
    simulated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = {raster.info.polarization: raster.info for raster in product_directory_rasters(simulated)[0]}
    monkeypatch.chdir(simulated / "measurement")
    for path in Path().iterdir():
        rasters, broken = named_raster(path)
        assert broken == []
        assert [raster.gdal_path for raster in rasters] == [str(path)]
        info = rasters[0].info
        assert info.path == str(path)
        assert (info.name, info.orbit_pass) == (whole[info.polarization].name, "DESCENDING")


def test_a_raster_of_a_broken_product_is_named_and_others_are_not(tmp_path: Path) -> None:
    product = make_product(tmp_path / f"{NAME}.SAFE")
    (product / "annotation").mkdir()
    (product / "annotation" / f"{VH}.xml").write_text("<a>")
    assert "expected an XML document" in sole(named_raster(product / "measurement" / f"{VH}.tiff")[1])
    rasters, broken = named_raster(product / "measurement" / f"{VV}.tiff")
    assert (len(rasters), broken) == (1, [])


def test_a_measurement_folder_alone_makes_no_product_of_a_named_raster(tmp_path: Path) -> None:
    path = tmp_path / "campaign" / "measurement" / "field-vv.tif"
    write_raster(path)
    assert product_of(path) is None
    assert named_raster(path)[0][0].info.name == "field"


def test_names_of_other_makers_tell_no_facts(real_data: Path) -> None:
    for path in (real_data / "BigEarthNet-S1-Example").rglob("*.tif"):
        assert name_facts(path.stem) == {}
        info = loose_raster(path).info
        assert info.name == path.parent.name
        assert info.polarization == path.stem[-2:].lower()
        assert find_product_name(str(path)) is None
