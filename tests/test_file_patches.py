"""One file as a store: values, codes, columns, and what it takes along to other processes."""

from __future__ import annotations

import pickle
from copy import deepcopy
from pathlib import Path

import h5py
import numpy as np
import pytest

from sar_h5.errors import CorruptPatchError, FormatError, SettingError
from sar_h5.stores.file_patches import FilePatches
from sar_h5.stores.patch_store import PatchStore
from tests.patch_files import chunk_place, make_codes, make_lut, overwrite, read_plain, write_file

COUNT, SIZE = 9, 16
CACHES = [0, 10**6]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_file(tmp_path / "vv.h5", make_codes((COUNT, SIZE, SIZE), 200, "u1"), make_lut(200))


@pytest.mark.parametrize("cache_nbytes", CACHES)
def test_values_and_codes_are_those_of_the_file(path: Path, cache_nbytes: int) -> None:
    store: PatchStore = FilePatches(path, cache_nbytes=cache_nbytes)
    assert store.shape == (COUNT, 1, SIZE, SIZE)
    numbers = np.array([3, 0, 8, 3])
    values = np.empty((4, 1, SIZE, SIZE), np.float32)
    codes = np.empty((4, 1, SIZE, SIZE), np.uint8)
    for _ in range(2):
        store.values(numbers, values, threads=2)
        assert values.tobytes() == read_plain(path, numbers).tobytes()
        FilePatches(path, cache_nbytes=cache_nbytes).codes(numbers, codes, threads=2)
        assert make_lut(200)[codes].tobytes() == values.tobytes()


@pytest.mark.parametrize("cache_nbytes", CACHES)
def test_patches_go_to_the_places_asked_for_and_nowhere_else(path: Path, cache_nbytes: int) -> None:
    store = FilePatches(path, cache_nbytes=cache_nbytes)
    out = np.full((6, SIZE, SIZE), -1, np.float32)
    for _ in range(2):
        store.place(np.array([7, 2]), out, places=np.array([5, 1]))
        assert out[[5, 1]].tobytes() == read_plain(path, [7, 2]).tobytes()
        assert (out[[0, 2, 3, 4]] == -1).all()
    store.place(np.empty(0, np.int64), out, places=np.empty(0, np.int64))


def test_the_file_says_what_it_holds(path: Path, tmp_path: Path) -> None:
    store = FilePatches(path, cache_nbytes=10)
    assert store.files == (store,)
    assert store.settings is not None
    assert store.settings.polarization == "vv"
    assert (store.path, store.dtype, len(store.luts[0])) == (str(path), np.uint8, 200)
    assert store.caches[0].limit_nbytes == 10
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = np.zeros((3, 4, 5), ">i2")
    other = FilePatches(tmp_path / "other.h5")
    assert (other.settings, other.luts, other.dtype, other.caches) == (None, (), np.dtype(">i2"), ())
    with pytest.raises(FormatError, match=r"other\.h5: expected a group /index"):
        other.index()


def test_columns_are_read_once_and_left_behind_by_copies(path: Path) -> None:
    store = FilePatches(path)
    assert store.index() is store.index()
    assert store.scenes()["name"].tolist() == ["a", "b"]
    with h5py.File(path, "r+") as file:
        file["index/row"][0] = 99
    assert store.index()["row"][0] == 0
    for copy in (pickle.loads(pickle.dumps(store)), deepcopy(store)):
        assert copy.index()["row"][0] == 99
        assert copy.identity() == store.identity()


def test_entries_of_patches_appended_since_are_left_out(path: Path) -> None:
    store = FilePatches(path)
    with h5py.File(path, "r+") as file:
        for name in list(file["index"]):
            values = file["index"][name][:]
            del file["index"][name]
            file["index"][name] = np.append(values, values)
    assert {len(values) for values in store.index().values()} == {COUNT}


def test_a_column_that_hdf5_cannot_read_is_an_error_of_the_format(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        values = file["index/col"][:]
        del file["index/col"]
        file.create_dataset("index/col", data=values, chunks=(COUNT,), fletcher32=True)
        place = file["index/col"].id.get_chunk_info(0).byte_offset
    overwrite(path, place, b"\x07")
    with pytest.raises(
        FormatError, match=r"vv\.h5: expected sound columns in /index, found damage: .*; run `sar-h5 verify"
    ):
        FilePatches(path).index()


@pytest.mark.parametrize("cache_nbytes", CACHES)
def test_a_damaged_patch_is_named_however_it_is_read(path: Path, cache_nbytes: int) -> None:
    overwrite(path, chunk_place(path, 0)[0], b"\xff" * 16)
    store = FilePatches(path, cache_nbytes=cache_nbytes)
    for _ in range(2):
        with pytest.raises(CorruptPatchError, match=r"vv\.h5: patch 0 cannot be read") as caught:
            store.values(np.array([1, 0]), np.empty((2, 1, SIZE, SIZE), np.float32))
        assert caught.value.patch == 0
        with pytest.raises(CorruptPatchError, match="patch 0 cannot be read"):
            store.codes(np.array([1, 0]), np.empty((2, 1, SIZE, SIZE), np.uint8))


def test_codes_without_a_value_are_found(path: Path) -> None:
    store = FilePatches(path)
    codes = np.full((3, 1, SIZE, SIZE), 199, np.uint8)
    store.check_codes(np.array([4, 5, 6]), codes)
    store.check_codes(np.empty(0, np.int64), codes[:0])
    codes[1:, 0, 2, 3] = 200
    with pytest.raises(CorruptPatchError, match="patch 5 cannot be read: a code lies outside the table of 200"):
        store.check_codes(np.array([4, 5, 6]), codes)


def test_a_closed_file_opens_again(path: Path) -> None:
    store, out = FilePatches(path), np.empty((1, 1, SIZE, SIZE), np.float32)
    for _ in range(2):
        store.values(np.array([4]), out)
        store.close()
    assert out.tobytes() == read_plain(path, [4]).tobytes()


def test_a_cache_of_less_than_nothing_is_refused(path: Path) -> None:
    with pytest.raises(SettingError, match="found -1"):
        FilePatches(path, cache_nbytes=-1)
