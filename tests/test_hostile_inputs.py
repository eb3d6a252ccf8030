"""Input that somebody made to do harm, of every kind but HDF5: only errors of this package, and nothing outside is read."""

from __future__ import annotations

import contextlib
import io
import pickle
import shutil
import struct
import subprocess
import sys
import tracemalloc
import zipfile
from pathlib import Path

import pytest
import rasterio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sar_h5.errors import SarH5Error, SourceError
from sar_h5.plain_data import read_plain_data
from sar_h5.sources.annotation import read_annotation
from sar_h5.sources.archives import archive_rasters
from sar_h5.sources.products import loose_raster
from sar_h5.sources.rasters import MOST_SIDE_PX, open_scenes
from sar_h5.sources.shard_set import resolve_within
from sar_h5.sources.shards import NpyShard
from sar_h5.tables import manifest
from sar_h5.tables.manifest import read_manifest
from sar_h5.unpickle import loads_plain
from tests.raster_files import TRANSFORM, write_raster

MANY = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

SHAPES = st.lists(
    st.sampled_from([-1, 0, 1, 2, 4, 1 << 31, 1 << 40, 1 << 63, 1 << 70, True, 2.0, None, "2"]), max_size=5
)
DESCRS = st.sampled_from(
    [
        *("<f4", ">f4", "|O", "|V8", "<U3", "|S0", "<M8[ns]", "f4,f4", "x", "", "\u00e9", "<f16", ("<f4", (2,))),
        [("a", "<f4"), ("b", "|S3")],
        [("a", [("b", [("c", "<f4")])])],
        {"names": ["a"], "formats": ["<f4"], "offsets": [1 << 40], "itemsize": 1 << 41},
    ]
)
TEXTS = st.one_of(
    st.builds(
        lambda descr, order, shape: repr({"descr": descr, "fortran_order": order, "shape": tuple(shape)}),
        DESCRS,
        st.sampled_from([True, False, 1, None, "x"]),
        SHAPES,
    ),
    st.sampled_from(
        ["(" * 300, "-" * 900 + "1", "{'descr':" * 90, "9" * 1900, "__import__('os')", "[" * 90 + "]" * 90, "\0", ""]
    ),
)


@MANY
@given(
    TEXTS,
    st.sampled_from([1, 2, 3, 4, 255]),
    st.sampled_from([None, 0, 1, 0xFFFF, 0xFFFFFFFF]),
    st.binary(max_size=140),
)
def test_any_npy_header_is_read_or_refused(
    tmp_path: Path, text: str, version: int, length: int | None, content: bytes
) -> None:
    header = text.encode() + b"\n"
    width = 2 if version == 1 else 4
    said = (len(header) if length is None else length) & (1 << 8 * width) - 1
    path = tmp_path / "a-vv-1.npy"
    path.write_bytes(b"\x93NUMPY" + bytes([version, 0]) + said.to_bytes(width, "little") + header + content)
    tracemalloc.start()
    for read in (read_plain_data, lambda path: list(NpyShard(path, "a", "vv").batches(1 << 20))):
        with contextlib.suppress(SarH5Error):
            read(path)
    most_nbytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most_nbytes < 32 << 20


STEPS = [pickle.MARK, pickle.POP, pickle.POP_MARK, pickle.DUP, pickle.NONE, pickle.NEWTRUE, pickle.EMPTY_TUPLE]
STEPS += [
    pickle.EMPTY_LIST,
    pickle.EMPTY_DICT,
    pickle.EMPTY_SET,
    pickle.TUPLE,
    pickle.TUPLE1,
    pickle.TUPLE2,
    pickle.TUPLE3,
]
STEPS += [pickle.LIST, pickle.DICT, pickle.APPEND, pickle.APPENDS, pickle.SETITEM, pickle.SETITEMS, pickle.ADDITEMS]
STEPS += [
    pickle.REDUCE,
    pickle.BUILD,
    pickle.NEWOBJ,
    pickle.NEWOBJ_EX,
    pickle.STACK_GLOBAL,
    pickle.MEMOIZE,
    pickle.FROZENSET,
]
STEPS += [pickle.BINPERSID, pickle.NEXT_BUFFER, pickle.READONLY_BUFFER, pickle.EXT1 + b"\1", pickle.PERSID + b"x\n"]
STEPS += [pickle.BINGET + bytes([n]) for n in range(3)] + [pickle.BINPUT + bytes([n]) for n in range(3)]
STEPS += [pickle.LONG_BINPUT + b"\xff" * 4, pickle.LONG_BINGET + b"\xff" * 4, pickle.BININT + b"\xff" * 4]
STEPS += [
    pickle.BINUNICODE8 + b"\xff" * 8,
    pickle.BYTEARRAY8 + struct.pack("<Q", 1 << 62),
    pickle.BINBYTES + b"\xff" * 4,
]
STEPS += [
    pickle.LONG4 + struct.pack("<i", 1 << 30),
    pickle.LONG1 + b"\xff" + b"\x7f" * 255,
    pickle.INT + b"9" * 5000 + b"\n",
]
STEPS += [
    pickle.SHORT_BINUNICODE + bytes([len(name)]) + name for name in (b"os", b"system", b"numpy", b"ndarray", b"x")
]
STEPS += [pickle.SHORT_BINBYTES + b"\4\0\0\0\0", pickle.BININT1 + b"\4", pickle.FLOAT + b"nan\n"]
STEPS += [
    pickle.GLOBAL + name + b"\n" for name in (b"os\nsystem", b"builtins\neval", b"numpy\ndtype", b"numpy\nndarray")
]
STEPS += [pickle.GLOBAL + name + b"\n" for name in (b"numpy.core.multiarray\n_reconstruct", b"pathlib\nPosixPath")]
STEPS += [pickle.GLOBAL + name + b"\n" for name in (b"numpy.core.multiarray\nscalar", b"_codecs\nencode", b"a b\nc")]


@MANY
@given(st.lists(st.sampled_from(STEPS), max_size=40), st.integers(0, 400))
def test_any_sequence_of_pickle_steps_is_plain_data_or_refused(steps: list[bytes], depth: int) -> None:
    data = pickle.PROTO + b"\4" + b"".join(steps) + pickle.TUPLE1 * depth + pickle.STOP
    tracemalloc.start()
    try:
        loads_plain(data, "test")
    except SarH5Error as error:
        assert "refused, and nothing of it was run" in str(error)  # noqa: PT017 - it need not be refused
    most_nbytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most_nbytes < 32 << 20


@MANY
@given(
    st.lists(
        st.sampled_from(["scene", "a", "b", '"', '""', ",", ";", "\t", "\n", "\r", "\0", "\ufeff", "1e999", "\u20ac"])
    ),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "latin-1", "utf-32-be"]),
)
def test_any_table_is_read_or_refused(tmp_path: Path, pieces: list[str], encoding: str) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes("".join(["scene,x\n", *pieces]).encode(encoding, errors="replace"))
    try:
        columns = read_manifest(path, ["a", "b"])
    except SarH5Error:
        return
    assert all(len(values) == 2 for values in columns.values())


def test_a_table_of_many_columns_or_without_an_end_takes_little_time_and_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"c{number}" for number in range(150_000)]
    (tmp_path / "wide.csv").write_text(",".join(["scene", *names])[:1_000_000] + "\n")
    with pytest.raises(SarH5Error, match="expected a row for each scene"):
        read_manifest(tmp_path / "wide.csv", ["a"])
    monkeypatch.setattr(manifest, "MAX_RECORD", 1 << 20)
    (tmp_path / "endless.csv").write_text("scene,x\na" + ',"\n"' * 400_000)
    with pytest.raises(SourceError, match="found a record of more than 1,048,576 characters in line"):
        read_manifest(tmp_path / "endless.csv", ["a"])
    (tmp_path / "line.csv").write_text("scene,x\n" + "a" * (2 << 20))
    with pytest.raises(SourceError, match="more than 1,048,576 characters in line 2"):
        read_manifest(tmp_path / "line.csv", ["a"])


NAMES = st.lists(
    st.sampled_from(
        ["..", ".", "/", "\\", "C:", "in", "a-vv.npy", "outside", "secret-vv.npy", "\0", "~", "//host/share/"]
    ),
    max_size=9,
)


@MANY
@given(NAMES)
def test_no_listed_path_leads_out_of_its_directory(tmp_path: Path, parts: list[str]) -> None:
    inside, outside = tmp_path / "in", tmp_path / "outside"
    for directory, name in ((inside, "a-vv.npy"), (outside, "secret-vv.npy")):
        directory.mkdir(exist_ok=True)
        (directory / name).write_bytes(b"x")
    if not (inside / "secret-vv.npy").is_symlink():
        (inside / "secret-vv.npy").symlink_to(outside / "secret-vv.npy")
    for name in ("/".join(parts), "\\".join(parts), "".join(parts), f"{outside}/{'/'.join(parts)}"):
        found = resolve_within(inside, name)
        assert found is None or found.resolve() == (inside / "a-vv.npy").resolve()


SIDE_FILES = {
    ".aux.xml": "<PAMDataset><SRS>{0}</SRS></PAMDataset>",
    ".AUX.XML": '<PAMDataset><Metadata domain="OVERVIEWS"><MDI key="OVERVIEW_FILE">{0}</MDI></Metadata></PAMDataset>',
    ".ovr": '<VRTDataset rasterXSize="9" rasterYSize="9"><VRTRasterBand><SourceFilename>{0}</SourceFilename></VRTRasterBand>',
    ".msk": '<VRTDataset rasterXSize="9" rasterYSize="9"><VRTRasterBand><SourceFilename>{0}</SourceFilename></VRTRasterBand>',
}


@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
def test_side_files_and_tags_of_a_raster_lead_nowhere(tmp_path: Path) -> None:
    canary, source = tmp_path / "outside" / "canary.tif", tmp_path / "in"
    write_raster(canary)
    for number, (suffix, text) in enumerate(SIDE_FILES.items()):
        write_raster(source / f"s{number}_vv.tif")
        (source / f"s{number}_vv.tif{suffix}").write_text(text.format(canary))
    with rasterio.open(source / "s0_vv.tif", "r+") as dataset:
        dataset.update_tags(1, ns="OVERVIEWS", OVERVIEW_FILE=str(canary))
    trace = tmp_path / "trace.txt"
    command = [
        "strace",
        "-f",
        "-e",
        "trace=openat,open,connect",
        "-o",
        str(trace),
        sys.executable,
        "-m",
        "sar_h5",
        "convert",
    ]
    arguments = [str(source), "--out", str(tmp_path / "h5"), "--patch-size", "16"]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert str(source / "s0_vv.tif") in trace.read_text(errors="replace")
    assert str(canary.parent) not in trace.read_text(errors="replace")


def test_a_raster_of_a_billion_columns_is_refused(tmp_path: Path) -> None:
    profile = {"driver": "GTiff", "count": 1, "dtype": "uint16", "BIGTIFF": "YES", "SPARSE_OK": "TRUE", "tiled": True}
    path = tmp_path / "a-vv.tif"
    size = {"height": 300, "width": 1 << 30, "blockxsize": 65536, "blockysize": 256}
    with rasterio.open(path, "w", transform=TRANSFORM, crs="EPSG:32633", **size, **profile):
        pass
    scenes, (broken,) = open_scenes(loose_raster(path), None)
    assert scenes == []
    assert f"expected at most {MOST_SIDE_PX:,} rows and columns, found 300 x 1,073,741,824" in broken.reason


BOMB = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10 if n else "x" * 1000}">' for n in range(9))
DOCUMENTS = {
    "an entity of entities": f"<!DOCTYPE x [{BOMB}]><x><mode>&e8;</mode></x>",
    "an entity in a file": "<!DOCTYPE x [<!ENTITY a SYSTEM 'file:///etc/passwd'>]><x><mode>&a;</mode></x>",
    "a document type elsewhere": "<!DOCTYPE x SYSTEM 'http://127.0.0.1:1/x.dtd'><x><mode>&a;</mode></x>",
    "elements within elements": "<x>" * 100_000,
    "an encoding that is none": "<?xml version='1.0' encoding='nonsense'?><x/>",
}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_document_that_asks_for_others_or_for_memory_tells_nothing(name: str) -> None:
    tracemalloc.start()
    try:
        facts = read_annotation(DOCUMENTS[name].encode(), "annotation")
    except SourceError as error:
        facts = {}
        assert "annotation: expected an XML document" in str(error)  # noqa: PT017 - it need not be refused
    most_nbytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "root:" not in facts.get("mode", "")
    assert most_nbytes < 64 << 20


def test_members_of_an_archive_with_other_paths_write_and_read_nothing_outside(tmp_path: Path) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for prefix in ("../evil", "/abs", "C:\\x", "a/../../evil", "bomb"):
            archive.writestr(f"{prefix}.SAFE/measurement/s1a-iw-grd-vv-x.tiff", b"II*\0")
            archive.writestr(f"{prefix}.SAFE/manifest.safe", b"<x/>")
        archive.writestr("bomb.SAFE/annotation/s1a-iw-grd-vv-x.xml", b" " * (80 << 20))
    path = tmp_path / "in" / "product.zip"
    path.parent.mkdir()
    path.write_bytes(stream.getvalue())
    before = sorted(tmp_path.rglob("*"))
    rasters, broken = archive_rasters(path)
    assert any("larger than 64 MB" in str(source) for source in broken)
    for raster in rasters:
        scenes, _ = open_scenes(raster, "vv")
        assert scenes == []
    assert sorted(tmp_path.rglob("*")) == before
