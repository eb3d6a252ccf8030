"""Patches of one HDF5 file as a store for datasets."""

from __future__ import annotations

from multiprocessing.context import get_spawning_popen
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sar_h5.cached_reads import CachedReads
from sar_h5.contents import Columns, read_columns, read_identity
from sar_h5.errors import SettingError
from sar_h5.patch_cache import PatchCache
from sar_h5.reader import PatchReader
from sar_h5.schema import INDEX, SCENES, FileSettings
from sar_h5.shared_table import SharedTable


class FilePatches:
    """Patches of one file; a :class:`sar_h5.patch_store.PatchStore` that knows their codes as well.

    Args:
        path: the file, ours or of others.
        dataset: path of the dataset within it, or None to find it.
        cache_nbytes: the most that patches kept in memory may take, in each process.

    Raises:
        SourceError: where the file is not there.
        FormatError: where it holds no patches.
        SettingError: where ``cache_nbytes`` is negative.
    """

    def __init__(self, path: str | Path, dataset: str | None = None, cache_nbytes: int = 0) -> None:
        if cache_nbytes < 0:
            raise SettingError(f"expected cache_nbytes of 0 or more bytes; found {cache_nbytes}")
        self._reader = PatchReader(path, dataset)
        self._reader.compile_loops()
        self._cached = CachedReads(self._reader, cache_nbytes) if cache_nbytes else None
        self._shared_table: SharedTable | None = None
        self._columns: dict[str, Columns] = {}

    @property
    def files(self) -> tuple[FilePatches, ...]:
        """The file itself: each file is a channel."""
        return (self,)

    @property
    def path(self) -> str:
        """The file."""
        return self._reader.path

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(N, 1, H, W)."""
        count, height, width = self._reader.source.shape
        return count, 1, height, width

    @property
    def settings(self) -> FileSettings | None:
        """What the file says about its patches; None for files of others."""
        return self._reader.source.settings

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of what is stored."""
        return self._reader.source.dtype

    @property
    def luts(self) -> tuple[npt.NDArray[np.float32], ...]:
        """The table of values, float32 (K,); none where the stored numbers are the values."""
        return () if self._reader.lut is None else (self._reader.lut,)

    @property
    def caches(self) -> tuple[PatchCache, ...]:
        """This process's cache of patches, if there is one."""
        return () if self._cached is None else (self._cached.cache,)

    def values(
        self,
        numbers: npt.NDArray[np.int64],
        out: npt.NDArray[np.float32],
        symmetries: npt.NDArray[np.uint8] | None = None,
        threads: int = 1,
    ) -> None:
        """Read patches; see :meth:`sar_h5.patch_store.PatchStore.values`."""
        _, _, height, width = self.shape
        self.place(numbers, out.reshape(-1, height, width), symmetries, threads)

    def place(
        self,
        numbers: npt.NDArray[np.int64],
        out: npt.NDArray[np.float32],
        symmetries: npt.NDArray[np.uint8] | None = None,
        threads: int = 1,
        places: npt.NDArray[np.int64] | None = None,
    ) -> None:
        """Read patches to any places of ``out``; see :meth:`sar_h5.reader.PatchReader.values`."""
        (self._cached or self._reader).values(numbers, out, symmetries, threads, places)

    def codes(self, numbers: npt.NDArray[np.int64], out: npt.NDArray[Any], threads: int = 1) -> None:
        """Read patches as stored.

        Args:
            numbers: int64 (n,), each in [0, N).
            out: (n, 1, H, W) in the stored dtype, C-contiguous, filled.
            threads: how many to share the work out to.

        Raises:
            CorruptPatchError: where stored bytes cannot be decoded.
        """
        self._reader.codes(numbers, out[:, 0] if out.shape[1] == 1 else out, threads)

    def index(self) -> Columns:
        """Return the columns of ``/index``.

        Raises:
            FormatError: where the file has none.
        """
        return self._read_columns(INDEX)

    def scenes(self) -> Columns:
        """Return the columns of ``/scenes``.

        Raises:
            FormatError: where the file has none.
        """
        return self._read_columns(SCENES)

    def identity(self) -> str:
        """Return the digest of the file's content; of files of others, their shape and size."""
        return read_identity(self.path, self._reader.source)

    def close(self) -> None:
        """Close this process's handle; the next access opens it again."""
        self._reader.close()

    def __getstate__(self) -> dict[str, object]:
        state = self.__dict__ | {"_columns": {}, "_shared_table": None}
        if get_spawning_popen() is not None and self._reader.table is not None:
            # A process on this machine is being started: it need not read the table again.
            self._shared_table = state["_shared_table"] = self._shared_table or SharedTable(self._reader.table)
        return state

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)
        if self._shared_table is not None:
            self._reader.table = self._shared_table.table()

    def _read_columns(self, group: str) -> Columns:
        if group not in self._columns:
            self._columns[group] = read_columns(self.path, group)
        return self._columns[group]
