"""Batches read by compiled loops: what they place, where they stop, and what hostile chunks do to them."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
import numpy as np
import pytest

import sar_h5.bulk_reads
from sar_h5 import convert
from sar_h5.bulk_reads import BulkReads, bulk_reads
from sar_h5.chunk_table import ChunkTable, read_chunk_table
from sar_h5.chunks import DirectChunks
from sar_h5.errors import CorruptPatchError
from sar_h5.lookup import Lookup
from sar_h5.native import find_native_reads
from sar_h5.reader import PatchReader
from sar_h5.symmetry import apply_symmetry
from tests.conftest import make_shards
from tests.patch_files import chunk_place, make_codes, make_lut, overwrite, raw_chunks, read_plain, write_file

COUNT, SIZE, LEVELS = 12, 32, 200
needs_native = pytest.mark.skipif(find_native_reads() is None, reason="no native reads on this machine")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Twelve patches of uint8 codes, compressed."""
    codes = make_codes((COUNT, SIZE, SIZE), LEVELS, "u1")
    codes[:] = np.repeat(codes[:, :, ::8], 8, axis=2)
    codes[0, 0, 0] = LEVELS - 1
    written = write_file(tmp_path / "a.h5", codes, make_lut(LEVELS))
    assert raw_chunks(written) == [False] * COUNT
    return written


def open_chunks(path: Path) -> DirectChunks:
    with h5py.File(path) as file:
        patches = file["patches"]
        return DirectChunks(str(path), read_chunk_table(patches), patches.shape[1:], patches.dtype)


def bulk_of(path: Path) -> BulkReads:
    bulk = bulk_reads(open_chunks(path))
    assert bulk is not None
    return bulk


def nowhere(count: int, dtype: Any = np.float32) -> np.ndarray:
    return np.full((count, SIZE, SIZE), 77, dtype=dtype)


@needs_native
def test_patches_are_placed_in_the_order_asked_for(path: Path) -> None:
    numbers = np.array([11, 0, 5, 5, 3])
    symmetries = np.array([0, 1, 6, 7, 4], dtype=np.uint8)
    out, stored = nowhere(5), nowhere(5, np.uint8)
    bulk = bulk_of(path)
    assert bulk.values(numbers, symmetries, Lookup(make_lut(LEVELS), np.dtype("u1")), np.arange(len(numbers)), out) == 5
    plain = read_plain(path)[:, 0]
    wanted = [apply_symmetry(plain[number], turn) for number, turn in zip(numbers, symmetries, strict=True)]
    assert out.tobytes() == np.stack(wanted).tobytes()
    assert bulk.stored(numbers, stored) == 5
    with h5py.File(path) as file:
        assert stored.tobytes() == file["patches"][:][numbers].tobytes()
    assert bulk.stored(numbers[:0], stored[:0]) == 0


@needs_native
@pytest.mark.parametrize("bad", [0, 4, 11])
def test_reading_stops_at_the_patch_that_is_not_as_it_should_be(path: Path, bad: int) -> None:
    overwrite(path, chunk_place(path, bad)[0] + 4, b"\0\0\0\0")
    bulk, lookup = bulk_of(path), Lookup(make_lut(LEVELS), np.dtype("u1"))
    out, stored = nowhere(COUNT), nowhere(COUNT, np.uint8)
    assert bulk.values(np.arange(COUNT), np.zeros(COUNT, np.uint8), lookup, np.arange(COUNT), out) == bad
    assert bulk.stored(np.arange(COUNT), stored) == bad
    assert (out[bad:] == 77).all()
    assert (stored[bad:] == 77).all()
    assert (out[:bad] != 77).all()


@needs_native
@pytest.mark.parametrize("bad", [0, 7, 11])
def test_reading_stops_at_a_code_outside_the_table(path: Path, bad: int) -> None:
    with h5py.File(path, "r+") as file:
        file["patches"][bad, 31, 31] = LEVELS
    out = nowhere(COUNT)
    lookup = Lookup(make_lut(LEVELS), np.dtype("u1"))
    assert bulk_of(path).values(np.arange(COUNT), np.zeros(COUNT, np.uint8), lookup, np.arange(COUNT), out) == bad
    with pytest.raises(
        CorruptPatchError, match=f"patch {bad} cannot be read: a code lies outside the table of {LEVELS}"
    ):
        PatchReader(path).values(np.arange(COUNT), out, threads=3)


@pytest.mark.parametrize("dtype", ["<f8", ">u2", "<i4", "i1", "<f2"])
def test_dtypes_without_a_loop_have_no_bulk_reads(tmp_path: Path, dtype: str) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["patches"] = np.zeros((2, 4, 4), dtype=dtype)
    assert bulk_reads(open_chunks(tmp_path / "a.h5")) is None


def test_machines_without_native_reads_have_no_bulk_reads(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sar_h5.bulk_reads, "find_native_reads", lambda: None)
    assert bulk_reads(open_chunks(path)) is None


# --- hostile chunks --------------------------------------------------------------------------------------------------

HEADER = struct.Struct("<BBBBIII")  # version, version of the compressor, flags, type size, nbytes, blocksize, cbytes
NBYTES = SIZE * SIZE


def frame(
    nbytes: int = NBYTES,
    blocksize: int = NBYTES,
    cbytes: int | None = None,
    flags: int = 0x21,
    typesize: int = 1,
    version: int = 2,
    body: bytes = bytes(200),
) -> bytes:
    return (
        HEADER.pack(version, 1, flags, typesize, nbytes, blocksize, 16 + len(body) if cbytes is None else cbytes) + body
    )


HOSTILE: dict[str, bytes] = {
    "a byte": b"\x02",
    "less than a header": b"\x02\x01\x21\x01" + bytes(11),
    "a header alone": frame(body=b""),
    "more bytes than the patch": frame(nbytes=NBYTES + 1),
    "four gigabytes": frame(nbytes=2**32 - 1, blocksize=2**32 - 1),
    "fewer bytes than the patch": frame(nbytes=NBYTES - 1),
    "no bytes": frame(nbytes=0),
    "longer than the chunk": frame(cbytes=100_000),
    "shorter than the chunk": frame(cbytes=20),
    "blocks of no size": frame(blocksize=0),
    "blocks of a negative size": frame(blocksize=2**32 - 1),
    "blocks larger than the patch": frame(blocksize=10 * NBYTES),
    "elements of no size": frame(typesize=0),
    "blocks that begin anywhere": frame(body=struct.pack("<I", 2**31 - 1) + bytes(100)),
    "blocks that begin before": frame(body=struct.pack("<i", -5) + bytes(100)),
    "blocks that begin at the end": frame(body=struct.pack("<I", 120) + bytes(104)),
    "a stream that is longer than the chunk": frame(body=struct.pack("<Ii", 20, 2**31 - 1) + bytes(100)),
    "a stream of a negative length": frame(body=struct.pack("<Ii", 20, -1) + bytes(100)),
    "stored, but too short": frame(flags=0x02),
    "an unknown compressor": frame(flags=0xE1),
    "an unknown version": frame(version=99),
    "noise": np.random.default_rng(0).bytes(500),
    "noise behind a header": frame(body=np.random.default_rng(1).bytes(300)),
    "ones": b"\xff" * 300,
}


@pytest.fixture
def refused_alone(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """With native reads, and without."""
    if not request.param:
        monkeypatch.setattr(sar_h5.bulk_reads, "find_native_reads", lambda: None)


@pytest.mark.parametrize("refused_alone", [True, False], ids=["native", "python"], indirect=True)
@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.usefixtures("refused_alone")
def test_a_hostile_chunk_is_named_and_the_others_are_right(path: Path, name: str) -> None:
    plain = read_plain(path)[:, 0]
    with h5py.File(path, "r+") as file:
        file["patches"].id.write_direct_chunk((5, 0, 0), HOSTILE[name])
    reader = PatchReader(path)
    for threads in (1, 3):
        for numbers in ([5], list(range(COUNT)), [11, 5, 5, 0]):
            with pytest.raises(CorruptPatchError, match="patch 5 cannot be read") as caught:
                reader.values(np.array(numbers), nowhere(len(numbers)), threads=threads)
            assert (caught.value.patch, caught.value.path) == (5, str(path))
            with pytest.raises(CorruptPatchError, match="patch 5 cannot be read"):
                reader.codes(np.array(numbers), nowhere(len(numbers), np.uint8), threads=threads)
    out = nowhere(COUNT - 1)
    reader.values(np.delete(np.arange(COUNT), 5), out)
    assert out.tobytes() == np.delete(plain, 5, axis=0).tobytes()


@pytest.mark.parametrize(
    ("offset", "size", "plain"),
    [
        (10**15, 100, False),
        (-1, 100, False),
        (0, -1, False),
        (0, 2**62, False),
        (2**62, NBYTES, True),
        (-7, NBYTES, True),
        (0, NBYTES - 1, True),
        (0, NBYTES + 1, True),
        (0, 0, True),
    ],
)
def test_places_that_cannot_be_are_refused(path: Path, offset: int, size: int, plain: bool) -> None:
    table = PatchReader(path).table
    assert table is not None
    offsets, sizes, plains = (array.copy() for array in (table.offsets, table.sizes, table.plain))
    offsets[2], sizes[2], plains[2] = offset, size, plain
    reader = PatchReader(path)
    reader.table = ChunkTable(offsets, sizes, plains, table.identity)
    out = nowhere(4)
    with pytest.raises(CorruptPatchError, match="patch 2 cannot be read"):
        reader.values(np.arange(4), out, threads=2)
    with pytest.raises(CorruptPatchError, match="patch 2 cannot be read"):
        reader.codes(np.arange(4), nowhere(4, np.uint8))


@pytest.mark.parametrize("plain", [False, True])
def test_a_file_cut_short_names_the_first_patch_that_is_gone(path: Path, plain: bool, tmp_path: Path) -> None:
    if plain:
        path = tmp_path / "plain.h5"
        with h5py.File(path, "w") as file:
            file["patches"] = make_codes((COUNT, SIZE, SIZE), LEVELS, "u1")
    reader = PatchReader(path)
    wanted = nowhere(COUNT)
    reader.values(np.arange(COUNT), wanted)
    place, size = (reader.table.offsets[6], reader.table.sizes[6]) if reader.table is not None else (0, 0)
    with path.open("r+b") as file:
        file.truncate(int(place + size - 1))
    gone = [number for number in range(COUNT) if reader.table.offsets[number] >= place]  # type: ignore[union-attr]
    there = np.array([number for number in range(COUNT) if number not in gone])
    for number in gone:
        with pytest.raises(CorruptPatchError, match=rf"patch {number} cannot be read: the file ends \d+ bytes early"):
            reader.values(np.append(there, number), nowhere(len(there) + 1), threads=2)
    out = nowhere(len(there))
    reader.values(there, out, threads=2)
    assert out.tobytes() == wanted[there].tobytes()


@needs_native
@pytest.mark.parametrize(
    "codec",
    [hdf5plugin.Blosc(*arguments) for arguments in (("lz4", 5, 1), ("zstd", 3, 2), ("zlib", 3, 1), ("blosclz", 5, 1))],
    ids=["lz4", "zstd", "zlib", "blosclz"],
)
def test_flipped_bits_crash_nothing_and_change_no_other_patch(tmp_path: Path, codec: Any) -> None:
    codes = make_codes((6, 96, 96), 300, "<u2") // 9
    codes[0, 0, 0] = 299
    path = write_file(tmp_path / "a.h5", codes, make_lut(300), **codec)
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz_reads", str(path), "200", "1"],
        capture_output=True,
        text=True,
        cwd=Path(__file__).resolve().parents[1],
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["wrong"] == []
    assert found["unchanged"] + found["changed"] + found["refused"] == 200
    assert found["refused"] > 50


@needs_native
def test_loops_are_compiled_before_the_first_batch(tmp_path: Path) -> None:
    script = """
import sys, time
import numpy as np
from sar_h5 import kernels
from sar_h5.dataset import SARH5Dataset

for output in ("values", "codes"):
    dataset = SARH5Dataset(sys.argv[1], augment=True, output=output)
    before = [len(loop.signatures) for loop in (kernels.read_values, kernels.read_codes)]
    dataset.__getitems__([0, 1])
    dataset[1]
    after = [len(loop.signatures) for loop in (kernels.read_values, kernels.read_codes)]
    print(output, before, after)
"""
    make_shards(tmp_path)
    convert(tmp_path, tmp_path / "h5")
    command = [sys.executable, "-W", "error", "-c", script, str(tmp_path / "h5" / "vv.h5")]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert done.stdout == "values [1, 1] [1, 1]\ncodes [1, 1] [1, 1]\n"
