"""Where patches lie, against what HDF5 says of each chunk and what the bytes there are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
import numpy as np
import pytest

from sar_h5.chunk_table import ChunkTable, FileIdentity, read_chunk_table
from tests.patch_files import make_codes, make_lut, write_file


def table_of(path: Path) -> ChunkTable:
    with h5py.File(path) as file:
        return read_chunk_table(file["patches"])


@pytest.mark.parametrize("libver", ["earliest", "v108", "v110", "latest"])
@pytest.mark.parametrize("order", ["ascending", "mixed"])
def test_every_chunk_is_where_hdf5_says_it_is(tmp_path: Path, libver: str, order: str) -> None:
    path, codes = tmp_path / "a.h5", make_codes((50, 16, 16), 256, "u1")
    codes[::3] = 4  # these shrink, random ones are stored raw
    with h5py.File(path, "w", libver=(libver, "latest")) as file:
        patches = file.create_dataset("patches", codes.shape, "u1", chunks=(1, 16, 16), **hdf5plugin.Blosc("lz4", 5, 1))
        for number in range(50) if order == "ascending" else np.random.default_rng(0).permutation(50):
            patches[number] = codes[number]
    table = table_of(path)
    with h5py.File(path) as file:
        chunks = [file["patches"].id.get_chunk_info_by_coord((number, 0, 0)) for number in range(50)]
    assert table.offsets.tolist() == [chunk.byte_offset for chunk in chunks]
    assert table.sizes.tolist() == [chunk.size for chunk in chunks]
    assert table.plain.tolist() == [chunk.filter_mask == 1 for chunk in chunks]
    assert set(table.plain.tolist()) == {False, True}
    content = path.read_bytes()
    for number in np.flatnonzero(table.plain):
        start = table.offsets[number]
        assert content[start : start + 256] == codes[number].tobytes()


@pytest.mark.parametrize("arguments", [{}, {"chunks": (1, 6, 10)}], ids=["contiguous", "chunked"])
@pytest.mark.parametrize("dtype", ["u1", "<u2", ">f8"])
def test_without_a_filter_the_bytes_are_the_patches(tmp_path: Path, dtype: str, arguments: dict[str, Any]) -> None:
    data = np.random.default_rng(0).integers(0, 200, (5, 6, 10)).astype(dtype)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["before"] = np.arange(100)
        file.create_dataset("patches", data=data, **arguments)
    table, content = table_of(tmp_path / "a.h5"), (tmp_path / "a.h5").read_bytes()
    assert table.plain.all()
    for number, (start, size) in enumerate(zip(table.offsets, table.sizes, strict=True)):
        assert content[start : start + size] == data[number].tobytes()


def test_a_file_keeps_its_identity_when_it_is_appended_to_and_not_when_it_is_replaced(tmp_path: Path) -> None:
    path = write_file(tmp_path / "a.h5", make_codes((3, 8, 8), 9, "u1"), make_lut(9))
    first = table_of(path).identity
    assert first == FileIdentity(path.stat().st_dev, path.stat().st_ino)
    with h5py.File(path, "r+") as file:
        file["patches"].resize(4, axis=0)
        file["patches"][3] = 1
    assert table_of(path).identity == first
    (tmp_path / "b.h5").write_bytes(path.read_bytes())
    (tmp_path / "b.h5").replace(path)
    assert table_of(path).identity != first
