"""Stored patches read from a file: their bytes directly where one Blosc chunk holds one patch, through HDF5 elsewhere.

Reading bytes directly takes none of HDF5's locks and leaves no HDF5 handle open, so that the same file may be opened
with plain h5py at any time, and a process may fork at any time.
"""

from __future__ import annotations

import os
import threading
import weakref
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from sar_h5 import schema
from sar_h5.compression import decompress

_MOST_FRAME_OVERHEAD_NBYTES = 16
"""A Blosc-1 frame is at most this much larger than what it holds (BLOSC_MAX_OVERHEAD in blosc.h)."""


def can_read_directly(path: str, patches: h5py.Dataset) -> bool:
    """Tell whether each patch is one chunk in the file at ``path``, as it is or with Blosc as the only filter."""
    filters = patches.id.get_create_plist()
    numbers = [filters.get_filter(position)[0] for position in range(filters.get_nfilters())]
    return (
        Path(path).samefile(patches.file.filename)  # not behind an external link
        and patches.file.userblock_size == 0  # which would shift all places
        and patches.chunks == (1, *patches.shape[1:])
        and numbers in ([], [schema.BLOSC_FILTER])
        and filters.get_external_count() == 0
        and patches.id.get_num_chunks() == len(patches)
    )


class DirectChunks:
    """Patches read as bytes from the file, by a table of where each chunk lies. Safe in threads and after a fork.

    Args:
        path: the file.
        patches: its dataset (N, H, W), open, for which :func:`can_read_directly` holds; not needed any more afterwards.

    Raises:
        OSError: where the file cannot be opened.
    """

    def __init__(self, path: str, patches: h5py.Dataset) -> None:
        count = len(patches)
        self._shape, self._dtype = patches.shape[1:], patches.dtype
        self._nbytes = int(np.prod(self._shape)) * self._dtype.itemsize
        self._filtered = patches.id.get_create_plist().get_nfilters() > 0
        self._offsets = np.zeros(count, dtype=np.int64)
        self._sizes = np.zeros(count, dtype=np.int64)
        self._masks = np.zeros(count, dtype=np.uint32)

        def note(chunk: Any) -> None:
            number = chunk.chunk_offset[0]
            self._offsets[number] = chunk.byte_offset
            self._sizes[number] = chunk.size
            self._masks[number] = chunk.filter_mask

        patches.id.chunk_iter(note)
        flags = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
        self._descriptor = os.open(path, flags)
        self._lock = threading.Lock()
        # Also runs at exit; without a reference to this object, which would keep it alive.
        self._finalizer = weakref.finalize(self, os.close, self._descriptor)

    def read(self, number: int) -> npt.NDArray[Any]:
        """Return patch ``number`` as stored, (H, W), read-only where its bytes are those of the file.

        Raises:
            OSError: where the file ends early.
            ValueError: where the chunk is not what the dataset announces.
        """
        size = int(self._sizes[number])
        if size > self._nbytes + _MOST_FRAME_OVERHEAD_NBYTES:
            raise ValueError(f"its chunk claims {size} bytes, more than {self._nbytes} can take")
        stored = self._read_bytes(int(self._offsets[number]), size)
        # A set bit means that the filter was left out for this chunk, as HDF5 does with incompressible ones.
        raw = decompress(stored, self._nbytes) if self._filtered and not self._masks[number] & 1 else stored
        if len(raw) != self._nbytes:
            raise ValueError(f"expected {self._nbytes} bytes, found {len(raw)}")
        return np.frombuffer(raw, dtype=self._dtype).reshape(self._shape)

    def close(self) -> None:
        """Close the file."""
        self._finalizer()

    def _read_bytes(self, offset: int, nbytes: int) -> bytes:
        if hasattr(os, "pread"):
            stored = os.pread(self._descriptor, nbytes, offset)
        else:  # Windows has no pread, and its descriptors one position that threads must not share
            with self._lock:
                os.lseek(self._descriptor, offset, os.SEEK_SET)
                stored = os.read(self._descriptor, nbytes)
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
            # h5py's default locking, so that users may open the same file beside this handle.
            file = self._files.setdefault(process, h5py.File(self._path, "r"))
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
