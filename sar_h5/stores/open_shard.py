"""One open shard, whose patches are read by their place in the file; a file that was cut short is an error, no crash.

Reads instead of a memory map: where a map's file ends early, the process is killed by SIGBUS.
"""

from __future__ import annotations

import os

import numpy as np
import numpy.typing as npt

from sar_h5.native import find_native_reads
from sar_h5.sources.shards import ShardPlace
from sar_h5.stores.shard_kernels import read_floats

_HAS_PREADV = hasattr(os, "preadv")
_NATIVE = find_native_reads()


def compile_reads() -> None:
    """Have the compiled loop made, once on a machine, before worker processes need it."""
    if _NATIVE is not None:
        none, turns, patch = np.empty(0, np.int64), np.empty(0, np.uint8), np.empty((1, 1), np.float32)
        read_floats(0, -1, none, turns, none, True, patch, patch[np.newaxis])


class OpenShard:
    """A shard's open file, for one thread at a time.

    Args:
        place: where its patches lie.

    Raises:
        OSError: where it cannot be opened, or is shorter than it was.
    """

    def __init__(self, place: ShardPlace) -> None:
        self._place = place
        flags = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
        self._descriptor = os.open(place.path, flags)
        nbytes = os.fstat(self._descriptor).st_size
        if nbytes < place.end:
            self.close()
            raise OSError(f"the file has {nbytes} bytes, {place.end - nbytes} less than before; it was cut or replaced")

    def read(self, position: int, patch: npt.NDArray[np.float32]) -> None:
        """Read patch number ``position`` of the shard into ``patch``, float32 (P, P), C-contiguous.

        Raises:
            OSError: where the file cannot be read, or ends early.
        """
        view = memoryview(patch.data).cast("B")
        start = self._place.offset + position * self._place.patch_nbytes
        done = 0
        while done < len(view):
            count = _read_at(self._descriptor, view[done:], start + done)
            if count == 0:
                raise OSError(f"the file ends {len(view) - done} bytes early; it was cut or replaced")
            done += count
        if not self._place.dtype.isnative:
            patch.byteswap(inplace=True)

    def read_many(
        self,
        positions: npt.NDArray[np.int64],
        symmetries: npt.NDArray[np.uint8],
        places: npt.NDArray[np.int64],
        out: npt.NDArray[np.float32],
        *,
        check: bool,
    ) -> int:
        """Read patches in one compiled loop, as far as all goes well; see :func:`sar_h5.stores.shard_kernels.read_floats`.

        Args:
            positions: int64 (n,), patches of the shard.
            symmetries: uint8 (n,), 0 to 7 of each.
            places: int64 (n,), which of ``out`` each goes to.
            out: float32 (m, P, P), C-contiguous.
            check: whether to stop at a patch that is not in [0, 1].

        Returns:
            How many were read; 0 where this machine has no compiled way.
        """
        if _NATIVE is None or not self._place.dtype.isnative:
            return 0
        offsets = self._place.offset + positions * self._place.patch_nbytes
        scratch = np.empty(out.shape[1:], dtype=np.float32)
        done: int = read_floats(_NATIVE.pread, self._descriptor, offsets, symmetries, places, check, scratch, out)
        return done

    def close(self) -> None:
        """Close the file; nothing can be read afterwards."""
        os.close(self._descriptor)


def _read_at(descriptor: int, target: memoryview, offset: int) -> int:
    """Read from a place in a file, without the GIL, and return how many bytes there were."""
    if _HAS_PREADV:
        return os.preadv(descriptor, [target], offset)
    os.lseek(descriptor, offset, os.SEEK_SET)  # Windows; one thread at a time uses a descriptor
    some = os.read(descriptor, len(target))
    target[: len(some)] = some
    return len(some)
