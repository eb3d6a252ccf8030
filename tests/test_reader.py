"""``PatchReader``: what travels when it is pickled, files that change meanwhile, and damage named by patch."""

from __future__ import annotations

import gc
import pickle
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from sar_h5.errors import CorruptPatchError, FormatError
from sar_h5.reader import PatchReader
from tests.patch_files import chunk_place, make_codes, make_lut, overwrite, read_plain, write_file

APPEND = """
import sys, h5py, hdf5plugin
with h5py.File(sys.argv[1], "r+", libver=("v110", "v110"), locking=False) as file:
    patches = file["patches"]
    first = patches[:]
    patches.resize(3 * len(first), axis=0)
    patches[len(first):2 * len(first)] = first[::-1]
    patches[2 * len(first):] = first
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Ten patches of uint16 codes."""
    return write_file(tmp_path / "a.h5", make_codes((10, 24, 24), 300, "<u2"), make_lut(300))


def values(reader: PatchReader, numbers: Any = range(10), **options: Any) -> np.ndarray:
    out = np.full((len(numbers), *reader.source.shape[1:]), 77, dtype=np.float32)
    reader.values(np.array(numbers), out, **options)
    return out


def test_a_pickled_reader_carries_no_table_and_reads_the_same(path: Path) -> None:
    reader = PatchReader(path)
    wanted = values(reader)
    assert wanted.tobytes() == read_plain(path).tobytes()
    copied = pickle.loads(pickle.dumps(reader))
    assert copied.table is None
    assert reader.table is not None
    assert values(copied, threads=3).tobytes() == wanted.tobytes()
    assert copied.table.offsets.tolist() == reader.table.offsets.tolist()
    large = write_file(path.parent / "large.h5", np.zeros((3000, 2, 2), np.uint8), make_lut(9))
    assert len(pickle.dumps(PatchReader(large))) < 2000


def test_nothing_is_placed_in_a_batch_that_needs_nothing(path: Path) -> None:
    reader = PatchReader(path)
    assert values(reader, []).shape == (0, 24, 24)
    codes = np.zeros((0, 24, 24), np.uint16)
    reader.codes(np.zeros(0, np.int64), codes, threads=4)


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("bad", [0, 5, 9])
def test_damage_in_the_middle_of_a_batch_names_the_patch(path: Path, bad: int, threads: int) -> None:
    wanted = read_plain(path)[:, 0]
    overwrite(path, chunk_place(path, bad)[0], b"\xff" * 16)
    reader = PatchReader(path)
    for numbers in (list(range(10)), [bad], [1, 2, 3, bad, 4, bad]):
        with pytest.raises(CorruptPatchError, match=rf"patch {bad} cannot be read.*sar-h5 verify") as caught:
            values(reader, numbers, threads=threads)
        assert (caught.value.patch, caught.value.path) == (bad, str(path))
    others = [number for number in range(10) if number != bad]
    assert values(reader, others, threads=threads).tobytes() == wanted[others].tobytes()


def test_a_batch_that_was_given_up_is_not_written_to_afterwards(path: Path) -> None:
    overwrite(path, chunk_place(path, 7)[0], b"\xff" * 16)
    reader = PatchReader(path)
    numbers = np.tile(np.arange(10), 60)
    for _ in range(5):
        out = np.zeros((600, 24, 24), dtype=np.float32)
        with pytest.raises(CorruptPatchError, match="patch 7"):
            reader.values(numbers, out, threads=4)
        out[...] = -1
        threading.Event().wait(0.01)
        assert (out == -1).all()


def test_the_first_of_several_damaged_patches_is_named_by_one_thread(path: Path) -> None:
    for bad in (2, 6):
        overwrite(path, chunk_place(path, bad)[0], b"\xff" * 16)
    with pytest.raises(CorruptPatchError, match="patch 2 "):
        values(PatchReader(path))
    with pytest.raises(CorruptPatchError, match="patch 6 "):
        values(PatchReader(path), range(9, -1, -1))
    for _ in range(10):
        with pytest.raises(CorruptPatchError, match=r"patch [26] "):
            values(PatchReader(path), threads=4)


# --- files that change while they are read ---------------------------------------------------------------------------


def test_patches_that_another_process_appends_change_nothing(path: Path) -> None:
    before, used = PatchReader(path), PatchReader(path)
    wanted = values(used)
    subprocess.run([sys.executable, "-c", APPEND, str(path)], check=True)
    with h5py.File(path) as file:
        assert len(file["patches"]) == 30
    for reader in (before, used, pickle.loads(pickle.dumps(before)), pickle.loads(pickle.dumps(used))):
        assert reader.source.shape == (10, 24, 24)
        assert values(reader, threads=2).tobytes() == wanted.tobytes()
        reader.close()
        assert values(reader).tobytes() == wanted.tobytes()
    assert PatchReader(path).source.shape == (30, 24, 24)


@pytest.mark.parametrize("copied", [False, True])
@pytest.mark.parametrize("change", ["fewer", "size", "dtype", "settings"])
def test_a_file_that_was_replaced_by_a_different_one_is_noticed(path: Path, change: str, copied: bool) -> None:
    reader = PatchReader(path)
    data = pickle.dumps(reader)
    codes = make_codes((10, 24, 24), 300, "<u2")
    other = path.parent / "other.h5"
    if change == "settings":
        write_file(other, codes, make_lut(65536))
    else:
        codes = {"fewer": codes[:9], "size": codes[:, :20, :20], "dtype": codes.astype("u1")}[change]
        write_file(other, codes, make_lut(256))
    other.replace(path)
    reader = pickle.loads(data) if copied else reader
    with pytest.raises(FormatError, match="replaced by a different one") as caught:
        values(reader)
    assert not isinstance(caught.value, CorruptPatchError)  # of the file, not of a patch
    with pytest.raises(FormatError, match="replaced by a different one"):
        reader.read(0)


def test_a_file_in_use_that_is_replaced_goes_on_until_it_is_closed(path: Path) -> None:
    reader = PatchReader(path)
    wanted = values(reader)
    (path.parent / "b.h5").write_bytes(path.read_bytes())
    (path.parent / "b.h5").replace(path)
    assert values(reader).tobytes() == wanted.tobytes()
    reader.close()
    with pytest.raises(FormatError, match="replaced by a different one"):
        values(reader)
    assert values(PatchReader(path)).tobytes() == wanted.tobytes()


def test_a_file_that_is_gone_is_an_error_that_says_so(path: Path) -> None:
    reader = PatchReader(path)
    copied = pickle.loads(pickle.dumps(reader))
    path.unlink()
    for one in (reader, copied):
        with pytest.raises(OSError, match=r"a\.h5"):
            values(one)


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs /proc to count open files")
def test_refusing_a_file_leaves_no_handle_open(path: Path) -> None:
    reader = PatchReader(path)
    (path.parent / "b.h5").write_bytes(path.read_bytes())
    (path.parent / "b.h5").replace(path)
    gc.collect()
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(5):
        with pytest.raises(FormatError):
            values(reader)
    assert len(list(Path("/proc/self/fd").iterdir())) <= before


def test_many_threads_may_open_and_close_it_at_once(path: Path) -> None:
    wanted = read_plain(path)[:, 0]
    reader, wrong = PatchReader(path), []

    def work(offset: int) -> None:
        for step in range(40):
            numbers = [(offset + step) % 10, step % 10]
            if values(reader, numbers, threads=2).tobytes() != wanted[numbers].tobytes():
                wrong.append((offset, step))

    threads = [threading.Thread(target=work, args=(offset,)) for offset in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_threads_may_open_a_file_that_is_read_through_hdf5_at_the_same_time(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("x", data=np.arange(5 * 6 * 7, dtype="u1").reshape(5, 6, 7), compression="gzip")
    for _ in range(20):
        readers = [PatchReader(tmp_path / "a.h5"), pickle.loads(pickle.dumps(PatchReader(tmp_path / "a.h5")))]
        start, sums = threading.Barrier(6), []

        def work(reader: PatchReader, start: threading.Barrier = start, sums: list[int] = sums) -> None:
            start.wait()
            sums.append(int(reader.read(4)[5, 6]))
            PatchReader(reader.path)  # which looks at the file without locks

        threads = [threading.Thread(target=work, args=(reader,)) for reader in readers * 3]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sums == [209] * 6
