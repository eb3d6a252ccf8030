"""The patches of a repaired file: sound ones as they are stored, others made again, in the order of the file."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from sar_h5.derivation.derived_file import DerivedFile
from sar_h5.derivation.piece_reads import lost_chunk, read_chunk
from sar_h5.derivation.pieces import Piece
from sar_h5.derivation.taken_patch import StoredChunk, TakenPatch
from sar_h5.digest import hash_patches, patch_content
from sar_h5.intact_reads import IntactReads

Numbers = npt.NDArray[np.int64]


class RepairedPatches:
    """The patches of the new file, as they come.

    Args:
        piece: the old file, with the patches to keep.
        reads: of the same.
        file: the new one.
        contents: uint8 (N, 32), SHA-256 of the content of each patch of the old file.
        matched: bool (S,), in which scenes blocks of patches made again may be equal to blocks that are there.

    Attributes:
        contents: those of the new patches, by their numbers in the old file.
        valid_fraction: theirs.
    """

    def __init__(
        self,
        piece: Piece,
        reads: IntactReads,
        file: DerivedFile,
        contents: npt.NDArray[np.uint8],
        matched: npt.NDArray[np.bool_],
    ) -> None:
        self._piece, self._found, self._reads, self._pixels = piece, piece.found, reads, file.pixels
        self._matched, self.contents = matched, contents
        self._places = np.full(piece.found.count, -1, np.int64)
        self._places[piece.kept] = np.arange(len(piece.kept))
        self._chunk_nbytes = piece.chunk_nbytes
        self.valid_fraction = piece.found.index["valid_fraction"].copy()

    def nbytes(self, numbers: Numbers) -> int:
        """Return how many bytes of chunks it takes to copy patches."""
        return int(self._chunk_nbytes[numbers].sum())

    def copy(self, number: int) -> int:
        """Write a patch as the old file stores it, and return how many bytes of chunks that took."""
        grid = self._found.grid
        if grid is None:
            chunk = self._read(number, f"patch {number}")
            self._write(number, TakenPatch(np.empty(0), chunk=chunk))
        else:
            patches, broken = self._reads.read(np.array([number]))
            for reason in broken.values():
                raise lost_chunk(self._piece.name, f"patch {number}", ValueError(reason))
            blocks = grid[number].reshape(-1).astype(np.int64)
            self._write(number, TakenPatch(patches[0], blocks=blocks, fetch=self._fetch))
        return int(self._chunk_nbytes[number])

    def replace(self, number: int, patch: npt.NDArray[Any], valid_fraction: np.float32) -> None:
        """Compress and write a patch, (P, P) as the file stores it, in place of the old one."""
        self.valid_fraction[number] = valid_fraction
        content = patch_content(patch, self._found.lut, from_dn=self._found.from_dn)
        self.contents[number] = np.frombuffer(hash_patches([content])[0], np.uint8)
        self._write(number, TakenPatch(np.ascontiguousarray(patch, dtype=self._found.dtype)))

    def _write(self, number: int, taken: TakenPatch) -> None:
        index = self._found.index
        scene, row, col = (int(index[name][number]) for name in ("scene", "row", "col"))
        placed = replace(taken, matches=bool(self._matched[scene]), scene=scene, row=row, col=col)
        self._pixels.prepare(placed)(int(self._places[number]))

    def _fetch(self, block: int) -> StoredChunk:
        return self._read(block, f"block {block}")

    def _read(self, number: int, what: str) -> StoredChunk:
        try:
            return read_chunk(self._reads, number)
        except (OSError, ValueError) as error:
            raise lost_chunk(self._piece.name, what, error) from error
