"""Patches of a piece read as they are stored, each found sound; and single chunks, to be written as they are."""

from __future__ import annotations

import zlib
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from sar_h5.compression import decompress
from sar_h5.derivation.pieces import Piece
from sar_h5.derivation.taken_patch import StoredChunk
from sar_h5.errors import CorruptPatchError, SourceError
from sar_h5.intact_reads import IntactReads

Numbers = npt.NDArray[np.int64]


class PieceReads:
    """Reads patches of one piece; threads may share it. A context manager.

    Args:
        piece: the piece.

    Raises:
        OSError: where the file cannot be opened any more.
        FormatError: where it has been replaced by another one.
    """

    def __init__(self, piece: Piece) -> None:
        self._piece, self._reads = piece, IntactReads(piece.name, piece.found)

    def __enter__(self) -> PieceReads:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._reads.__exit__(kind, error, trace)

    def announce(self, numbers: Numbers) -> None:
        """Tell the operating system which patches are about to be read."""
        self._reads.announce(numbers)

    def read(self, numbers: Numbers) -> tuple[npt.NDArray[Any], list[StoredChunk | None]]:
        """Read patches.

        Args:
            numbers: int64 (n,).

        Returns:
            (n, P, P) as stored; and the chunk of each, None where it is made up of blocks.

        Raises:
            CorruptPatchError: where one cannot be read.
        """
        piece, found = self._piece, self._piece.found
        if found.grid is not None:
            patches, broken = self._reads.read(numbers)
            for position, reason in sorted(broken.items()):
                raise corrupt_patch(piece, int(numbers[position]), reason)
            return patches, [None] * len(numbers)
        chunks: list[StoredChunk | None] = []
        patches = np.empty((len(numbers), *found.shape), found.dtype)
        for position, number in enumerate(numbers.tolist()):
            try:
                chunk = read_chunk(self._reads, number)
                raw = chunk.data if chunk.plain else decompress(chunk.data, found.patch_nbytes)
                patches[position] = np.frombuffer(raw, found.dtype).reshape(found.shape)
            except (OSError, ValueError) as error:
                raise corrupt_patch(piece, number, str(error)) from error
            chunks.append(chunk)
        return patches, chunks

    def fetch(self, block: int) -> StoredChunk:
        """Return a block that has been found sound, as it is stored.

        Raises:
            SourceError: where it no longer is.
        """
        try:
            return read_chunk(self._reads, block)
        except (OSError, ValueError) as error:
            raise lost_chunk(self._piece.name, f"block {block}", error) from error


def read_chunk(reads: IntactReads, number: int) -> StoredChunk:
    """Return a chunk of a file whose checksum holds.

    Raises:
        OSError: where the file ends early.
        ValueError: where it is not as it should be.
    """
    table, data = reads.chunks.table, reads.chunks.stored(number)
    checksum = zlib.crc32(data) if table.checksums is None else int(table.checksums[number])
    return StoredChunk(data, bool(table.plain[number]), checksum)


def lost_chunk(path: str, what: str, error: Exception) -> SourceError:
    """Return what to raise where a patch or block cannot be read that could be."""
    return SourceError(
        f"{path}: {what} was sound a moment ago and cannot be read now: {error}; is the disk failing? Nothing was "
        "written"
    )


def corrupt_patch(piece: Piece, number: int, reason: str) -> CorruptPatchError:
    """Return what to raise where a patch of a piece cannot be read, or holds what it cannot."""
    name = piece.scene_names[int(piece.found.index["scene"][number])]
    advice = (
        f"`sar-h5 repair {piece.name} --out NEW --source SOURCE` makes broken patches again, with --drop instead of "
        "--source it leaves them out; nothing was written"
    )
    return CorruptPatchError.at(piece.name, number, reason, place=f"scene {name}", advice=advice)
