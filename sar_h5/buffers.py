"""Memory that is used again: fresh memory for each batch would cost a third of the time in page faults."""

from __future__ import annotations

import math
import sys
import threading

import numpy as np
import numpy.typing as npt


def _references_of_pool() -> int:
    """Return what ``getrefcount`` gives in a loop over arrays that nobody else holds; it depends on the interpreter."""
    arrays = [np.empty(0, dtype=np.uint8)]
    for array in arrays:
        references = sys.getrefcount(array)
    return references


_HELD_BY_POOL = _references_of_pool()


class BufferPool:
    """Hands out arrays whose memory is used again as soon as nobody holds them, or a view of them, any more.

    Nothing has to be given back, so errors and threads that end early lose nothing. Never more memory is held than
    was in use at once.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._arrays: list[npt.NDArray[np.uint8]] = []

    def take(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[np.generic]:
        """Return a C-contiguous array with arbitrary contents."""
        kind = np.dtype(dtype)
        nbytes = math.prod(shape) * kind.itemsize
        with self._lock:
            array = self._find(nbytes)
        view: npt.NDArray[np.generic] = array[:nbytes].view(kind).reshape(shape)
        return view

    def _find(self, nbytes: int) -> npt.NDArray[np.uint8]:
        busy = []
        for array in self._arrays:
            if sys.getrefcount(array) > _HELD_BY_POOL:
                busy.append(array)
            elif array.nbytes >= nbytes:
                return array
        # The free ones are too small: others of the new size come in their place.
        array = np.empty(nbytes, dtype=np.uint8)
        self._arrays = [*busy, array]
        return array
