"""Which blocks make up patches, and whether these are the patches' own."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest

from sar_h5.block_table import BlockTable, sum_checksums
from sar_h5.chunk_table import ChunkTable, FileIdentity
from sar_h5.shared_table import SharedTable


@pytest.fixture
def table() -> BlockTable:
    """Three patches of 1 x 2 blocks, of which there are four."""
    grid = np.array([[[0, 1]], [[1, 2]], [[2, 3]]], np.uint32)
    sums = np.array([7, 2**32 - 1, 9, 11], np.uint32)
    nothing = np.zeros(4, np.int64)
    chunks = ChunkTable(nothing, nothing, np.zeros(4, np.bool_), FileIdentity(1, 2), sums)
    return BlockTable(grid, 4, chunks, sum_checksums(sums[grid.reshape(3, 2)]))


def test_a_patch_checksum_is_the_crc_of_its_blocks_checksums_little_endian() -> None:
    sums = np.array([[1, 2, 3, 2**32 - 1], [9, 8, 7, 6]], np.uint32)
    expected = [zlib.crc32(struct.pack("<4I", *row)) for row in sums.tolist()]
    assert sum_checksums(sums).tolist() == expected
    assert sum_checksums(sums.astype(">u4")).tolist() == expected
    assert sum_checksums(sums[:0]).tolist() == []


def test_blocks_come_row_by_row(table: BlockTable) -> None:
    assert table.per_patch == 2
    assert table.blocks(np.array([2, 0, 2])).tolist() == [[2, 3], [0, 1], [2, 3]]
    assert table.are_sound(np.arange(3)).all()
    assert table.fault(1) is None


@pytest.mark.parametrize(
    ("blocks", "fault"),
    [([0, 4], "expected blocks below 4, found 4"), ([1, 0], "not those that its checksum"), ([3, 3], "not those that")],
)
def test_any_other_block_is_a_fault_of_that_patch_alone(table: BlockTable, blocks: list[int], fault: str) -> None:
    table.grid[0, 0] = blocks
    assert table.are_sound(np.array([1, 0, 2])).tolist() == [True, False, True]
    assert fault in str(table.fault(0))
    unchecked = BlockTable(table.grid, 4, table.chunks)
    assert unchecked.are_sound(np.array([0])).tolist() == [max(blocks) < 4]


def test_a_shared_table_of_blocks_is_the_table(table: BlockTable) -> None:
    shared = SharedTable(table).table()
    assert isinstance(shared, BlockTable)
    assert shared.chunks is not None
    assert table.chunks is not None
    for name in ("grid", "checksums"):
        assert getattr(shared, name).dtype == getattr(table, name).dtype
        assert np.array_equal(getattr(shared, name), getattr(table, name))
    assert shared.chunks.checksums.tolist() == table.chunks.checksums.tolist()
    assert (shared.count, shared.chunks.identity) == (4, table.chunks.identity)
    table.grid[0] = 3
    assert shared.grid[0].tolist() == [[0, 1]]
