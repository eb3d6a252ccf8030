"""``verify``: nothing to say about a sound file, and every flipped byte, cut and departure found and named."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from sar_h5 import convert, verify
from sar_h5.compression import Codec
from sar_h5.errors import SourceError
from tests.command_line import CommandLine
from tests.conftest import make_shards
from tests.damage import break_patch

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def file(products: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small patches of two scenes."""
    out = tmp_path_factory.mktemp("h5")
    convert(products, out, patch_size=32, stride=128, polarization="vv", min_valid=0.5)
    return out / "vv.h5"


@pytest.fixture
def copy(file: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(file, tmp_path / "copy.h5"))


def chunks(path: Path) -> list[tuple[int, int]]:
    """Return offset and size of every patch in the file."""
    with h5py.File(path) as f:
        infos = [f["patches"].id.get_chunk_info(number) for number in range(len(f["patches"]))]
    return [(info.byte_offset, info.size) for info in infos]


@pytest.mark.parametrize("encoding", ["palette", "dn", "float32"])
@pytest.mark.parametrize("codec", ["fast", "small", "zlib"])
def test_nothing_is_said_about_a_sound_file(products: Path, tmp_path: Path, encoding: str, codec: str) -> None:
    summary = convert(products, tmp_path, patch_size=64, stride=64, encoding=encoding, codec=codec, valid_by="pixels")
    for entry in summary:
        report = verify(entry.path)
        assert report.ok
        assert report.problems == ()
        assert report.patches == entry.patches
        counts = {"patches": entry.patches, "of_patches": entry.patches, "seed": None}
        assert report.to_dict() == {"path": entry.path, "ok": True, **counts, "problems": []}


def test_what_a_sample_leaves_out_is_said(
    file: Path, copy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    line, total = CommandLine(monkeypatch, capsys), verify(file).of_patches
    assert total > 5
    sampled = f"5 of {total} patches checked (seed 3)"
    arguments = ("--sample", 5, "--seed", 3)
    assert line.run("verify", file, *arguments).out == f"{file}: {sampled}, no problem among them\n"
    report = json.loads(line.run("verify", file, *arguments, "--json").out)
    assert (report["patches"], report["of_patches"], report["seed"]) == (5, total, 3)
    assert line.run("verify", file, "--sample", total).out == f"{file}: {total} patches, no problem\n"
    for number in range(total):
        break_patch(copy, number)
    assert line.run("verify", copy, *arguments).err == f"sar-h5: {copy}: {sampled}, 5 problems\n"


def test_incompressible_patches_stored_raw_are_sound(copy: Path) -> None:
    with h5py.File(copy, "r+") as f:
        patch = f["patches"][3]
        f["patches"].id.write_direct_chunk((3, 0, 0), patch.tobytes(), filter_mask=1)
        f["index/checksum"][3] = zlib.crc32(patch.tobytes())
    assert verify(copy).problems == ()


# Damage


def test_a_flipped_bit_anywhere_in_the_patch_data_is_found_at_its_patch(file: Path, copy: Path) -> None:
    content = file.read_bytes()
    generator = np.random.default_rng(0)
    for number, (offset, size) in enumerate(chunks(file)):
        places = {0, 1, 2, 3, 7, 8, 15, 16, size // 2, size - 1, *generator.integers(0, size, 4).tolist()}
        for place in places if number < 4 else list(places)[-2:]:
            flipped = bytearray(content)
            flipped[offset + place] ^= 1 << int(generator.integers(8))
            copy.write_bytes(flipped)
            (problem,) = verify(copy).problems
            assert problem.place == f"/patches[{number}]"
            assert re.match("expected checksum [0-9a-f]{8}, found [0-9a-f]{8}", problem.message)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="each damaged file is judged in a forked process")
def test_a_flipped_bit_anywhere_else_never_crashes_verify_or_info_and_only_text_escapes(
    file: Path, tmp_path: Path
) -> None:
    content = file.read_bytes()
    patch_data = np.zeros(len(content), dtype=bool)
    for offset, size in chunks(file):
        patch_data[offset : offset + size] = True
    outside = np.flatnonzero(~patch_data)
    offsets = np.unique([*np.random.default_rng(1).choice(outside, 300, replace=False), *range(64)])
    run = subprocess.run(
        [sys.executable, "-m", "tests.fuzz_verify", str(file), str(tmp_path / "flipped.h5"), *map(str, offsets)],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    results = json.loads(run.stdout)
    assert [entry["offset"] for entry in results] == offsets.tolist()
    # Text of any length lies in HDF5's global heap, the one part of such a file without a checksum.
    heap = heap_ranges(content)
    for entry in results:
        in_heap = any(start <= entry["offset"] < stop for start, stop in heap)
        assert entry["result"] in (("found", "padding", "missed") if in_heap else ("found", "padding")), entry
        for place in entry.get("changed", []):
            assert is_text(file, place), entry
    count = Counter(entry["result"] for entry in results)
    assert count["found"] > 100
    assert count["killed"] == count["unresponsive"] == 0


def heap_ranges(content: bytes) -> list[tuple[int, int]]:
    """Return where the collections of the global heap lie."""
    starts = [match.start() for match in re.finditer(rb"GCOL\x01\0\0\0", content)]
    return [(start, start + int.from_bytes(content[start + 8 : start + 16], "little")) for start in starts]


def is_text(path: Path, place: str) -> bool:
    if place.startswith("cannot be read"):
        return True
    name, _, attribute = place.partition("@")
    with h5py.File(path) as f:
        value = f[name].attrs[attribute] if attribute else f[name][()]
    return isinstance(value, str) or value.dtype.kind == "O"


def test_a_file_cut_short_at_any_place_is_found(file: Path, copy: Path) -> None:
    content = file.read_bytes()
    places = {0, 1, 7, 8, 95, 96, len(content) - 1, *np.linspace(100, len(content) - 2, 60, dtype=int).tolist()}
    for place in places:
        copy.write_bytes(content[:place])
        report = verify(copy)
        assert not report.ok, place
        assert report.problems[0].place == "/"
        assert "HDF5" in report.problems[0].message


@pytest.mark.parametrize("content", [b"", b"hello", b"\x89HDF\r\n\x1a\n", b"\x89HDF\r\n\x1a\n" + b"\0" * 500])
def test_what_is_no_hdf5_file_is_one_problem(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.h5").write_bytes(content)
    (problem,) = verify(tmp_path / "a.h5").problems
    assert (problem.place, str(problem.kind)) == ("/", "corrupt")


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"absent.h5: expected a file made by sar-h5 convert, found no such file"):
        verify(tmp_path / "absent.h5")
    with pytest.raises(SourceError, match="found a directory"):
        verify(tmp_path)


# Departures from the format, each made with h5py


def replace_dataset(f: h5py.File, name: str, data: np.ndarray) -> None:
    attributes = dict(f[name].attrs)
    del f[name]
    f[name] = data
    f[name].attrs.update(attributes)


def set_attribute(name: str, value: object, *places: str) -> Callable[[h5py.File], None]:
    def change(f: h5py.File) -> None:
        for place in places or ("/", "/patches"):
            f[place].attrs[name] = value

    return change


def drop_attribute(name: str, place: str) -> Callable[[h5py.File], None]:
    def change(f: h5py.File) -> None:
        del f[place].attrs[name]

    return change


def drop(name: str) -> Callable[[h5py.File], None]:
    def change(f: h5py.File) -> None:
        del f[name]

    return change


def cast(name: str, dtype: str) -> Callable[[h5py.File], None]:
    return lambda f: replace_dataset(f, name, f[name][:].astype(dtype))


def assign(name: str, place: object, value: object) -> Callable[[h5py.File], None]:
    def change(f: h5py.File) -> None:
        f[name][place] = value

    return change


def write_patch(number: int, change_patch: Callable[[np.ndarray], None]) -> Callable[[h5py.File], None]:
    """Change the codes of a patch, with a checksum that fits."""

    def change(f: h5py.File) -> None:
        patch = f["patches"][number]
        change_patch(patch)
        frame = Codec().compress(patch)
        f["patches"].id.write_direct_chunk((number, 0, 0), frame)
        f["index/checksum"][number] = zlib.crc32(frame)

    return change


def swap_patches(f: h5py.File) -> None:
    """Swap two patches with their checksums and fractions: all that is left to find it by is the digest."""
    frames = [f["patches"].id.read_direct_chunk((number, 0, 0))[1] for number in (1, 2)]
    for number, frame in zip((2, 1), frames, strict=True):
        f["patches"].id.write_direct_chunk((number, 0, 0), frame)
    for name in ("checksum", "valid_fraction"):
        column = f["index"][name]
        column[1], column[2] = column[2], column[1]


def shift_code(patch: np.ndarray) -> None:
    inside = np.argwhere((patch > 50) & (patch < 200))[0]
    patch[tuple(inside)] += 1


def fill(value: int) -> Callable[[np.ndarray], None]:
    return lambda patch: patch.fill(value)


def grow_patches(f: h5py.File) -> None:
    f["patches"].resize(len(f["patches"]) + 1, axis=0)


DEPARTURES: dict[str, tuple[Callable[[h5py.File], None], str, str, str]] = {
    "no format": (drop_attribute("format", "/"), "/@format", "wrong value", "expected 'sar-h5', as sar-h5 convert writes it, found None"),
    "other format": (set_attribute("format", "x", "/"), "/@format", "wrong value", "found 'x'"),
    "future version": (set_attribute("format_version", "2.0", "/"), "/@format_version", "wrong value", "found '2.0'"),
    "no history": (drop_attribute("history", "/"), "/@history", "missing", "expected an attribute"),
    "no digest": (drop_attribute("content_digest", "/"), "/@content_digest", "missing", "expected an attribute"),
    "no vmin": (drop_attribute("vmin", "/"), "/@vmin", "missing", "expected an attribute"),
    "no vmax on patches": (drop_attribute("vmax", "/patches"), "/patches@vmax", "missing", "expected an attribute"),
    "vmin on patches differs": (set_attribute("vmin", 1.0, "/patches"), "/patches@", "wrong value", "differ"),
    "vmin above vmax": (set_attribute("vmin", 99.0), "/@vmin", "wrong value", "expected vmin < vmax, found 99.0"),
    "vmin changed": (set_attribute("vmin", 1.0), "/@content_digest", "wrong value", "expected"),
    "vmin as text": (set_attribute("vmin", "low"), "/@", "wrong value", "expected a number, found str"),
    "polarization": (set_attribute("polarization", "hh"), "/@content_digest", "wrong value", "expected"),
    "encoding": (set_attribute("encoding", "jpeg"), "/@", "wrong value", "unknown encoding 'jpeg'"),
    "encoding float32": (set_attribute("encoding", "float32"), "/patches", "wrong type", "expected dtype <f4"),
    "patch size": (set_attribute("patch_size", 64), "/patches", "wrong type", "expected shape (N, 64, 64)"),
    "invalid code": (set_attribute("invalid_code", 5), "/lut", "wrong value", "expected invalid_code 0"),
    "no patches": (drop("patches"), "/patches", "missing", "expected a dataset"),
    "more patches": (grow_patches, "/index/scene", "wrong type", "rows, found"),
    "no index": (drop("index"), "/index/row", "missing", "expected a dataset"),
    "no column": (drop("index/col"), "/index/col", "missing", "expected a dataset"),
    "column dtype": (cast("index/row", "<i8"), "/index/row", "wrong type", "expected <i4"),
    "short column": (
        lambda f: replace_dataset(f, "index/row", f["index/row"][:-1]), "/index/row", "wrong type", "rows, found",
    ),
    "two-dimensional column": (
        lambda f: replace_dataset(f, "index/row", f["index/row"][:].reshape(-1, 1)), "/index/row", "wrong type", "shape",
    ),
    "checksum": (assign("index/checksum", 3, 17), "/patches[3]", "corrupt", "expected checksum 00000011, found"),
    "fraction": (
        assign("index/valid_fraction", 2, 0.6125), "/index/valid_fraction[2]", "wrong value", "found 0.612500",
    ),
    "fraction below the least": (
        assign("index/valid_fraction", 2, 0.25), "/index/valid_fraction[2]", "wrong value",
        "expected at least min_valid = 0.5, found 0.25",
    ),
    "row outside": (assign("index/row", 1, 390), "/index/row[1]", "wrong value", "within 400 pixels, found its corner at 390"),
    "col outside": (assign("index/col", 1, -7), "/index/col[1]", "wrong value", "found its corner at -7"),
    "row moved": (assign("index/row", 1, 3), "/@content_digest", "wrong value", "expected"),
    "unknown scene": (assign("index/scene", 1, 99), "/index/scene", "wrong value", "runs"),
    "negative scene": (assign("index/scene", 0, -1), "/index/scene", "wrong value", "runs"),
    "patch count": (assign("scenes/patch_count", 0, 2**40), "/index/scene", "wrong value", "runs"),
    "negative count": (assign("scenes/patch_count", 0, -1), "/index/scene", "wrong value", "runs"),
    "patch start": (assign("scenes/patch_start", 1, 0), "/index/scene", "wrong value", "runs"),
    "scene name": (assign("scenes/name", 0, "x"), "/@content_digest", "wrong value", "expected"),
    "no scene column": (drop("scenes/orbit"), "/scenes/orbit", "missing", "expected a dataset"),
    "text as number": (
        lambda f: replace_dataset(f, "scenes/crs", np.zeros(2)), "/scenes/crs", "wrong type", "expected utf-8",
    ),
    "transform": (
        lambda f: replace_dataset(f, "scenes/transform", np.zeros((2, 5))), "/scenes/transform", "wrong type", "6 columns",
    ),
    "no gcps": (drop("scenes/gcps"), "/scenes/gcps", "missing", "expected a dataset"),
    "no lut": (drop("lut"), "/lut", "missing", "expected a dataset"),
    "lut dtype": (cast("lut", "<f8"), "/lut", "wrong type", "expected <f4"),
    "lut not rising": (assign("lut", 7, 0.9999), "/lut", "wrong value", "expected rising values in [0, 1]"),
    "lut above 1": (assign("lut", -1, 1.5), "/lut", "wrong value", "expected rising values in [0, 1]"),
    "lut of nan": (assign("lut", 9, np.nan), "/lut", "wrong value", "expected rising values in [0, 1]"),
    "code beyond the lut": (
        write_patch(2, fill(65000)), "/patches[2]", "wrong value", "expected codes below",
    ),
    "one code changed": (write_patch(2, shift_code), "/@content_digest", "wrong value", "expected"),
    "patch emptied": (write_patch(2, fill(0)), "/index/valid_fraction[2]", "wrong value", "expected 0.000000"),
    "patches swapped": (swap_patches, "/@content_digest", "wrong value", "expected"),
    "histogram": (
        lambda f: replace_dataset(f, "histogram", np.zeros(5, np.uint64)), "/histogram", "wrong type", "expected 65536",
    ),
    "split of another length": (
        lambda f: f.create_dataset("splits/default", data=np.zeros(3, np.uint8)), "/splits/default", "wrong type", "uint8 (",
    ),
    "split of unknown code": (
        lambda f: f.create_dataset("splits/a", data=np.full(len(f["patches"]), 4, np.uint8)), "/splits/a", "wrong value",
        "expected 0 to 3, found 4",
    ),
    "split as group": (lambda f: f.create_group("splits/a"), "/splits/a", "wrong type", "found no dataset"),
    "splits as dataset": (
        lambda f: f.create_dataset("splits", data=[1]), "/splits", "wrong type", "expected a group, found a dataset",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", DEPARTURES)
def test_a_departure_from_the_format_is_found_at_its_place(copy: Path, name: str) -> None:
    change, place, kind, message = DEPARTURES[name]
    with h5py.File(copy, "r+") as f:
        change(f)
    report = verify(copy)
    assert not report.ok
    found = [problem for problem in report.problems if problem.place == place]
    assert found, report.problems
    assert str(found[0].kind) == kind
    assert message in found[0].message
    assert str(found[0]) == f"{place}: {kind}: {found[0].message}"


@pytest.mark.parametrize(
    ("chunk", "options", "message"),
    [
        ((2, 32, 32), {}, "expected chunks (1, 32, 32), found (2, 32, 32)"),
        ((1, 32, 32), {"compression": "gzip"}, "expected the one filter 32001, found [1]"),
    ],
)
def test_another_layout_of_patches_is_found(copy: Path, chunk: tuple[int, ...], options: dict, message: str) -> None:
    with h5py.File(copy, "r+") as f:
        data, attributes = f["patches"][:], dict(f["patches"].attrs)
        del f["patches"]
        f.create_dataset("patches", data=data, chunks=chunk, **options).attrs.update(attributes)
    assert message in [problem.message for problem in verify(copy).problems]


def test_values_outside_0_to_1_are_found_in_float32_files(products: Path, tmp_path: Path) -> None:
    (summary,) = convert(products, tmp_path, patch_size=64, stride=64, encoding="float32", polarization="vv")
    for value in (1.5, -0.5, np.nan):
        with h5py.File(summary.path, "r+") as f:
            patch = f["patches"][2]
            patch[5, 5] = value
            frame = Codec().compress(patch)
            f["patches"].id.write_direct_chunk((2, 0, 0), frame)
            f["index/checksum"][2] = zlib.crc32(frame)
        (problem,) = verify(summary.path).problems
        assert (problem.place, problem.message) == ("/patches[2]", "expected values in [0, 1]")


def test_all_problems_are_listed_not_only_the_first(copy: Path) -> None:
    with h5py.File(copy, "r+") as f:
        for number in (1, 3, 4):
            f["index/checksum"][number] = 0
        f["index/valid_fraction"][2] = 0.75
        f["index/row"][0] = 399
        del f.attrs["title"]
        del f["histogram"].attrs["units"]
    places = [problem.place for problem in verify(copy).problems]
    assert places == [
        "/@title", "/index/row[0]", "/patches[1]", "/index/valid_fraction[2]", "/patches[3]", "/patches[4]",
    ]  # fmt: skip


def test_fractions_measured_by_pixels_are_checked_too(products: Path, tmp_path: Path) -> None:
    convert(products, tmp_path, patch_size=64, valid_by="pixels", polarization="vv")
    assert verify(tmp_path / "vv.h5").ok
    with h5py.File(tmp_path / "vv.h5", "r+") as f:
        fractions = f["index/valid_fraction"]
        place = int(np.flatnonzero(fractions[:] < 1)[0])
        fractions[place] = 1.0
    assert [problem.place for problem in verify(tmp_path / "vv.h5").problems] == [f"/index/valid_fraction[{place}]"]


def test_every_problem_is_listed_however_many_there_are(tmp_path: Path) -> None:
    make_shards(tmp_path, counts=(150,), size=8)
    convert(tmp_path, tmp_path / "h5")
    with h5py.File(tmp_path / "h5" / "vv.h5", "r+") as f:
        f["index/row"][:] = -7
    places = [problem.place for problem in verify(tmp_path / "h5" / "vv.h5").problems]
    assert places == [*(f"/index/row[{number}]" for number in range(150)), "/@content_digest"]
