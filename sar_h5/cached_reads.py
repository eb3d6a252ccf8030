"""Reads of one file through a cache of what is stored there, each process with one of its own."""

from __future__ import annotations

import os

import numpy as np
import numpy.typing as npt

from sar_h5.decode_threads import DecodeThreads
from sar_h5.errors import CorruptPatchError
from sar_h5.lookup import Lookup
from sar_h5.patch_cache import PatchCache
from sar_h5.reader import PatchReader


class CachedReads:
    """Reads patches as :meth:`PatchReader.values` does; what was read before comes from memory.

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
        if self._owned[0] != os.getpid():
            self._owned = os.getpid(), PatchCache(self._limit_nbytes)
        return self._owned[1]

    def __reduce__(self) -> tuple[type[CachedReads], tuple[PatchReader, int]]:
        return CachedReads, (self._reader, self._limit_nbytes)

    def values(
        self,
        numbers: npt.NDArray[np.int64],
        out: npt.NDArray[np.float32],
        symmetries: npt.NDArray[np.uint8] | None = None,
        threads: int = 1,
        places: npt.NDArray[np.int64] | None = None,
    ) -> None:
        """Read patches as values; arguments and errors as of :meth:`PatchReader.values`."""
        cache = self.cache
        stored = [cache.get(number) for number in numbers.tolist()]
        missing = np.array([position for position, patch in enumerate(stored) if patch is None], dtype=np.int64)
        if len(missing):
            fresh = np.empty((len(missing), *self._reader.source.shape[1:]), dtype=self._reader.source.dtype)
            self._reader.codes(numbers[missing], fresh, threads)
            for position, patch in zip(missing.tolist(), fresh, strict=True):
                cache.put(int(numbers[position]), patch)
                stored[position] = patch

        def fill(start: int, stop: int) -> None:
            for position in range(start, stop):
                patch = stored[position]
                symmetry = 0 if symmetries is None else int(symmetries[position])
                place = position if places is None else int(places[position])
                try:
                    self._lookup.place(patch, symmetry, out[place])  # type: ignore[arg-type]  # none is missing by now
                except ValueError as error:
                    raise CorruptPatchError.at(self._reader.path, int(numbers[position]), str(error)) from error

        self._threads.run(fill, len(numbers), threads)
