"""How a file stores its patches, and the way to read them that follows from that.

A patch is a chunk of its own, or a few blocks that other patches share; chunks are read as bytes of the file where each
lies there in one piece, and through HDF5 otherwise.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from sar_h5 import schema
from sar_h5.block_chunks import BlockChunks
from sar_h5.block_table import BlockTable
from sar_h5.chunk_table import ChunkTable, read_chunk_table
from sar_h5.chunks import DirectChunks, LibraryChunks, can_read_directly
from sar_h5.contents import PatchSource
from sar_h5.errors import FormatError, SettingError

PatchTable = ChunkTable | BlockTable


def read_patch_table(path: str, file: h5py.File, source: PatchSource, *, checked: bool = False) -> PatchTable | None:
    """Read where the patches of an open file lie.

    Args:
        path: the file.
        file: the same, open.
        source: its patches.
        checked: whether to read checksums as well, to be checked whenever a patch is read.

    Returns:
        None where each patch is a chunk to be read through HDF5.

    Raises:
        FormatError: where HDF5 cannot read it, or what it says cannot be.
        SettingError: where checksums are to be checked and the file has none.
    """
    table = _read_chunks(path, file[source.name])
    if checked:
        table = _expect_table(path, table)
    count, _, _ = source.shape
    patch_checksums = _read_checksums(path, file, source, f"/{schema.INDEX}/checksum", count) if checked else None
    if not source.in_blocks:
        return table if table is None else replace(table, checksums=patch_checksums)
    blocks = len(file[source.name])
    if table is not None and checked:
        place = f"/{schema.BLOCK_CHECKSUM_COLUMN.name}"
        table = replace(table, checksums=_read_checksums(path, file, source, place, blocks))
    grid = _read_column(path, file[f"/{schema.INDEX}/{schema.BLOCKS}"], count, "grids of blocks")
    return BlockTable(grid, blocks, table, patch_checksums)


def read_lut(file: h5py.File, source: PatchSource) -> npt.NDArray[np.float32] | None:
    """Read what codes stand for, float32 (K,); None where what is stored are the values.

    Raises:
        FormatError: where the file should have such a table and has not.
    """
    if source.settings is None or source.settings.encoding == "float32":
        return None
    lut = file.get(schema.LUT)
    if not isinstance(lut, h5py.Dataset) or lut.ndim != 1 or source.dtype.kind != "u" or source.dtype.itemsize > 2:
        raise FormatError(
            f"{file.filename}: expected codes of one or two bytes and a table /{schema.LUT}, found {source.dtype} and "
            f"{lut}; run `sar-h5 verify {file.filename}`"
        )
    if lut.dtype != np.float32 or len(lut) > 1 << 8 * source.dtype.itemsize:
        raise FormatError(
            f"{file.filename}: expected /{schema.LUT} as float32 with a value for each code at most, found {lut.dtype} "
            f"of shape {lut.shape}; run `sar-h5 verify {file.filename}`"
        )
    values: npt.NDArray[np.float32] = lut[:]
    if len(values) and not (values.min() >= 0 and values.max() <= 1):  # nor NaN
        raise FormatError(
            f"{file.filename}: expected values in [0, 1] in /{schema.LUT}, found {values.min()} to {values.max()}; run "
            f"`sar-h5 verify {file.filename}`"
        )
    return values


def open_chunks(path: str, source: PatchSource, table: PatchTable | None) -> DirectChunks | LibraryChunks | BlockChunks:
    """Open a file to read its patches one at a time.

    Raises:
        OSError, FormatError: as :class:`sar_h5.chunks.DirectChunks`.
    """
    chunks = table.chunks if isinstance(table, BlockTable) else table
    if chunks is None:
        reads: DirectChunks | LibraryChunks = LibraryChunks(path, source.name)
    else:
        reads = DirectChunks(path, chunks, source.chunk_shape, source.dtype)
    return BlockChunks(reads, table, source.shape[1:], source.dtype) if isinstance(table, BlockTable) else reads


def _read_chunks(path: str, dataset: h5py.Dataset) -> ChunkTable | None:
    try:
        return read_chunk_table(dataset) if can_read_directly(path, dataset) else None
    except (OSError, RuntimeError, IndexError, OverflowError) as error:  # the last two of places that cannot be
        raise FormatError(
            f"{path}: HDF5 cannot read where its patches are: {error}; run `sar-h5 verify {path}`"
        ) from error


def _expect_table(path: str, table: ChunkTable | None) -> ChunkTable:
    if table is None:
        raise SettingError(
            f'{path}: verify="always" needs each patch as one chunk, plain or Blosc, whose checksum /index tells; '
            'these are stored otherwise: use verify="never"'
        )
    return table


def _read_checksums(path: str, file: h5py.File, source: PatchSource, place: str, count: int) -> npt.NDArray[np.uint32]:
    column = file.get(place) if source.settings is not None else None
    if not isinstance(column, h5py.Dataset) or column.dtype != np.uint32 or column.ndim != 1:
        raise SettingError(
            f'{path}: verify="always" needs {place}, the CRC-32 of each stored patch that files of this package have; '
            'this one has none: use verify="never"'
        )
    return _read_column(path, column, count, "checksums")


def _read_column(path: str, column: h5py.Dataset, count: int, what: str) -> npt.NDArray[Any]:
    try:
        values: npt.NDArray[Any] = column[:count]
    except (OSError, RuntimeError) as error:
        raise FormatError(f"{path}: {column.name} cannot be read: {error}; run `sar-h5 verify {path}`") from error
    if len(values) < count:
        raise FormatError(
            f"{path}: expected {count} {what} in {column.name}, found {len(values)}; run `sar-h5 verify {path}`"
        )
    return values
