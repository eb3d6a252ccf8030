"""A damaged global heap, over which HDF5 would loop for ever, is an error for every reader at once."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from sar_h5 import SARH5Dataset, convert, verify
from sar_h5.errors import FormatError
from sar_h5.heap_guard import MOST_NBYTES, GuardedFile, find_heap_damage
from sar_h5.info import read_info
from sar_h5.opening import open_as_it_is, open_file
from tests.block_files import to_blocks
from tests.conftest import make_shards
from tests.damage import loop_heap
from tests.patch_files import overwrite

ROOT = Path(__file__).resolve().parents[1]
READERS: dict[str, Callable[[Path], Any]] = {
    "info": read_info,
    "dataset": SARH5Dataset,
    "open_file": open_file,
    "open_as_it_is": lambda path: open_as_it_is(path).__enter__(),
    "splits": lambda path: SARH5Dataset(path, split="train"),
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    make_shards(tmp_path, size=16)
    convert(tmp_path, tmp_path / "h5")
    return tmp_path / "h5" / "vv.h5"


@pytest.mark.parametrize("reader", READERS)
def test_a_loop_in_the_heap_is_an_error_that_says_where(file: Path, reader: str) -> None:
    loop_heap(file)
    with pytest.raises(FormatError, match=r"found an object of 0 bytes at byte \d+ of its global heap"):
        READERS[reader](file)


@pytest.mark.parametrize("reader", READERS)
def test_files_of_blocks_are_guarded_too(file: Path, tmp_path: Path, reader: str) -> None:
    blocks = to_blocks(file, tmp_path / "blocks.h5", 8)
    assert find_heap_damage(blocks) is None
    loop_heap(blocks)
    with pytest.raises(FormatError, match="of its global heap"):
        READERS[reader](blocks)


def test_verify_names_it_as_well(file: Path) -> None:
    loop_heap(file)
    (problem,) = verify(file).problems
    assert "would never come back from" in problem.message


def test_sound_files_of_ours_and_of_others_pass(file: Path, tmp_path: Path) -> None:
    assert find_heap_damage(file) is None
    with h5py.File(tmp_path / "other.h5", "w") as f:
        for number in range(500):
            f.attrs[f"note {number}"] = "x" * (number * 7)
        f["words"] = ["a", "bc" * 5000] * 50
        f["data"] = np.zeros((2, 4, 4))
        f["patches"] = f["data"]
    assert find_heap_damage(tmp_path / "other.h5") is None
    with GuardedFile(tmp_path / "other.h5") as raw, h5py.File(raw) as f:
        assert f.attrs["note 499"] == "x" * 3493
        assert f["words"].asstr()[1] == "bc" * 5000
    for content in (b"", b"hello", b"GCOL\x01\0\0\0" + bytes(100)):
        (tmp_path / "none").write_bytes(content)
        find_heap_damage(tmp_path / "none")
    assert find_heap_damage(tmp_path / "absent") is None


def test_a_collection_that_would_take_all_memory_is_refused(file: Path) -> None:
    start = file.read_bytes().find(b"GCOL\x01\0\0\0")
    overwrite(file, start + 8, (MOST_NBYTES * 2).to_bytes(8, "little"))
    with file.open("r+b") as f:
        f.truncate(MOST_NBYTES * 4)  # a hole, which takes no disk
    assert f"a collection of {MOST_NBYTES * 2} bytes" in str(find_heap_damage(file))


@pytest.mark.parametrize("before", range(8))
def test_the_start_of_a_collection_is_found_wherever_a_read_starts(file: Path, before: int) -> None:
    loop_heap(file)
    starts = [match.start() for match in re.finditer(rb"GCOL\x01\0\0\0", file.read_bytes())]
    with GuardedFile(file) as raw:
        raw.seek(starts[-1] + before)
        with pytest.raises(OSError, match="global heap"):
            raw.readinto(bytearray(64))


def test_no_flipped_bit_of_the_heap_makes_a_reader_hang(file: Path, tmp_path: Path) -> None:
    code = """
import re, struct, sys
from pathlib import Path
import numpy as np
from sar_h5.errors import SarH5Error
from sar_h5.info import read_info
source, target = Path(sys.argv[1]), Path(sys.argv[2])
content = source.read_bytes()
places = []
for match in re.finditer(rb"GCOL\\x01\\0\\0\\0", content):
    start = match.start()
    end, place = start + struct.unpack_from("<Q", content, start + 8)[0], start + 16
    places += range(start, place)
    while place + 16 <= end:
        number, _, _, size = struct.unpack_from("<HHIQ", content, place)
        places += range(place, place + 16)
        place += 16 + (size + 7) // 8 * 8 if number else size
flips = [(place, bit) for place in places for bit in range(8)]
refused = 0
for at in np.random.default_rng(0).choice(len(flips), 400, replace=False):
    place, bit = flips[at]
    flipped = bytearray(content)
    flipped[place] ^= 1 << bit
    target.write_bytes(flipped)
    try:
        read_info(target).to_text()
    except SarH5Error:
        refused += 1
print(refused)
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code, str(file), str(tmp_path / "flipped.h5")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, env=environment)
    assert done.stderr == ""
    assert int(done.stdout) > 50
