"""Patches made up of blocks: the same samples as of patches stored whole, each shared block decoded once."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader, default_collate

import sar_h5.bulk_reads
from sar_h5 import SARH5Dataset
from sar_h5.block_chunks import BlockChunks
from sar_h5.bulk_reads import BulkReads
from sar_h5.chunks import LibraryChunks
from sar_h5.errors import CorruptPatchError, FormatError, SettingError
from sar_h5.reader import PatchReader
from sar_h5.symmetry import apply_symmetry
from tests.block_files import (
    blocks_of,
    break_block,
    overlapping_codes,
    set_blocks,
    to_blocks,
    write_both,
)
from tests.patch_files import make_codes, make_lut, read_plain, write_file
from tests.test_shared_table import forbid_hdf5

COUNT, SIZE = 11, 16


@pytest.fixture
def both(tmp_path: Path) -> tuple[Path, Path]:
    return write_both(tmp_path)


@pytest.fixture
def file(both: tuple[Path, Path]) -> Path:
    return both[1]


def values(path: Path, numbers: list[int], threads: int = 1, *, checked: bool = False) -> np.ndarray:
    out = np.full((len(numbers), SIZE, SIZE), np.nan, np.float32)
    PatchReader(path, checked=checked).values(np.array(numbers), out, threads=threads)
    return out


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_any_patches_come_as_stored_under_any_symmetry_in_any_place(data: Any) -> None:
    per_side, side = data.draw(st.integers(1, 4)), data.draw(st.sampled_from([1, 2, 5, 8]))
    dtype, levels = data.draw(st.sampled_from([("u1", 256), ("<u2", 300)]))
    size = per_side * side
    if size < 2:
        return
    codes = overlapping_codes(6, size, levels, dtype) if size % 2 == 0 else make_codes((6, size, size), levels, dtype)
    numbers = np.array(data.draw(st.lists(st.integers(0, 5), max_size=12)), np.int64)
    turns = np.array(data.draw(st.lists(st.integers(0, 7), min_size=len(numbers), max_size=len(numbers))), np.uint8)
    places = np.random.default_rng(0).permutation(len(numbers) + 2)[: len(numbers)]
    threads, checked = data.draw(st.integers(1, 3)), data.draw(st.booleans())
    with TemporaryDirectory() as directory:
        plain = write_file(Path(directory, "plain.h5"), codes, make_lut(levels))
        reader = PatchReader(to_blocks(plain, Path(directory, "blocks.h5"), side), checked=checked)
        out = np.zeros((len(numbers) + 2, size, size), np.float32)
        reader.values(numbers, out, turns, threads, places)
        stored = np.empty((len(numbers), size, size), dtype)
        reader.codes(numbers, stored, threads)
        reader.close()
    wanted = np.zeros_like(out)
    for number, turn, place in zip(numbers, turns, places, strict=True):
        wanted[place] = apply_symmetry(make_lut(levels)[codes[number]], turn)
    assert out.tobytes() == wanted.tobytes()
    assert stored.tobytes() == codes[numbers].tobytes()


def test_a_block_is_decoded_once_for_all_patches_of_a_batch(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[int] = []
    stored, placed = BulkReads.stored, BulkReads.values

    def note_stored(self: BulkReads, numbers: np.ndarray, out: np.ndarray) -> int:
        decoded.extend(numbers.tolist())
        return stored(self, numbers, out)

    def note_placed(self: BulkReads, numbers: np.ndarray, *others: Any) -> int:
        decoded.extend(numbers.tolist())
        return placed(self, numbers, *others)

    monkeypatch.setattr(BulkReads, "stored", note_stored)
    monkeypatch.setattr(BulkReads, "values", note_placed)
    values(file, [2, 3, 4, 5], threads=2)
    assert sorted(decoded) == sorted({block for number in (2, 3, 4, 5) for block in blocks_of(file, number)})
    decoded.clear()
    values(file, [2, 8])
    assert decoded == [*blocks_of(file, 2), *blocks_of(file, 8)]  # nothing shared: straight to their places


@pytest.mark.parametrize("way", ["compiled", "one by one", "through HDF5"])
def test_every_way_of_reading_gives_the_same(
    both: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    plain, file = both
    if way == "one by one":
        monkeypatch.setattr(sar_h5.bulk_reads, "find_native_reads", lambda: None)
    if way == "through HDF5":
        file = to_blocks(plain, file.with_name("shuffled.h5"), SIZE // 2, fletcher32=True)
    reader = PatchReader(file)
    out = np.empty((COUNT, SIZE, SIZE), np.float32)
    for _ in range(2):
        reader.values(np.arange(COUNT), out, threads=2)
        assert out.tobytes() == read_plain(plain).tobytes()
        reader = pickle.loads(pickle.dumps(reader))
    assert isinstance(reader._open().chunks, BlockChunks)
    assert isinstance(reader._open().chunks.blocks, LibraryChunks) == (way == "through HDF5")
    with h5py.File(plain) as f:
        assert all(np.array_equal(reader.read(number), f["patches"][number]) for number in range(COUNT))


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("numbers", [[3], [0, 3, 9], list(range(COUNT))])
@pytest.mark.parametrize("native", [True, False])
def test_a_damaged_block_is_named_with_its_patch(
    file: Path, monkeypatch: pytest.MonkeyPatch, numbers: list[int], threads: int, native: bool
) -> None:
    if not native:
        monkeypatch.setattr(sar_h5.bulk_reads, "find_native_reads", lambda: None)
    block = blocks_of(file, 3)[1]
    break_block(file, block)
    with pytest.raises(CorruptPatchError, match=rf"patch [34] cannot be read: block {block}: expected checksum"):
        values(file, numbers, threads, checked=True)
    shared = [number for number in range(COUNT) if block in blocks_of(file, number)]
    assert shared == [3, 4]
    patches = SARH5Dataset(file, verify="always", on_bad_sample="skip", threads=threads)
    assert len(patches.__getitems__(range(COUNT))) == COUNT - 2
    assert sorted(patches.bad_samples) == shared


@pytest.mark.parametrize("numbers", [[5], [5, 1, 9], list(range(COUNT))])
def test_a_block_that_is_not_there_is_named(file: Path, numbers: list[int]) -> None:
    set_blocks(file, 5, [0, 1, 4_000_000_000, 2])
    for checked in (False, True):
        with pytest.raises(
            CorruptPatchError, match="patch 5 cannot be read: expected blocks below 24, found 4000000000"
        ):
            values(file, numbers, threads=2, checked=checked)
    assert np.isfinite(values(file, [4, 6])).all()


@pytest.mark.parametrize("numbers", [[5], [5, 1, 9], list(range(COUNT))])
def test_blocks_of_another_patch_are_not_served_where_checksums_are_checked(file: Path, numbers: list[int]) -> None:
    own = blocks_of(file, 5)
    set_blocks(file, 5, [own[0], own[1] - 1, own[2], own[3]])
    with pytest.raises(CorruptPatchError, match="patch 5 cannot be read: its blocks are not those that its checksum"):
        values(file, numbers, checked=True)
    assert np.isfinite(values(file, numbers)).all()


@pytest.mark.parametrize("name", ["index/blocks", "index/checksum", "block_checksum"])
def test_no_flipped_bit_of_what_makes_up_patches_serves_a_wrong_one(
    both: tuple[Path, Path], tmp_path: Path, name: str
) -> None:
    plain, file = both
    wanted = torch.from_numpy(read_plain(plain))
    with h5py.File(file) as f:
        start, nbytes = f[name].id.get_offset(), f[name].id.get_storage_size()
    content, generator, served = file.read_bytes(), np.random.default_rng(0), set()
    for place in generator.integers(start, start + nbytes, 30).tolist():
        flipped = bytearray(content)
        flipped[place] ^= 1 << int(generator.integers(8))
        (tmp_path / "flipped.h5").write_bytes(flipped)
        patches = SARH5Dataset(tmp_path / "flipped.h5", verify="always", on_bad_sample="skip", sample="dict")
        batch = default_collate(patches.__getitems__(range(COUNT)))
        assert torch.equal(batch["image"], wanted[batch["index"]])
        served.add(len(batch["index"]))
    assert served <= {COUNT - 1, COUNT - 2}  # two patches share a block, and so its checksum


def test_a_code_that_the_table_has_not_is_the_patches_fault(file: Path) -> None:
    with h5py.File(file, "r+") as f:
        lut = f["lut"][:100]
        del f["lut"]
        f["lut"] = lut
    for numbers in ([1], list(range(COUNT))):
        with pytest.raises(CorruptPatchError, match="outside the table of 100"):
            values(file, numbers)


def change_grid(change: Any) -> Any:
    def apply(f: h5py.File) -> None:
        grid = f["index/blocks"][:]
        del f["index/blocks"]
        f["index/blocks"] = change(grid)

    return apply


def change_blocks(f: h5py.File) -> None:
    blocks, attributes = f["blocks"][:, :4], dict(f["blocks"].attrs)
    del f["blocks"]
    f["blocks"] = blocks
    f["blocks"].attrs.update(attributes)


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (change_grid(lambda grid: grid[:, :1]), r"found uint32 of shape \(11, 1, 2\)"),
        (change_grid(lambda grid: grid.astype("i4")), "found int32 of shape"),
        (change_grid(lambda grid: grid.ravel()), r"found uint32 of shape \(44,\)"),
        (lambda f: f["index"].pop("blocks"), "found none"),
        (change_blocks, r"found /blocks of shape \(24, 4, 8\)"),
        (lambda f: f["blocks"].attrs.update(block_size=5), "its attributes are not those of the format"),
        (lambda f: f["blocks"].attrs.pop("block_size"), "its attributes are not those of the format"),
        (
            lambda f: (f["blocks"].attrs.pop("block_size"), f["blocks"].attrs.update(layout="patches")),
            "layout 'blocks'",
        ),
    ],
)
def test_a_file_that_is_laid_out_otherwise_is_refused(file: Path, change: Any, found: str) -> None:
    with h5py.File(file, "r+") as f:
        change(f)
    with pytest.raises(FormatError, match=found):
        SARH5Dataset(file)


def test_checksums_of_blocks_must_be_there_to_be_checked(file: Path) -> None:
    with h5py.File(file, "r+") as f:
        checksums = f["block_checksum"][:]
        del f["block_checksum"]
        f["block_checksum"] = checksums[:-1]
    with pytest.raises(FormatError, match="expected 24 checksums in /block_checksum, found 23"):
        SARH5Dataset(file, verify="always")
    with h5py.File(file, "r+") as f:
        del f["block_checksum"]
    with pytest.raises(SettingError, match=r"verify.*always.*block_checksum"):
        SARH5Dataset(file, verify="always")
    assert len(SARH5Dataset(file)) == COUNT


@pytest.mark.parametrize("method", ["fork", "spawn"] if os.name == "posix" else ["spawn"])
def test_workers_share_the_table_and_need_no_hdf5(both: tuple[Path, Path], method: str) -> None:
    plain, file = both
    wanted = read_plain(plain, augment=True, seed=4)
    patches = SARH5Dataset(file, augment=True, seed=4, verify="always")
    loader = DataLoader(
        patches, 4, num_workers=1, multiprocessing_context=method, timeout=120, worker_init_fn=forbid_hdf5
    )
    assert torch.cat(list(loader)).numpy().tobytes() == wanted.tobytes()


def test_a_pickled_reader_is_small_and_reads_the_table_again(file: Path) -> None:
    reader = PatchReader(file, checked=True)
    content = pickle.dumps(reader)
    assert len(content) < 4000
    copy = pickle.loads(content)
    assert copy.table is None
    assert np.array_equal(copy.read(7), reader.read(7))
    assert np.array_equal(copy.table.grid, reader.table.grid)
    assert copy.table.checksums is not None


def test_a_cache_and_a_join_with_the_other_layout_serve_the_same(both: tuple[Path, Path]) -> None:
    plain, file = both
    with h5py.File(plain, "r+") as f:
        f.attrs["polarization"] = f["patches"].attrs["polarization"] = "vh"
    wanted = torch.from_numpy(read_plain(plain))
    joined = SARH5Dataset([file, plain])
    assert torch.equal(torch.stack(list(joined)), torch.cat([wanted, wanted], dim=1)[joined.index["patch_vv"]])
    cached = SARH5Dataset(file, cache_nbytes=1 << 20)
    for _ in range(2):
        assert torch.equal(torch.stack(list(cached.__getitems__(range(COUNT)))), wanted)
    assert cached.caches[0].hits == COUNT
    assert SARH5Dataset(file, dataset="/blocks").patch_size == SIZE
    assert f"{COUNT} patches" in SARH5Dataset(file)._repr_html_()
