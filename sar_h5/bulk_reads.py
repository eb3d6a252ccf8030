"""Many patches read at once: the compiled loops applied to a file's chunks, in any number of threads."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from sar_h5.chunks import MOST_FRAME_OVERHEAD_NBYTES, DirectChunks
from sar_h5.kernels import FRAME_HEADER_NBYTES, read_codes, read_values
from sar_h5.lookup import COMPILED_DTYPES, Lookup
from sar_h5.native import NativeReads, find_native_reads

_Scratch = tuple[npt.NDArray[np.uint8], npt.NDArray[Any], npt.NDArray[Any]]

ShareOut = Callable[[Callable[[int, int], None], int], None]
"""Runs ``task(start, stop)`` over slices that cover ``range(count)``, in threads."""

Fill = Callable[[int, int], int]
"""Reads patches ``start`` to ``stop`` of a batch, and tells how many until the first that is not as it should be."""


class BulkReads:
    """Reads slices of batches without the GIL; stops at the first patch that is not as it should be.

    Args:
        chunks: where the patches are.
        native: the C functions to use.
    """

    def __init__(self, chunks: DirectChunks, native: NativeReads) -> None:
        self._chunks = chunks
        table = chunks.table
        # What both loops take first: how to read, and where patches lie.
        self._file = (
            *(native.pread, native.decompress, chunks.descriptor, table.offsets, table.sizes, table.plain),
            *(native.crc32, table.checksums),
        )
        self._scratch = threading.local()  # each thread's own memory for a chunk and for a decoded patch

    def prepare_values(
        self,
        numbers: npt.NDArray[np.int64],
        symmetries: npt.NDArray[np.uint8],
        lookup: Lookup,
        places: npt.NDArray[np.int64],
        out: npt.NDArray[Any],
        share_out: ShareOut,
    ) -> Fill:
        """Return what reads slices of a batch; threads may share it.

        Args:
            numbers: int64 (n,), patches of the whole batch; the others too are as of :meth:`values`, for all of it.
            symmetries: uint8 (n,).
            lookup: the file's table.
            places: int64 (n,).
            out: float32 (m, H, W).
            share_out: for what is to be done before.
        """
        del share_out  # patches that are stored by themselves have nothing in common

        def fill(start: int, stop: int) -> int:
            some = slice(start, stop)
            return self.values(numbers[some], symmetries[some], lookup, places[some], out)

        return fill

    def prepare_stored(self, numbers: npt.NDArray[np.int64], out: npt.NDArray[Any], share_out: ShareOut) -> Fill:
        """Return what reads slices of a batch as stored into ``out`` (n, H, W)."""
        del share_out

        def fill(start: int, stop: int) -> int:
            return self.stored(numbers[start:stop], out[start:stop])

        return fill

    def values(
        self,
        numbers: npt.NDArray[np.int64],
        symmetries: npt.NDArray[np.uint8],
        lookup: Lookup,
        places: npt.NDArray[np.int64],
        out: npt.NDArray[Any],
    ) -> int:
        """Read, look up and place patches.

        Args:
            numbers: int64 (n,), patches to read.
            symmetries: uint8 (n,), 0 to 7 for each of them; see :mod:`sar_h5.symmetry`.
            lookup: the file's table.
            places: int64 (n,), which of ``out`` each patch goes to.
            out: float32 (m, H, W); without a table the stored dtype as well.

        Returns:
            How many patches were placed.
        """
        table, levels = lookup.table, lookup.levels
        done: int = read_values(*self._file, numbers, symmetries, table, levels, *self._memory(), places, out)
        return done

    def stored(self, numbers: npt.NDArray[np.int64], out: npt.NDArray[Any]) -> int:
        """Read patches as stored into ``out`` (n, H, W), and return how many were read."""
        frame, _, _ = self._memory()
        done: int = read_codes(*self._file, numbers, frame, out)
        return done

    def _memory(self) -> _Scratch:
        memory: _Scratch | None = getattr(self._scratch, "memory", None)
        if memory is None:
            shape, dtype = self._chunks.shape, self._chunks.dtype
            frame = np.empty(self._chunks.nbytes + MOST_FRAME_OVERHEAD_NBYTES, dtype=np.uint8)
            payload = frame[FRAME_HEADER_NBYTES:].view(dtype).reshape(shape)
            memory = self._scratch.memory = (frame, payload, np.empty(shape, dtype=dtype))
        return memory


def bulk_reads(chunks: DirectChunks) -> BulkReads | None:
    """Return bulk reads of a file, or None where this machine or the stored dtype has no compiled way."""
    native = find_native_reads() if chunks.dtype in COMPILED_DTYPES else None
    if native is None or (chunks.table.checksums is not None and not native.crc32):
        return None
    return BulkReads(chunks, native)


def compile_loops(
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    lookup: Lookup,
    *,
    checked: bool = False,
    out: npt.NDArray[Any] | None = None,
) -> None:
    """Compile the loops for a kind of file, or fetch them from the disk, by reading nothing with them.

    Compiling takes seconds, once on a machine; done before workers start, none of them has to.

    Args:
        shape: (H, W) of a patch.
        dtype: of what is stored.
        lookup: the file's table.
        checked: whether checksums are checked.
        out: what values are to be placed in; None for float32 (m, H, W).
    """
    if dtype not in COMPILED_DTYPES or find_native_reads() is None:
        return
    places, plain = np.empty(0, np.int64), np.empty(0, np.bool_)
    patch = np.empty(shape, dtype)
    frame, codes = np.empty(0, np.uint8), np.empty((0, *shape), dtype)
    values = np.empty((0, *shape), np.float32) if out is None else out
    table, levels = lookup.table, lookup.levels
    file = (0, 0, -1, places, places, plain, 0, np.empty(0, np.uint32) if checked else None)
    read_values(*file, places, frame, table, levels, frame, patch, patch, places, values)
    read_codes(*file, places, frame, codes)
