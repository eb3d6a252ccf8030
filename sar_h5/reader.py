"""Patch numbers to patches, from any process and thread, whatever way the file stores them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from sar_h5 import schema
from sar_h5.bulk_reads import BulkReads, bulk_reads, compile_loops
from sar_h5.chunk_table import ChunkTable, read_chunk_table
from sar_h5.chunks import DirectChunks, LibraryChunks, can_read_directly
from sar_h5.contents import PatchSource, find_patches
from sar_h5.decode_threads import DecodeThreads
from sar_h5.errors import CorruptPatchError, FormatError, SarH5Error, SettingError, SourceError
from sar_h5.file_change import ChangeWatch, FileState
from sar_h5.lookup import Lookup
from sar_h5.opening import name_damage, open_file
from sar_h5.read_ahead import ReadAhead


@dataclass(frozen=True)
class _Opened:
    """The open file: one patch at a time, many at once where that can be, and what its codes stand for."""

    chunks: DirectChunks | LibraryChunks
    bulk: BulkReads | None
    lookup: Lookup
    read_ahead: ReadAhead | None
    watch: ChangeWatch


@dataclass(frozen=True)
class _Known:
    """What patches are told by from those of another file.

    Attributes:
        source: the dataset and what it means.
        lut: the table of values.
        digest: of the content; None in files that have none.
    """

    source: PatchSource
    lut: npt.NDArray[np.float32] | None
    digest: str | None

    def is_in(self, file: h5py.File) -> bool:
        """Whether an open file holds these patches, and perhaps others that were appended to them."""
        source = find_patches(file, self.source.name)
        return (
            source.shape[0] >= self.source.shape[0]
            and replace(source, shape=(self.source.shape[0], *source.shape[1:])) == self.source
            and _read_digest(file) == self.digest
            and np.array_equal(_nothing_as_empty(_read_lut(file, source)), _nothing_as_empty(self.lut))
        )


class PatchReader:
    """Reads patches of one file by number.

    The table of its chunks is made at once; the file itself is opened on the first read. A reader that is pickled
    opens it anew: only the path, the look-up table and what the file says about its patches travel. The table of chunks
    travels apart, since processes on one machine can share it.

    Attributes:
        path: of the file.
        source: the dataset and what it means.
        lut: float32 (K,), ``value = lut[code]``; None where the stored numbers are the values.
        table: where each chunk lies; None where patches are read through HDF5, or not known yet in a copy.

    Args:
        path: an HDF5 file, ours or any other.
        name: path of the dataset within it, or None to find it; see :func:`sar_h5.contents.find_patches`.
        checked: whether what is stored is checked against ``/index/checksum`` whenever it is read.

    Raises:
        SourceError: where the file is not there.
        FormatError: where it is not HDF5, holds no patches, or HDF5 cannot read its structure.
        SettingError: where checksums are to be checked and the file has none.
    """

    def __init__(self, path: str | Path, name: str | None = None, *, checked: bool = False) -> None:
        self.path = str(path)
        self._checked = checked
        self._threads = DecodeThreads()
        self._opened: _Opened | None = None
        with name_damage(path), open_file(path) as file:
            self._state = FileState.of(path)  # before anything is read by which a change is told
            self.source = find_patches(file, name)
            self.lut = _read_lut(file, self.source)
            self._digest = _read_digest(file)
            self.table = _read_table(self.path, file, self.source, checked=checked)
        self._is_looked_up = True

    def __getstate__(self) -> dict[str, object]:
        carried = ("path", "source", "lut", "_checked", "_digest", "_state")
        return {name: self.__dict__[name] for name in carried}

    def __setstate__(self, state: Mapping[str, object]) -> None:
        self.__dict__.update(state)
        self.table = None
        self._is_looked_up = False
        self._threads = DecodeThreads()
        self._opened = None

    def compile_loops(self) -> None:
        """Have the loops compiled, once on a machine, before worker processes need them."""
        if self.table is not None:
            lookup = Lookup(self.lut, self.source.dtype)
            compile_loops(self.source.shape[1:], self.source.dtype, lookup, checked=self._checked)

    def close(self) -> None:
        """Close the file; the next read opens it again."""
        opened, self._opened = self._opened, None
        if opened is not None:
            opened.chunks.close()

    def read(self, number: int) -> npt.NDArray[Any]:
        """Read a patch as stored.

        Args:
            number: in [0, N).

        Returns:
            (H, W), codes or values.

        Raises:
            CorruptPatchError: where the stored bytes cannot be decoded.
        """
        opened = self._open()
        try:
            patch = self._read(opened, number)
        except CorruptPatchError:
            opened.watch.check_for_other()
            raise
        opened.watch.check()
        return patch

    def values(
        self,
        numbers: npt.NDArray[np.int64],
        out: npt.NDArray[np.float32],
        symmetries: npt.NDArray[np.uint8] | None = None,
        threads: int = 1,
        places: npt.NDArray[np.int64] | None = None,
    ) -> None:
        """Read patches as values: in [0, 1] from files of this package, otherwise the stored numbers.

        Args:
            numbers: int64 (n,), each in [0, N).
            out: float32 (m, H, W), C-contiguous.
            symmetries: uint8 (n,), 0 to 7 for each patch, see :mod:`sar_h5.symmetry`; None for all as they are.
            threads: how many to share the work out to.
            places: int64 (n,), which of ``out`` each patch goes to, in [0, m); None for the first n in order.

        Raises:
            CorruptPatchError: where stored bytes cannot be decoded, or a code is not in the table.
        """
        opened = self._open()
        turns = np.zeros(len(numbers), dtype=np.uint8) if symmetries is None else symmetries
        at = np.arange(len(numbers)) if places is None else places

        def fill(start: int, stop: int) -> None:
            while start < stop:
                some = slice(start, stop)
                if opened.bulk is not None:
                    start += opened.bulk.values(numbers[some], turns[some], opened.lookup, at[some], out)
                if start < stop:  # this patch is not as it should be, or there is no way to read many: say so, or do it
                    self._read_value(opened, int(numbers[start]), int(turns[start]), out[at[start]])
                    start += 1

        self._run(opened, fill, numbers, threads)

    def codes(self, numbers: npt.NDArray[np.int64], out: npt.NDArray[Any], threads: int = 1) -> None:
        """Read patches as stored.

        Args:
            numbers: int64 (n,), each in [0, N).
            out: (n, H, W) in the stored dtype, C-contiguous, filled.
            threads: how many to share the work out to.

        Raises:
            CorruptPatchError: where stored bytes cannot be decoded.
        """
        opened = self._open()

        def fill(start: int, stop: int) -> None:
            while start < stop:
                if opened.bulk is not None:
                    start += opened.bulk.stored(numbers[start:stop], out[start:stop])
                if start < stop:
                    out[start] = self._read(opened, int(numbers[start]))
                    start += 1

        self._run(opened, fill, numbers, threads)

    def _run(
        self, opened: _Opened, fill: Callable[[int, int], None], numbers: npt.NDArray[np.int64], threads: int
    ) -> None:
        try:
            self._share_out(opened, fill, numbers, threads)
        except CorruptPatchError:
            opened.watch.check_for_other()
            raise
        opened.watch.check()

    def _share_out(
        self, opened: _Opened, fill: Callable[[int, int], None], numbers: npt.NDArray[np.int64], threads: int
    ) -> None:
        if opened.read_ahead is None:
            fill(0, len(numbers))  # HDF5 lets one thread in at a time
            return
        started = time.perf_counter()
        opened.read_ahead.announce(numbers)
        self._threads.run(fill, len(numbers), threads)
        opened.read_ahead.note((time.perf_counter() - started) * min(threads, len(numbers)), len(numbers))

    def _read(self, opened: _Opened, number: int) -> npt.NDArray[Any]:
        try:
            return opened.chunks.read(number)
        except SarH5Error:
            raise  # of the file, not of this patch
        except (OSError, RuntimeError, ValueError) as error:
            raise CorruptPatchError.at(self.path, number, str(error)) from error

    def _read_value(self, opened: _Opened, number: int, symmetry: int, out: npt.NDArray[np.float32]) -> None:
        patch = self._read(opened, number)
        try:
            opened.lookup.place(patch, symmetry, out)
        except ValueError as error:
            raise CorruptPatchError.at(self.path, number, str(error)) from error

    def _open(self) -> _Opened:
        # Two threads may both open the file; one handle then goes unused and is closed with its last reference.
        if self._opened is None:
            if not self._is_looked_up and self.table is None:
                self._look_again()
            lookup = Lookup(self.lut, self.source.dtype)
            is_same = partial(_is_same, _Known(self.source, self.lut, self._digest), self.table)
            if self.table is None:
                watch = ChangeWatch(self.path, self._state, is_same)
                self._opened = _Opened(LibraryChunks(self.path, self.source.name), None, lookup, None, watch)
            else:
                chunks = self._direct_chunks(self.table)
                watch = ChangeWatch(self.path, self._state, is_same, chunks.descriptor)
                self._opened = _Opened(chunks, bulk_reads(chunks), lookup, ReadAhead(chunks), watch)
        return self._opened

    def _direct_chunks(self, table: ChunkTable) -> DirectChunks:
        try:
            return DirectChunks(self.path, table, self.source.shape[1:], self.source.dtype)
        except SarH5Error:
            raise
        except OSError as error:
            raise SourceError(f"{self.path}: cannot be opened any more: {error.strerror or error}") from error

    def _look_again(self) -> None:
        with name_damage(self.path), open_file(self.path) as file:
            self._state = FileState.of(self.path)
            # Another process may have appended patches; the copy goes on with those it knows.
            if not _Known(self.source, self.lut, self._digest).is_in(file):
                raise FormatError(f"{self.path}: the file has been replaced by a different one since it was opened")
            self.table = _read_table(self.path, file, self.source, checked=self._checked)
        self._is_looked_up = True


def _is_same(known: _Known, table: ChunkTable | None, file: h5py.File, is_written: bool) -> bool:
    """Whether a file that has changed still holds the patches that are known, each where it was."""
    if not known.is_in(file):
        return False
    patches = file[known.source.name]
    count = known.source.shape[0]
    if known.source.settings is None and is_written and len(patches) == count:
        return False  # in files of others nothing tells what was written
    if table is None:
        return True
    found = read_chunk_table(patches, table.identity)
    return all(
        np.array_equal(now[:count], then)
        for now, then in ((found.offsets, table.offsets), (found.sizes, table.sizes), (found.plain, table.plain))
    )


def _read_digest(file: h5py.File) -> str | None:
    digest = file.attrs.get("content_digest")
    return None if digest is None else str(digest)


def _nothing_as_empty(lut: npt.NDArray[np.float32] | None) -> npt.NDArray[np.float32]:
    return np.empty(0, np.float32) if lut is None else lut


def _read_lut(file: h5py.File, source: PatchSource) -> npt.NDArray[np.float32] | None:
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


def _read_table(path: str, file: h5py.File, source: PatchSource, *, checked: bool) -> ChunkTable | None:
    patches = file[source.name]
    try:
        table = read_chunk_table(patches) if can_read_directly(path, patches) else None
    except (OSError, RuntimeError, IndexError, OverflowError) as error:  # the last two of places that cannot be
        raise FormatError(
            f"{path}: HDF5 cannot read where its patches are: {error}; run `sar-h5 verify {path}`"
        ) from error
    return table if not checked else replace(_expect_table(path, table), checksums=_read_checksums(path, file, source))


def _expect_table(path: str, table: ChunkTable | None) -> ChunkTable:
    if table is None:
        raise SettingError(
            f'{path}: verify="always" needs each patch as one chunk, plain or Blosc, whose checksum /index tells; '
            'these are stored otherwise: use verify="never"'
        )
    return table


def _read_checksums(path: str, file: h5py.File, source: PatchSource) -> npt.NDArray[np.uint32]:
    place = f"/{schema.INDEX}/checksum"
    column = file.get(place) if source.settings is not None else None
    if not isinstance(column, h5py.Dataset) or column.dtype != np.uint32 or column.ndim != 1:
        raise SettingError(
            f'{path}: verify="always" needs {place}, the CRC-32 of each stored patch that files of this package have; '
            'this one has none: use verify="never"'
        )
    try:
        checksums: npt.NDArray[np.uint32] = column[: source.shape[0]]
    except (OSError, RuntimeError) as error:
        raise FormatError(f"{path}: {place} cannot be read: {error}; run `sar-h5 verify {path}`") from error
    if len(checksums) < source.shape[0]:
        raise FormatError(
            f"{path}: expected {source.shape[0]} checksums in {place}, found {len(checksums)}; run "
            f"`sar-h5 verify {path}`"
        )
    return checksums
