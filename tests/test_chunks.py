"""Direct chunk reads and their fallback give what plain h5py gives, for every way of storing patches."""

from __future__ import annotations

import os
from pathlib import Path

import h5py
import hdf5plugin
import numpy as np
import pytest

from sar_h5 import convert
from sar_h5.chunk_table import read_chunk_table
from sar_h5.chunks import DirectChunks, LibraryChunks, can_read_directly
from sar_h5.contents import read_columns
from sar_h5.errors import CorruptPatchError, FormatError, SourceError, UnsafeFileError
from sar_h5.opening import open_file
from sar_h5.reader import PatchReader
from tests.conftest import make_dn, make_shards

BLOSC = hdf5plugin.Blosc("lz4", 5, 1)


def write(path: Path, data: np.ndarray, **arguments: object) -> Path:
    with h5py.File(path, "w") as file:
        file.create_dataset("patches", data=data, **arguments)
    return path


def reads_directly(path: Path) -> bool:
    with open_file(path) as file:
        return can_read_directly(str(path), file["patches"])


def read_values(reader: PatchReader, *numbers: int) -> np.ndarray:
    out = np.full((len(numbers), *reader.source.shape[1:]), -1, dtype=np.float32)
    reader.values(np.array(numbers), out)
    return out


def assert_reads(path: Path, data: np.ndarray) -> None:
    reader = PatchReader(path)
    for number in (*range(len(data)), 0):
        np.testing.assert_array_equal(reader.read(number), data[number])
        np.testing.assert_array_equal(read_values(reader, number)[0], data[number].astype(np.float32))


@pytest.mark.parametrize("size", [1, 96, 250, 512])
@pytest.mark.parametrize("dtype", ["u1", "<u2", ">u2", "<f4"])
@pytest.mark.parametrize("filters", [BLOSC, {}, hdf5plugin.Blosc("zstd", 3, 2)], ids=["lz4", "none", "zstd"])
def test_one_chunk_per_patch_is_read_directly(
    tmp_path: Path, size: int, dtype: str, filters: dict[str, object]
) -> None:
    data = make_dn(size, (3, size, size), median=60).astype(dtype)
    path = write(tmp_path / "a.h5", data, chunks=(1, size, size), **filters)
    assert reads_directly(path)
    assert_reads(path, data)


def test_incompressible_chunks_that_hdf5_stores_raw_are_read(tmp_path: Path) -> None:
    data = np.random.default_rng(0).integers(0, 256, (4, 64, 64), dtype=np.uint8)
    data[1] = 7
    path = write(tmp_path / "a.h5", data, chunks=(1, 64, 64), **BLOSC)
    with h5py.File(path) as file:
        masks = [file["patches"].id.get_chunk_info(number).filter_mask for number in range(4)]
    assert masks == [1, 0, 1, 1]
    assert reads_directly(path)
    assert_reads(path, data)


@pytest.mark.parametrize(
    "arguments",
    [
        {"chunks": (2, 32, 32), **BLOSC},
        {"chunks": (1, 16, 32), **BLOSC},
        {"chunks": (1, 32, 32), "compression": "gzip"},
        {"chunks": (1, 32, 32), "compression": "lzf"},
        {"chunks": (1, 32, 32), "shuffle": True, "fletcher32": True, "compression": "gzip"},
        {"chunks": (1, 32, 32), "fletcher32": True, **BLOSC},
        {"chunks": (1, 32, 32), **hdf5plugin.Blosc2("lz4")},
        {"chunks": (1, 32, 32), **hdf5plugin.Zstd()},
    ],
)
def test_other_layouts_and_filters_are_read_through_hdf5(tmp_path: Path, arguments: dict[str, object]) -> None:
    data = make_dn(0, (5, 32, 32))
    path = write(tmp_path / "a.h5", data, **arguments)
    assert not reads_directly(path)
    assert_reads(path, data)


@pytest.mark.parametrize("dtype", ["u1", "<u2", "<f4", ">f4", "<i4", "<f8"])
def test_contiguous_patches_are_read_directly(tmp_path: Path, dtype: str) -> None:
    data = make_dn(3, (5, 32, 32)).astype(dtype)
    path = write(tmp_path / "a.h5", data)
    assert reads_directly(path)
    assert_reads(path, data)


def test_contiguous_patches_that_were_never_written_have_the_fill_value(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("patches", (3, 8, 8), "u1", fillvalue=9)
    assert not reads_directly(tmp_path / "a.h5")
    assert_reads(tmp_path / "a.h5", np.full((3, 8, 8), 9, np.uint8))


def test_patches_that_were_never_written_have_the_fill_value(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        patches = file.create_dataset("patches", (3, 8, 8), "u1", chunks=(1, 8, 8), fillvalue=9, **BLOSC)
        patches[1] = 4
    assert not reads_directly(tmp_path / "a.h5")
    assert_reads(tmp_path / "a.h5", np.array([9, 4, 9], dtype=np.uint8)[:, None, None] * np.ones((8, 8), np.uint8))


def test_a_user_block_before_the_file_is_no_obstacle(tmp_path: Path) -> None:
    data = make_dn(0, (2, 16, 16))
    with h5py.File(tmp_path / "a.h5", "w", userblock_size=1024) as file:
        file.create_dataset("patches", data=data, chunks=(1, 16, 16), **BLOSC)
    assert_reads(tmp_path / "a.h5", data)


def test_patches_behind_an_external_link_are_refused(tmp_path: Path) -> None:
    data = make_dn(0, (2, 16, 16))
    write(tmp_path / "other.h5", data, chunks=(1, 16, 16), **BLOSC)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["patches"] = h5py.ExternalLink("other.h5", "/patches")
    with pytest.raises(
        UnsafeFileError, match=r"found a link to /patches in other\.h5; copy what you need into one file"
    ):
        PatchReader(tmp_path / "a.h5")


@pytest.mark.parametrize("locking", [None, False, True, "best-effort"])
@pytest.mark.parametrize("first", ["user", "reader"])
def test_plain_h5py_may_have_the_same_file_open(tmp_path: Path, locking: object, first: str) -> None:
    data = make_dn(0, (2, 16, 16))
    path = write(tmp_path / "a.h5", data, chunks=(1, 16, 16), **BLOSC)
    if first == "reader":
        reader = PatchReader(path)
        reader.read(0)
        with h5py.File(path, locking=locking) as file:
            np.testing.assert_array_equal(file["patches"][1], reader.read(1))
    else:
        with h5py.File(path, locking=locking) as file:
            np.testing.assert_array_equal(file["patches"][1], PatchReader(path).read(1))


def test_a_file_read_through_hdf5_may_be_open_with_defaults_too(tmp_path: Path) -> None:
    data = make_dn(0, (2, 16, 16))
    path = write(tmp_path / "a.h5", data, chunks=(2, 16, 16), compression="gzip")
    reader = PatchReader(path)
    reader.read(0)
    with h5py.File(path) as file:
        np.testing.assert_array_equal(file["patches"][1], reader.read(1))


def test_a_file_cut_short_after_opening_is_an_error_not_a_crash(tmp_path: Path) -> None:
    path = write(tmp_path / "a.h5", make_dn(0, (4, 64, 64)), chunks=(1, 64, 64), **BLOSC)
    reader = PatchReader(path)
    reader.read(0)
    os.truncate(path, 3000)
    with pytest.raises(CorruptPatchError, match=r"patch 3 cannot be read: the file ends \d+ bytes early"):
        reader.read(3)


def test_a_chunk_that_claims_too_many_bytes_is_refused_before_they_are_allocated(tmp_path: Path) -> None:
    path = write(tmp_path / "a.h5", np.zeros((2, 8, 8), np.uint8), chunks=(1, 8, 8), **BLOSC)
    with h5py.File(path, "r+") as file:
        file["patches"].id.write_direct_chunk((1, 0, 0), b"x" * 5000)
    with pytest.raises(CorruptPatchError, match="claims 5000 bytes"):
        PatchReader(path).read(1)


@pytest.mark.parametrize("frame", [b"\x02\x01\x21\x01", b"\xff" * 40, bytes(40)])
def test_a_frame_that_is_none_is_refused(tmp_path: Path, frame: bytes) -> None:
    path = write(tmp_path / "a.h5", np.zeros((2, 8, 8), np.uint8), chunks=(1, 8, 8), **BLOSC)
    with h5py.File(path, "r+") as file:
        file["patches"].id.write_direct_chunk((1, 0, 0), frame)
    with pytest.raises(CorruptPatchError, match="patch 1 cannot be read"):
        PatchReader(path).read(1)


def test_stores_close_and_the_reader_opens_again(tmp_path: Path) -> None:
    data = make_dn(0, (2, 16, 16))
    path = write(tmp_path / "a.h5", data, chunks=(1, 16, 16), **BLOSC)
    reader = PatchReader(path)
    reader.read(0)
    reader.close()
    reader.close()
    np.testing.assert_array_equal(reader.read(1), data[1])
    with open_file(path) as file:
        direct = DirectChunks(str(path), read_chunk_table(file["patches"]), (16, 16), data.dtype)
    library = LibraryChunks(str(path), "/patches")
    for store in (direct, library):
        np.testing.assert_array_equal(store.read(1), data[1])
        store.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        direct.read(0)


def test_what_is_no_hdf5_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no such file"):
        open_file(tmp_path / "none.h5")
    with pytest.raises(SourceError, match="expected an HDF5 file, found a directory"):
        open_file(tmp_path)
    for content in (b"", b"text", b"\x89HDF\r\n\x1a\n" + bytes(100)):
        (tmp_path / "bad.h5").write_bytes(content)
        with pytest.raises(FormatError, match="expected an HDF5 file"):
            open_file(tmp_path / "bad.h5")


def test_columns_of_a_foreign_file_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.h5", make_dn(0, (2, 8, 8)))
    with pytest.raises(FormatError, match="expected a group /index"):
        read_columns(path, "index")


def test_a_reader_of_codes_knows_its_table(tmp_path: Path) -> None:
    shards = make_shards(tmp_path)
    convert(tmp_path, tmp_path / "h5")
    reader = PatchReader(tmp_path / "h5" / "vv.h5")
    assert reader.read(0).dtype == np.uint16
    np.testing.assert_array_equal(read_values(reader, 7)[0], shards[1][2])
