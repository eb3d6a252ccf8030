"""Patches of one HDF5 file as a store for datasets."""

from __future__ import annotations

import hashlib
import operator
from multiprocessing.context import get_spawning_popen
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sar_h5.contents import Columns, PatchSource, read_columns, read_identity
from sar_h5.errors import CorruptPatchError, FormatError, SettingError
from sar_h5.opening import name_damage
from sar_h5.reader import PatchReader
from sar_h5.schema import INDEX, SCENES, FileSettings
from sar_h5.shared_table import SharedTable
from sar_h5.stores.cached_reads import CachedReads
from sar_h5.stores.patch_cache import PatchCache

_SAMPLED = 16
"""How many patches tell files of others apart, of which nothing keeps a digest."""


class FilePatches:
    """Patches of one file; a :class:`sar_h5.stores.patch_store.PatchStore` that knows their codes as well.

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
        if operator.index(cache_nbytes) < 0:
            raise SettingError(f"expected cache_nbytes of 0 or more bytes; found {cache_nbytes}")
        self._reader = PatchReader(path, dataset)
        self._reader.compile_loops()
        self._cached: CachedReads | None = None
        if cache_nbytes:
            self._cached = CachedReads(self._reader, cache_nbytes)
            self._cached.compile_loops()
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
    def source(self) -> PatchSource:
        """The dataset within the file, and what it means."""
        return self._reader.source

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
        """Read patches; see :meth:`sar_h5.stores.patch_store.PatchStore.values`."""
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
        (self._cached or self._reader).codes(numbers, out[:, 0], threads)

    def check_codes(self, numbers: npt.NDArray[np.int64], codes: npt.NDArray[Any]) -> None:
        """Make sure that patches as stored, (n, 1, H, W), have a value for each code.

        Raises:
            CorruptPatchError: for the first one that has not.
        """
        levels = len(self.luts[0])
        if codes.max(initial=0) >= levels:
            first = int((codes >= levels).any(axis=(1, 2, 3)).argmax())
            raise CorruptPatchError.at(self.path, int(numbers[first]), f"a code lies outside the table of {levels}")

    def index(self) -> Columns:
        """Return the columns of ``/index``, an entry for each patch.

        Raises:
            FormatError: where the file has none, or they cannot be read or do not fit its patches.
        """
        return self._read_columns(INDEX)

    def scenes(self) -> Columns:
        """Return the columns of ``/scenes``.

        Raises:
            FormatError: where the file has none, or they cannot be read.
        """
        return self._read_columns(SCENES)

    def identity(self) -> str:
        """Return the digest of the file's content; of files of others, their shape and size and some patches."""
        identity = read_identity(self.path, self._reader.source)
        return identity if self.settings is not None else f"{identity} {self._sampled_digest()}"

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

    def _sampled_digest(self) -> str:
        """Return a digest of patches spread over the file; all of them would take as long as an epoch."""
        count, _, height, width = self.shape
        numbers = np.unique(np.linspace(0, count - 1, min(count, _SAMPLED)).astype(np.int64))
        stored = np.empty((len(numbers), 1, height, width), dtype=self.dtype)
        self.codes(numbers, stored)
        return hashlib.sha256(stored.tobytes()).hexdigest()

    def _read_columns(self, group: str) -> Columns:
        if group not in self._columns:
            with name_damage(self.path, f"sound columns in /{group}"):
                self._columns[group] = self._checked(group, read_columns(self.path, group))
        return self._columns[group]

    def _checked(self, group: str, columns: Columns) -> Columns:
        """Return one entry per patch or scene; patches that were appended since the file was opened are left out."""
        count = self.shape[0] if group == INDEX else len(columns["name"])
        for name, values in columns.items():
            if len(values) < count:
                raise FormatError(
                    f"{self.path}: expected {count} entries in /{group}/{name}, found {len(values)}; run "
                    f"`sar-h5 verify {self.path}`"
                )
        return {name: values[:count] for name, values in columns.items()}
