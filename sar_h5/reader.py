"""Patch numbers to patches, from any process and thread, whatever way the file stores them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sar_h5.block_chunks import BlockChunks
from sar_h5.block_reads import BlockReads, block_reads, compile_block_loops
from sar_h5.bulk_reads import BulkReads, Fill, ShareOut, bulk_reads, compile_loops
from sar_h5.chunks import DirectChunks, LibraryChunks
from sar_h5.contents import find_patches
from sar_h5.decode_threads import DecodeThreads
from sar_h5.errors import CorruptPatchError, FormatError, SarH5Error, SourceError
from sar_h5.file_change import ChangeWatch, FileState
from sar_h5.lookup import Lookup
from sar_h5.opening import name_damage, open_file
from sar_h5.patch_identity import KnownPatches, read_digest
from sar_h5.read_ahead import ReadAhead
from sar_h5.stored_patches import open_chunks, read_lut, read_patch_table

_Bulk = BulkReads | BlockReads


@dataclass(frozen=True)
class _Opened:
    """The open file: one patch at a time, many at once where that can be, and what its codes stand for."""

    chunks: DirectChunks | LibraryChunks | BlockChunks
    bulk: _Bulk | None
    read_ahead: ReadAhead | None
    lookup: Lookup
    watch: ChangeWatch


class PatchReader:
    """Reads patches of one file by number.

    The table of its chunks is made at once; the file itself is opened on the first read. A reader that is pickled
    opens it anew: only the path, the look-up table and what the file says about its patches travel. The table of chunks
    travels apart, since processes on one machine can share it.

    Attributes:
        path: of the file.
        source: the dataset and what it means.
        lut: float32 (K,), ``value = lut[code]``; None where the stored numbers are the values.
        table: where each patch lies; None where patches are read through HDF5, or not known yet in a copy.

    Args:
        path: an HDF5 file, ours or any other.
        name: path of the dataset within it, or None to find it; see :func:`sar_h5.contents.find_patches`.
        checked: whether what is stored is checked against its checksums whenever it is read.

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
            self.lut = read_lut(file, self.source)
            self._digest = read_digest(file)
            self.table = read_patch_table(self.path, file, self.source, checked=checked)
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
        lookup, dtype = Lookup(self.lut, self.source.dtype), self.source.dtype
        if self.source.in_blocks and self.source.settings is not None:
            compile_block_loops(self.source.settings.blocks_per_side, dtype, lookup, checked=self._checked)
        elif self.table is not None:
            compile_loops(self.source.shape[1:], dtype, lookup, checked=self._checked)

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

        def prepare(bulk: _Bulk, share_out: ShareOut) -> Fill:
            return bulk.prepare_values(numbers, turns, opened.lookup, at, out, share_out)

        def read_one(position: int) -> None:
            self._read_value(opened, int(numbers[position]), int(turns[position]), out[at[position]])

        self._run(opened, prepare, read_one, numbers, threads)

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

        def prepare(bulk: _Bulk, share_out: ShareOut) -> Fill:
            return bulk.prepare_stored(numbers, out, share_out)

        def read_one(position: int) -> None:
            out[position] = self._read(opened, int(numbers[position]))

        self._run(opened, prepare, read_one, numbers, threads)

    def _run(
        self,
        opened: _Opened,
        prepare: Callable[[_Bulk, ShareOut], Fill],
        read_one: Callable[[int], None],
        numbers: npt.NDArray[np.int64],
        threads: int,
    ) -> None:
        try:
            self._share_out(opened, prepare, read_one, numbers, threads)
        except CorruptPatchError:
            opened.watch.check_for_other()
            raise
        opened.watch.check()

    def _share_out(
        self,
        opened: _Opened,
        prepare: Callable[[_Bulk, ShareOut], Fill],
        read_one: Callable[[int], None],
        numbers: npt.NDArray[np.int64],
        threads: int,
    ) -> None:
        if opened.read_ahead is None:
            _fill(None, read_one, 0, len(numbers))  # HDF5 lets one thread in at a time
            return

        def share_out(task: Callable[[int, int], None], count: int) -> None:
            self._threads.run(task, count, threads)

        started = time.perf_counter()
        opened.read_ahead.announce(numbers)
        read_many = None if opened.bulk is None else prepare(opened.bulk, share_out)
        share_out(partial(_fill, read_many, read_one), len(numbers))
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
            chunks = self._open_chunks()
            known = KnownPatches(self.source, self.lut, self._digest, self.table)
            watch = ChangeWatch(self.path, self._state, known.are_in, _descriptor(chunks))
            self._opened = _Opened(chunks, *_reads_of_many(chunks), Lookup(self.lut, self.source.dtype), watch)
        return self._opened

    def _open_chunks(self) -> DirectChunks | LibraryChunks | BlockChunks:
        try:
            return open_chunks(self.path, self.source, self.table)
        except SarH5Error:
            raise
        except OSError as error:
            raise SourceError(f"{self.path}: cannot be opened any more: {error.strerror or error}") from error

    def _look_again(self) -> None:
        with name_damage(self.path), open_file(self.path) as file:
            self._state = FileState.of(self.path)
            # Another process may have appended patches; the copy goes on with those it knows.
            if not KnownPatches(self.source, self.lut, self._digest, None).have_their_marks(file):
                raise FormatError(f"{self.path}: the file has been replaced by a different one since it was opened")
            self.table = read_patch_table(self.path, file, self.source, checked=self._checked)
        self._is_looked_up = True


def _fill(read_many: Fill | None, read_one: Callable[[int], None], start: int, stop: int) -> None:
    while start < stop:
        if read_many is not None:
            start += read_many(start, stop)
        if start < stop:  # this patch is not as it should be, or there is no way to read many: say so, or do it
            read_one(start)
            start += 1


def _reads_of_many(
    chunks: DirectChunks | LibraryChunks | BlockChunks,
) -> tuple[_Bulk | None, ReadAhead | None]:
    """Return how to read many patches at once, and how to announce them; None where that cannot be."""
    if isinstance(chunks, DirectChunks):
        return bulk_reads(chunks), ReadAhead(chunks)
    if isinstance(chunks, BlockChunks) and isinstance(chunks.blocks, DirectChunks):
        return block_reads(chunks), ReadAhead(chunks)
    return None, None


def _descriptor(chunks: DirectChunks | LibraryChunks | BlockChunks) -> int | None:
    reads = chunks.blocks if isinstance(chunks, BlockChunks) else chunks
    return reads.descriptor if isinstance(reads, DirectChunks) else None
