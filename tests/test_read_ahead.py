"""Chunks are announced while reads are slow, never otherwise, and never in a way that fails."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from sar_h5 import SARH5Dataset, convert
from sar_h5.chunk_table import ChunkTable, FileIdentity
from sar_h5.chunks import DirectChunks
from sar_h5.read_ahead import ReadAhead
from sar_h5.reader import PatchReader
from tests.conftest import make_shards

NUMBERS = np.array([2, 0])


@pytest.fixture
def chunks(tmp_path: Path) -> DirectChunks:
    (tmp_path / "a").write_bytes(bytes(100))
    table = ChunkTable(
        np.array([7, 20, -5]), np.array([3, 4, 5]), np.zeros(3, np.bool_), FileIdentity.of((tmp_path / "a").stat())
    )
    return DirectChunks(str(tmp_path / "a"), table, (256, 256), np.dtype("u1"))


@pytest.fixture
def announced(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    calls: list[tuple[int, ...]] = []
    monkeypatch.setattr(os, "posix_fadvise", lambda *arguments: calls.append(arguments), raising=False)
    monkeypatch.setattr(os, "POSIX_FADV_WILLNEED", 3, raising=False)
    return calls


def test_nothing_is_announced_before_reads_are_known_to_be_slow(
    chunks: DirectChunks, announced: list[tuple[int, ...]]
) -> None:
    ahead = ReadAhead(chunks)
    ahead.announce(NUMBERS)
    ahead.note(64 * 100e-6, 64)  # from memory, decoded
    ahead.announce(NUMBERS)
    assert announced == []


def test_all_chunks_of_a_batch_are_announced_after_a_slow_one(
    chunks: DirectChunks, announced: list[tuple[int, ...]]
) -> None:
    ahead = ReadAhead(chunks)
    ahead.note(64 * 400e-6, 64)
    ahead.announce(NUMBERS)
    assert announced == [(chunks.descriptor, -5, 5, 3), (chunks.descriptor, 7, 3, 3)]
    ahead.note(64 * 100e-6, 64)
    ahead.announce(NUMBERS)
    assert len(announced) == 2


@pytest.mark.skipif(not hasattr(os, "posix_fadvise"), reason="this system has no posix_fadvise")
def test_places_that_cannot_be_are_left_to_the_read(chunks: DirectChunks) -> None:
    with pytest.raises(OSError, match="Invalid argument"):
        os.posix_fadvise(chunks.descriptor, 0, -1, os.POSIX_FADV_WILLNEED)
    chunks.table.sizes[2] = -1
    ahead = ReadAhead(chunks)
    ahead.note(1.0, 1)
    ahead.announce(NUMBERS)
    assert ahead.is_slow


def test_a_system_without_the_call_does_without(chunks: DirectChunks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "posix_fadvise", raising=False)
    ahead = ReadAhead(chunks)
    ahead.note(1.0, 1)
    ahead.announce(NUMBERS)
    assert ahead.is_slow


def test_a_reader_announces_its_next_batch_and_reads_the_same(tmp_path: Path, announced: list[tuple[int, ...]]) -> None:
    shards = make_shards(tmp_path)
    convert(tmp_path, tmp_path / "h5")
    reader = PatchReader(tmp_path / "h5" / "vv.h5")
    clock = iter(np.arange(0, 100, 1.0))  # every reading of the clock is a second later, so all reads are slow
    out = np.empty((2, *reader.source.shape[1:]), np.float32)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("sar_h5.reader.time.perf_counter", lambda: next(clock))
        reader.values(np.array([0, 1]), out)
        assert announced == []
        reader.values(np.array([1, 0]), out)
    assert len(announced) == 2
    np.testing.assert_array_equal(out, np.stack([shards[0][1], shards[0][0]]))
    assert np.array_equal(SARH5Dataset(tmp_path / "h5" / "vv.h5")[1][0], out[0])
