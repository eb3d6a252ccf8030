"""Stored patches read from a file: their bytes directly where one Blosc or plain chunk holds one patch, else by HDF5.

Reading bytes directly takes none of HDF5's locks and leaves no HDF5 handle open, so that the same file may be opened
with plain h5py at any time, appended to by another process, and a process may fork at any time.
"""

from __future__ import annotations

import os
import threading
import weakref
import zlib
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from sar_h5 import schema
from sar_h5.chunk_table import ChunkTable, FileIdentity
from sar_h5.compression import decompress
from sar_h5.errors import FormatError
from sar_h5.opening import open_file

Extents = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]
"""Offsets and sizes of pieces of a file in bytes, (n,) each."""

MOST_FRAME_OVERHEAD_NBYTES = 16
"""A Blosc-1 frame is at most this much larger than what it holds (BLOSC_MAX_OVERHEAD in blosc.h)."""


def can_read_directly(path: str, patches: h5py.Dataset) -> bool:
    """Tell whether each patch lies in the file at ``path`` in one piece, as it is or with Blosc as the only filter."""
    creation = patches.id.get_create_plist()
    numbers = [creation.get_filter(position)[0] for position in range(creation.get_nfilters())]
    if (
        not Path(path).samefile(patches.file.filename)  # behind an external link
        or patches.file.userblock_size != 0  # which would shift all places
        or creation.get_external_count() != 0
    ):
        return False
    if creation.get_layout() == h5py.h5d.CONTIGUOUS:
        return patches.id.get_offset() is not None  # None: nothing has been written yet
    return (
        patches.chunks == (1, *patches.shape[1:])
        and numbers in ([], [schema.BLOSC_FILTER])
        and patches.id.get_num_chunks() == len(patches)
    )


class DirectChunks:
    """Patches read as bytes from the file, by a table of where each chunk lies. Safe in threads and after a fork.

    Args:
        path: the file.
        table: where its chunks lie.
        shape: (H, W) of a patch.
        dtype: of what is stored.

    Attributes:
        table, shape, dtype: see above.
        nbytes: of a patch, decoded.
        descriptor: of the open file.

    Raises:
        OSError: where the file cannot be opened.
        FormatError: where it is not the one that the table was made from.
    """

    def __init__(self, path: str, table: ChunkTable, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self.table, self.shape, self.dtype = table, shape, dtype
        self.nbytes = int(np.prod(shape)) * dtype.itemsize
        flags = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
        self.descriptor = os.open(path, flags)
        # Also runs at exit; without a reference to this object, which would keep it alive.
        self._finalizer = weakref.finalize(self, os.close, self.descriptor)
        if FileIdentity.of(os.fstat(self.descriptor)) != table.identity:
            self.close()
            raise FormatError(f"{path}: the file has been replaced by a different one since it was opened")
        self._lock = threading.Lock()

    def read(self, number: int) -> npt.NDArray[Any]:
        """Return patch ``number`` as stored, (H, W), read-only where its bytes are those of the file.

        Raises:
            OSError: where the file ends early.
            ValueError: where the chunk is not what the dataset announces, or has another checksum than the table tells.
        """
        stored = self.stored(number)
        raw = stored if self.table.plain[number] else decompress(stored, self.nbytes)
        if len(raw) != self.nbytes:
            raise ValueError(f"expected {self.nbytes} bytes, found {len(raw)}")
        return np.frombuffer(raw, dtype=self.dtype).reshape(self.shape)

    def stored(self, number: int) -> bytes:
        """Return the bytes of patch ``number``'s chunk; errors as :meth:`read`."""
        size = int(self.table.sizes[number])
        if size > self.nbytes + MOST_FRAME_OVERHEAD_NBYTES:
            raise ValueError(f"its chunk claims {size} bytes, more than {self.nbytes} can take")
        stored = self._read_bytes(int(self.table.offsets[number]), size)
        if self.table.checksums is not None and zlib.crc32(stored) != self.table.checksums[number]:
            raise ValueError(f"expected checksum {self.table.checksums[number]:08x}, found {zlib.crc32(stored):08x}")
        return stored

    def extents(self, numbers: npt.NDArray[np.int64]) -> Extents:
        """Return where the chunks of patches lie."""
        return self.table.offsets[numbers], self.table.sizes[numbers]

    def close(self) -> None:
        """Close the file."""
        self._finalizer()

    def _read_bytes(self, offset: int, nbytes: int) -> bytes:
        if hasattr(os, "pread"):
            stored = os.pread(self.descriptor, nbytes, offset)
        else:  # Windows has no pread, and its descriptors one position that threads must not share
            with self._lock:
                os.lseek(self.descriptor, offset, os.SEEK_SET)
                stored = os.read(self.descriptor, nbytes)
        if len(stored) != nbytes:
            raise OSError(f"the file ends {nbytes - len(stored)} bytes early")
        return stored


class LibraryChunks:
    """Patches of any layout and filter, read through HDF5: one handle per process, opened when needed.

    Args:
        path: the file.
        name: path of the dataset within it.
    """

    def __init__(self, path: str, name: str) -> None:
        self._path, self._name = path, name
        self._files: dict[int, h5py.File] = {}
        self._finalizer = weakref.finalize(self, _close_own, self._files)

    def read(self, number: int) -> npt.NDArray[Any]:
        """Return patch ``number`` as stored, (H, W).

        Raises:
            OSError, RuntimeError: where HDF5 cannot read or decode it.
        """
        process = os.getpid()
        file = self._files.get(process)
        if file is None:
            file = self._files.setdefault(process, open_file(self._path, kept=True))
        patch: npt.NDArray[Any] = file[self._name][number]
        return patch

    def close(self) -> None:
        """Close this process's handle."""
        _close_own(self._files)


def _close_own(files: dict[int, h5py.File]) -> None:
    """Close the handle of this process; one inherited over a fork belongs to the parent and is left to it."""
    file = files.pop(os.getpid(), None)
    if file is not None:
        file.close()
