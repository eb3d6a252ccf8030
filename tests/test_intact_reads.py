"""Stored patches with their checksums: what is sound comes as it is, what is not with the reason, in any order."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import h5py
import numpy as np
import pytest

import sar_h5.bulk_reads
from sar_h5 import convert
from sar_h5.errors import FormatError
from sar_h5.file_structure import Structure
from sar_h5.intact_reads import IntactReads
from sar_h5.structure_checks import check_structure
from tests.conftest import make_shards
from tests.damage import break_patch


@pytest.fixture(params=["palette", "float32"])
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    make_shards(tmp_path, counts=(20,))
    convert(tmp_path, tmp_path / "h5", encoding=request.param)
    return tmp_path / "h5" / "vv.h5"


def structure(path: Path) -> Structure:
    found = check_structure(path).structure
    assert found is not None
    return found


@pytest.mark.parametrize("native", [True, False])
def test_broken_patches_are_told_from_others(file: Path, monkeypatch: pytest.MonkeyPatch, native: bool) -> None:
    if not native:
        monkeypatch.setattr(sar_h5.bulk_reads, "find_native_reads", lambda: None)
    with h5py.File(file) as f:
        wanted = f["patches"][:]
    for number in (0, 7, 8, 19):
        break_patch(file, number)
    with IntactReads(str(file), structure(file)) as reads:
        numbers = np.array([19, 3, 7, 7, 0, 4, 8], dtype=np.int64)
        patches, broken = reads.read(numbers)
        assert sorted(broken) == [0, 2, 3, 4, 6]
        assert all("expected checksum" in reason for reason in broken.values())
        for position in (1, 5):
            assert patches[position].tobytes() == wanted[numbers[position]].tobytes()
        assert reads.read(numbers[:0])[1] == {}


def test_threads_share_it(file: Path) -> None:
    with h5py.File(file) as f:
        wanted = f["patches"][:]
    with IntactReads(str(file), structure(file)) as reads, ThreadPoolExecutor(4) as pool:

        def is_right(seed: int) -> bool:
            numbers = np.random.default_rng(seed).integers(0, 20, 9)
            patches, broken = reads.read(numbers)
            return not broken and patches.tobytes() == wanted[numbers].tobytes()

        assert all(pool.map(is_right, range(200)))


def test_a_file_cut_or_replaced_meanwhile_is_noticed(file: Path, tmp_path: Path) -> None:
    found = structure(file)
    with IntactReads(str(file), found) as reads:
        end = int(found.table.offsets[5]) + 10
        with file.open("r+b") as raw:
            raw.truncate(end)
        _, broken = reads.read(np.array([5], dtype=np.int64))
        assert "bytes early" in broken[0]
    other = tmp_path / "other.h5"
    other.write_bytes(file.read_bytes())
    other.replace(file)
    with pytest.raises(FormatError, match="has been replaced by a different one"):
        IntactReads(str(file), found)


def test_announcing_what_will_be_read_changes_nothing_and_survives_places_that_cannot_be(file: Path) -> None:
    found = structure(file)
    found.table.offsets[[2, 3]] = [-5, 2**62]
    with IntactReads(str(file), found) as reads:
        for numbers in ([], [0, 1], [0, 19], [2], [3, 0], [2, 3]):
            reads.announce(np.array(numbers, dtype=np.int64))
        _, broken = reads.read(np.arange(5))
        assert sorted(broken) == [2, 3]
