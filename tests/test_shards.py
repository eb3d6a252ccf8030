from __future__ import annotations

import io
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sar_h5.errors import SourceError
from sar_h5.sources.scene import SourceFile
from sar_h5.sources.shards import NpyShard, may_be_wanted, shard_polarization

VV = "s1a-iw-grd-vv-20210119t031653-20210119t031718-036201-043ed0-001"


def values(seed: int, count: int = 7, size: int = 16) -> np.ndarray:
    return np.random.default_rng(seed).random((count, size, size), dtype=np.float32)


def save(path: Path, array: np.ndarray) -> Path:
    np.save(path, array)
    return path


def open_shard(path: Path) -> NpyShard:
    return NpyShard(path, str(path), "vv")


def header(text: str, version: tuple[int, int] = (1, 0)) -> bytes:
    data = text.encode("latin1")
    return b"\x93NUMPY" + bytes(version) + len(data).to_bytes(2 if version == (1, 0) else 4, "little") + data


def described(descr: str = "'<f4'", fortran: str = "False", shape: str = "(2, 4, 4)") -> str:
    return f"{{'descr': {descr}, 'fortran_order': {fortran}, 'shape': {shape}, }}\n"


@pytest.fixture
def shard_path(tmp_path: Path) -> Path:
    return save(tmp_path / "patches-vv-1.npy", values(0))


# What is read


@pytest.mark.parametrize("most_nbytes", [1, 1024, 3 * 1024, 5000, 1 << 30])
def test_batches_are_the_patches_of_the_file_in_order(shard_path: Path, most_nbytes: int) -> None:
    shard = open_shard(shard_path)
    expected = np.load(shard_path)
    batches = list(shard.batches(most_nbytes))
    assert all(batch.dtype == np.float32 for batch in batches)
    assert [len(batch) for batch in batches[:-1]] == [max(1, most_nbytes // 1024)] * (len(batches) - 1)
    assert np.concatenate(batches).tobytes() == expected.tobytes()
    assert (shard.count, shard.patch_size) == (7, 16)


def test_patches_by_number_are_those_of_the_file(shard_path: Path) -> None:
    shard = open_shard(shard_path)
    expected = np.load(shard_path)
    for start, stop in ((0, 7), (0, 1), (6, 7), (2, 5), (3, 3)):
        assert shard.patches(start, stop).tobytes() == expected[start:stop].tobytes()


@pytest.mark.parametrize("dtype", [">f4", "<f4", "=f4"])
def test_either_byte_order_gives_the_same_values(tmp_path: Path, dtype: str) -> None:
    expected = values(1)
    shard = open_shard(save(tmp_path / "a-vv.npy", expected.astype(dtype)))
    got = np.concatenate(list(shard.batches(2000)))
    assert got.dtype == np.dtype("float32")
    assert got.tobytes() == expected.tobytes()


def test_both_header_versions_and_headers_of_python_2_are_read(tmp_path: Path) -> None:
    expected = values(2, count=2, size=4)
    path = tmp_path / "a-vv.npy"
    for text, version in ((described(), (1, 0)), (described(), (2, 0)), (described(shape="(2L, 4L, 4L)"), (1, 0))):
        path.write_bytes(header(text, version) + expected.tobytes())
        assert np.array_equal(open_shard(path).patches(0, 2), expected)


def test_the_ends_of_the_range_and_tiny_values_are_kept(tmp_path: Path) -> None:
    expected = values(3)
    expected[0, 0, :5] = [0, 1, np.finfo(np.float32).tiny / 2, np.nextafter(np.float32(1), np.float32(0)), -0.0]
    shard = open_shard(save(tmp_path / "a-vv.npy", expected))
    assert next(shard.batches(1 << 20)).tobytes() == expected.tobytes()


def test_bytes_after_the_patches_are_ignored_but_belong_to_the_identity(shard_path: Path) -> None:
    expected = np.load(shard_path)
    shard_path.write_bytes(shard_path.read_bytes() + bytes(3 << 20))
    shard = open_shard(shard_path)
    assert np.array_equal(np.concatenate(list(shard.batches(3000))), expected)
    data = shard_path.read_bytes()
    assert shard.identify() == SourceFile(len(data), zlib.crc32(data))


@pytest.mark.parametrize("read", ["nothing", "one batch", "all", "all, twice"])
def test_the_identity_is_that_of_the_whole_file_whatever_was_read(shard_path: Path, read: str) -> None:
    data = shard_path.read_bytes()
    shard = open_shard(shard_path)
    if read == "one batch":
        batches = shard.batches(1024)
        next(batches)
        batches.close()
    elif read != "nothing":
        for _ in range(1 + read.endswith("twice")):
            list(shard.batches(3000))
    assert shard.identify() == SourceFile(len(data), zlib.crc32(data))


def test_a_shard_read_whole_is_not_read_again_for_its_identity(shard_path: Path) -> None:
    shard = open_shard(shard_path)
    list(shard.batches(1 << 20))
    known = zlib.crc32(shard_path.read_bytes())
    shard_path.unlink()
    assert shard.identify().crc32 == known


def test_a_shard_without_patches_is_whole(tmp_path: Path) -> None:
    for order in ("C", "F"):
        shard = open_shard(save(tmp_path / "a-vv.npy", np.empty((0, 8, 8), np.float32, order=order)))
        assert (shard.count, list(shard.batches(1000))) == (0, [])
        assert shard.identify().nbytes == (tmp_path / "a-vv.npy").stat().st_size


def test_the_name_tells_the_acquisition(tmp_path: Path) -> None:
    info = open_shard(save(tmp_path / f"{VV}.npy", values(0))).info
    assert info.name == "s1a-iw-grd-20210119t031653-20210119t031718-036201-043ed0"
    assert (info.platform, info.mode, info.product_type, info.orbit) == ("S1A", "IW", "GRD", 36201)
    assert info.start_time == "2021-01-19T03:16:53"
    assert (info.height, info.width) == (-1, -1)


def test_a_shard_called_by_its_polarization_takes_the_folder_s_name(tmp_path: Path) -> None:
    (tmp_path / "north sea").mkdir()
    assert open_shard(save(tmp_path / "north sea" / "vv.npy", values(0))).info.name == "north sea"


# Headers that are not those of patches


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (values(0).astype(np.float64), "expected dtype float32, found float64"),
        (values(0).astype(np.float16), "expected dtype float32, found float16"),
        (values(0).astype(np.complex64), "expected dtype float32, found complex64"),
        (np.ones((2, 4, 4), np.int32), "expected dtype float32, found int32"),
        (np.ones((2, 4, 4), np.uint8), "expected dtype float32, found uint8"),
        (np.ones((2, 4, 4), [("a", "<f4")]), "expected dtype float32, found"),
        (np.array([{"vmin": 1}], dtype=object), "expected dtype float32, found object"),
        (np.float32(1), r"expected shape \(n, P, P\), found \(\)"),
        (np.ones(4, np.float32), r"expected shape \(n, P, P\), found \(4,\)"),
        (np.ones((4, 4), np.float32), r"expected shape \(n, P, P\), found \(4, 4\)"),
        (np.ones((2, 4, 5), np.float32), r"expected shape \(n, P, P\), found \(2, 4, 5\)"),
        (np.ones((2, 1, 4, 4), np.float32), r"expected shape \(n, P, P\), found \(2, 1, 4, 4\)"),
        (np.ones((2, 0, 0), np.float32), r"expected shape \(n, P, P\), found \(2, 0, 0\)"),
        (
            np.asfortranarray(values(0)),
            "expected C order, found Fortran order; save it again with np.ascontiguousarray",
        ),
    ],
)
def test_an_array_that_is_no_patches_is_refused(tmp_path: Path, array: Any, reason: str) -> None:
    np.save(tmp_path / "a-vv.npy", array, allow_pickle=True)
    with pytest.raises(SourceError, match=f"^{reason}"):
        open_shard(tmp_path / "a-vv.npy")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        "(((",
        "'''",
        "  a\n b\n",
        "\t\0",
        "-" * 9000 + "1",
        "(" * 9000,
        "{" * 200,
        "{[]: 1}",
        "{}",
        "[1, 2]",
        "__import__('os').system('true')",
        described()[:-4],
        described(descr="3"),
        described(descr="'<a4'"),
        described(descr="'nonsense'"),
        described(fortran="'no'"),
        described(shape="('a', 4, 4)"),
        described(shape="[2, 4, 4]"),
        described(shape="(-2, 4, 4)"),
        described(shape="(2.0, 4, 4)"),
        described(descr="('<f4', (2,))"),
        described(descr="'f4,f4'"),
        " " * 20_000 + described(),
    ],
)
@pytest.mark.parametrize("version", [(1, 0), (2, 0)])
def test_a_malformed_header_is_refused(tmp_path: Path, text: str, version: tuple[int, int]) -> None:
    (tmp_path / "a-vv.npy").write_bytes(header(text, version) + bytes(128))
    with pytest.raises(SourceError, match=r"^expected [^\n]*, found [^\n]*[^ \n]$"):
        open_shard(tmp_path / "a-vv.npy")


@pytest.mark.parametrize("version", [(3, 0), (1, 1), (0, 0), (255, 255)])
def test_another_header_version_is_refused_by_number(tmp_path: Path, version: tuple[int, int]) -> None:
    (tmp_path / "a-vv.npy").write_bytes(header(described(), version) + bytes(128))
    with pytest.raises(SourceError, match=rf"version 1\.0 or 2\.0, found {version[0]}\.{version[1]}"):
        open_shard(tmp_path / "a-vv.npy")


def test_version_3_as_numpy_writes_it_is_refused(tmp_path: Path) -> None:
    stream = io.BytesIO()
    np.lib.format.write_array(stream, values(0), version=(3, 0))
    (tmp_path / "a-vv.npy").write_bytes(stream.getvalue())
    with pytest.raises(SourceError, match=r"version 1\.0 or 2\.0, found 3\.0"):
        open_shard(tmp_path / "a-vv.npy")


def test_an_empty_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "a-vv.npy").touch()
    with pytest.raises(SourceError, match=r"empty file \(0 bytes\); expected a \.npy header"):
        open_shard(tmp_path / "a-vv.npy")


def test_a_file_cut_short_anywhere_is_refused(shard_path: Path, tmp_path: Path) -> None:
    data = shard_path.read_bytes()
    offset = len(data) - 7 * 1024
    cut = tmp_path / "cut-vv.npy"
    boundaries = {1, 5, 6, 7, 8, 9, 10, 11, offset - 1, offset, offset + 1, offset + 1024, len(data) - 1}
    for nbytes in sorted(boundaries | set(range(1, len(data), 311))):
        cut.write_bytes(data[:nbytes])
        with pytest.raises(SourceError, match=r"^(expected a \.npy file|truncated: )"):
            open_shard(cut)


def test_a_truncated_shard_says_how_much_is_there(shard_path: Path) -> None:
    data = shard_path.read_bytes()
    shard_path.write_bytes(data[:-1500])
    found = rf"promises 7 patches \({len(data)} bytes\), the file holds {len(data) - 1500} bytes \(5 whole patches\)"
    with pytest.raises(SourceError, match=f"^truncated: the header {found}"):
        open_shard(shard_path)


def test_a_header_that_promises_more_than_any_disk_holds_is_truncated(tmp_path: Path) -> None:
    (tmp_path / "a-vv.npy").write_bytes(header(described(shape=f"({10**30}, {10**9}, {10**9})")))
    with pytest.raises(SourceError, match="truncated: the header promises 1000000000000000000000000000000 patches"):
        open_shard(tmp_path / "a-vv.npy")


def test_a_shard_that_is_missing_or_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "folder-vv.npy").mkdir()
    with pytest.raises(SourceError, match="cannot be read: No such file"):
        open_shard(tmp_path / "gone-vv.npy")
    with pytest.raises(SourceError, match="cannot be read: "):
        open_shard(tmp_path / "folder-vv.npy")


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.one_of(st.binary(max_size=300), st.binary(max_size=200).map(lambda data: header(data.decode("latin1")))))
def test_random_bytes_are_refused_and_nothing_else_happens(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a-vv.npy").write_bytes(data)
    with pytest.raises(SourceError):
        open_shard(tmp_path / "a-vv.npy")


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 1 << 16), st.integers(0, 255)), min_size=1, max_size=4))
def test_a_shard_with_random_damage_is_refused_or_read_as_numpy_reads_it(
    tmp_path: Path, damage: list[tuple[int, int]]
) -> None:
    stream = io.BytesIO()
    np.save(stream, values(0, count=2, size=4))
    data = bytearray(stream.getvalue())
    for place, byte in damage:
        data[place % len(data)] = byte
    path = tmp_path / "a-vv.npy"
    path.write_bytes(data)
    try:
        shard = open_shard(path)
        got = np.concatenate(list(shard.batches(64)))
    except SourceError:
        return
    assert np.array_equal(got, np.load(path)[: shard.count].astype(np.float32))


# Values


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (np.nan, "NaN"),
        (np.inf, "values outside [0, 1] such as inf"),
        (-np.inf, "values outside [0, 1] such as -inf"),
        (-0.25, "values outside [0, 1] such as -0.25"),
        (1.5, "values outside [0, 1] such as 1.5"),
        (np.nextafter(np.float32(1), np.float32(2)), "values outside [0, 1] such as 1.0000001"),
        (-np.finfo(np.float32).tiny, "values outside [0, 1] such as -1.1754944e-38"),
    ],
)
@pytest.mark.parametrize("patch", [0, 4, 6])
@pytest.mark.parametrize("most_nbytes", [1, 2500, 1 << 20])
def test_a_value_that_cannot_be_is_named_with_its_patch(
    shard_path: Path, value: float, found: str, patch: int, most_nbytes: int
) -> None:
    array = np.load(shard_path)
    array[patch, 3, 5:7] = value
    if patch < 6:
        array[6, 0, 0] = np.nan  # a later one, which is not the first
    np.save(shard_path, array)
    shard = open_shard(shard_path)
    with pytest.raises(SourceError) as caught:
        list(shard.batches(most_nbytes))
    assert str(caught.value) == f"patch {patch} holds {found} (2 of 256 pixels); expected finite values in [0, 1]"
    with pytest.raises(SourceError, match=f"^patch {patch} holds "):
        shard.patches(patch, patch + 1)


def test_signalling_nan_is_found_without_a_warning(shard_path: Path) -> None:
    array = np.load(shard_path)
    array.view(np.uint32)[2, 0, 0] = 0x7FA00000
    np.save(shard_path, array)
    with pytest.raises(SourceError, match=r"patch 2 holds NaN \(1 of 256 pixels\)"):
        list(open_shard(shard_path).batches(1 << 20))


def test_batches_before_a_bad_patch_are_served(shard_path: Path) -> None:
    array = np.load(shard_path)
    array[5] = 2
    np.save(shard_path, array)
    batches = open_shard(shard_path).batches(2048)
    assert [len(next(batches)) for _ in range(2)] == [2, 2]
    with pytest.raises(SourceError, match=r"patch 5 holds .* \(256 of 256 pixels\)"):
        next(batches)


# Files that change


def test_a_shard_that_shrinks_while_it_is_read_is_named(shard_path: Path) -> None:
    shard = open_shard(shard_path)
    batches = shard.batches(1024)
    next(batches)
    with shard_path.open("r+b") as file:
        file.truncate(shard_path.stat().st_size - 1500)
    with pytest.raises(SourceError, match=r"ended early: \d+ bytes short; was it changed while it was read"):
        list(shard.batches(1 << 20))
    with pytest.raises(SourceError, match="ended early: 476 bytes short"):
        shard.patches(5, 6)


def test_a_shard_that_vanishes_is_named(shard_path: Path) -> None:
    shard = open_shard(shard_path)
    shard_path.unlink()
    for read in (lambda: list(shard.batches(1000)), lambda: shard.patches(0, 1), shard.identify):
        with pytest.raises(SourceError, match="cannot be read: No such file"):
            read()


# Polarization


def test_the_polarization_comes_from_the_name_then_the_folder_then_the_user() -> None:
    assert shard_polarization(Path("vh/patches-vv-1.npy"), "hh") == "vv"
    assert shard_polarization(Path("VH/patches-1.npy"), "hh") == "vh"
    assert shard_polarization(Path("data/patches-1.npy"), "hh") == "hh"
    assert shard_polarization(Path("data/patches-vv-vh-1.npy"), "hh") == "hh"
    with pytest.raises(SourceError, match=r"name it like patches-vv-1\.npy, or pass --polarization vv"):
        shard_polarization(Path("data/patches-1.npy"), None)


def test_a_name_that_tells_nothing_may_be_wanted() -> None:
    assert may_be_wanted("patches-vv-1.npy", ())
    assert may_be_wanted("patches-vv-1.npy", ("vv", "vh"))
    assert may_be_wanted("patches-1.npy", ("vv",))
    assert not may_be_wanted("patches-vv-1.npy", ("vh",))
