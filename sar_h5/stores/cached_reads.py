"""Reads of one file through a cache of what is stored there, each process with one of its own."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import numpy.typing as npt

from sar_h5.decode_threads import DecodeThreads
from sar_h5.errors import CorruptPatchError
from sar_h5.lookup import Lookup
from sar_h5.reader import PatchReader
from sar_h5.stores.patch_cache import Patch, PatchCache


class CachedReads:
    """Reads patches as a :class:`PatchReader` does; what was read before comes from memory.

    Patches are kept as stored, codes for the most part: two to four times as many as of values fit. A forked process
    and a pickled copy start with nothing.

    Args:
        reader: of the file.
        limit_nbytes: the most that the cache of each process may take.
    """

    def __init__(self, reader: PatchReader, limit_nbytes: int) -> None:
        self._reader, self._limit_nbytes = reader, limit_nbytes
        self._lookup = Lookup(reader.lut, reader.source.dtype)
        self._threads = DecodeThreads()
        self._owned = os.getpid(), PatchCache(limit_nbytes)

    @property
    def cache(self) -> PatchCache:
        """The cache of this process."""
        owner, cache = self._owned
        if owner != os.getpid():
            cache = PatchCache(self._limit_nbytes)
            self._owned = os.getpid(), cache
        return cache

    def __reduce__(self) -> tuple[type[CachedReads], tuple[PatchReader, int]]:
        return CachedReads, (self._reader, self._limit_nbytes)

    def compile_loops(self) -> None:
        """Have the look-up of single patches compiled, once on a machine, before worker processes need it."""
        _, height, width = self._reader.source.shape
        patch = np.zeros((height, width), dtype=self._reader.source.dtype)
        patch.flags.writeable = False  # as those that come from the cache
        self._lookup.place(patch, 0, np.empty((height, width), dtype=np.float32))

    def values(
        self,
        numbers: npt.NDArray[np.int64],
        out: npt.NDArray[np.float32],
        symmetries: npt.NDArray[np.uint8] | None = None,
        threads: int = 1,
        places: npt.NDArray[np.int64] | None = None,
    ) -> None:
        """Read patches as values; arguments and errors as of :meth:`PatchReader.values`."""
        stored = self._stored(numbers, threads)
        turns = np.zeros(len(numbers), dtype=np.uint8) if symmetries is None else symmetries
        at = np.arange(len(numbers)) if places is None else places

        def fill(start: int, stop: int) -> None:
            for position in range(start, stop):
                try:
                    self._lookup.place(stored[position], int(turns[position]), out[at[position]])
                except ValueError as error:
                    raise CorruptPatchError.at(self._reader.path, int(numbers[position]), str(error)) from error

        self._threads.run(fill, len(numbers), threads)

    def codes(self, numbers: npt.NDArray[np.int64], out: npt.NDArray[Any], threads: int = 1) -> None:
        """Read patches as stored; arguments and errors as of :meth:`PatchReader.codes`."""
        for position, patch in enumerate(self._stored(numbers, threads)):
            out[position] = patch

    def _stored(self, numbers: npt.NDArray[np.int64], threads: int) -> list[Patch]:
        """Return patches as stored, read-only, from the cache where they are there and from the file otherwise."""
        cache = self.cache
        found = [cache.get(number) for number in numbers.tolist()]
        missing = np.array([number for number, patch in zip(numbers, found, strict=True) if patch is None], np.int64)
        fresh = np.empty((len(missing), *self._reader.source.shape[1:]), dtype=self._reader.source.dtype)
        if len(missing):
            self._reader.codes(missing, fresh, threads)
            fresh.flags.writeable = False  # like those from the cache, so that one loop is compiled for both
            for number, patch in zip(missing.tolist(), fresh, strict=True):
                cache.put(number, patch)
        others = iter(fresh)
        return [next(others) if patch is None else patch for patch in found]
