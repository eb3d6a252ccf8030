"""Patches to what a file stores of them: compressed chunks, their checksums, and the hashes of their content."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sar_h5.buffers import BufferPool
from sar_h5.compression import MOST_OVERHEAD_NBYTES, Codec
from sar_h5.conversion_kernels import look_up
from sar_h5.cutting import BatchToMake, PatchBatch, Stored
from sar_h5.digest import hash_patches
from sar_h5.encoding import Storage

Frame = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class MadeBatch:
    """Some patches of one scene as they will be stored, and what the digest covers of them.

    Attributes:
        stored: (n, P, P), codes or float32 values, C-contiguous.
        contents: SHA-256 of each patch's content, see ``digest``.
        rows, cols: int32 (n,), top-left corners in the scene; -1 where unknown.
        valid_fraction: float32 (n,), in [0, 1].
    """

    stored: Stored
    contents: Sequence[bytes]
    rows: npt.NDArray[np.int32]
    cols: npt.NDArray[np.int32]
    valid_fraction: npt.NDArray[np.float32]


@dataclass(frozen=True)
class PackedBatch:
    """Some patches of one scene, ready to be written.

    Attributes:
        frames: their chunks, compressed, uint8 of any length.
        checksums: CRC-32 of each chunk.
        contents: SHA-256 of each patch's content, see ``digest``.
        rows, cols: int32 (n,), top-left corners in the scene; -1 where unknown.
        valid_fraction: float32 (n,), in [0, 1].
    """

    frames: Sequence[Frame]
    checksums: Sequence[int]
    contents: Sequence[bytes]
    rows: npt.NDArray[np.int32]
    cols: npt.NDArray[np.int32]
    valid_fraction: npt.NDArray[np.float32]


class Packer:
    """Makes, compresses and hashes batches; threads may share one.

    Args:
        storage: how values are stored.
        codec: how chunks are compressed.
    """

    def __init__(self, storage: Storage, codec: Codec) -> None:
        self._storage, self._codec = storage, codec
        self._buffers = BufferPool()

    def pack(self, batch: BatchToMake) -> PackedBatch:
        """Do all that takes time for a batch; errors are those of making it."""
        made = self.make(batch)
        frames = self.compress(made.stored)
        checksums = [zlib.crc32(frame.data) for frame in frames]
        return PackedBatch(frames, checksums, made.contents, made.rows, made.cols, made.valid_fraction)

    def make(self, batch: BatchToMake) -> MadeBatch:
        """Make a batch and hash its patches; errors are those of making it."""
        made = batch.make()
        stored = np.ascontiguousarray(made.patches, dtype=self._storage.dtype)
        contents = hash_patches(self._contents(made, stored))
        return MadeBatch(stored, contents, made.rows, made.cols, made.valid_fraction)

    def compress(self, chunks: Stored | Sequence[Stored]) -> list[Frame]:
        """Compress C-contiguous chunks, one by one."""
        # In one piece of memory that is used again: frames of all sizes would leave the heap in pieces.
        nbytes = sum(chunk.nbytes + MOST_OVERHEAD_NBYTES for chunk in chunks)
        room: Frame = self._buffers.take((nbytes,), np.uint8).view(np.uint8)
        frames, start = [], 0
        for chunk in chunks:
            frame = np.frombuffer(self._codec.compress(chunk), dtype=np.uint8)
            frames.append(room[start : start + len(frame)])
            frames[-1][:] = frame
            start += len(frame)
        return frames

    def _contents(self, batch: PatchBatch, stored: Stored) -> Stored:
        """Return (n, P, P) of what the digest covers: codes of digital numbers, else values."""
        if self._storage.lut is None or self._storage.from_dn:
            return stored.astype(stored.dtype.newbyteorder("<"), copy=False)
        if batch.values is not None:
            return np.ascontiguousarray(batch.values, dtype="<f4")
        values = self._buffers.take(stored.shape, np.float32)
        look_up(stored.reshape(-1), self._storage.lut, values.reshape(-1))
        return values.astype("<f4", copy=False)
