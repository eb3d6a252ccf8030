"""One patch on its way into a new file, and what takes it there: a class for each layout."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import h5py
import numpy as np
import numpy.typing as npt

from sar_h5.schema import UNKNOWN
from sar_h5.shared_blocks.sharing import BlockSharing

Pixels = npt.NDArray[Any]


@dataclass(frozen=True)
class StoredChunk:
    """A chunk as a file stores it.

    Attributes:
        data: the bytes.
        plain: whether they are the pixels themselves, which the filter has left as they were.
        checksum: CRC-32 of the bytes.
    """

    data: bytes
    plain: bool
    checksum: int


@dataclass(frozen=True)
class TakenPatch:
    """A patch that is known to be sound.

    Attributes:
        pixels: (P, P), as the new file stores them.
        piece: number of the piece that it comes from.
        blocks: int64 (k * k,), numbers of its blocks there; None where its file has no such blocks, or it has been made
            anew.
        chunk: what its file stores of it, where the new one can store the same.
        fetch: returns a block of its file as that stores it, where the new one can store the same.
        matches: whether blocks equal to its own are to be looked for beyond those of its file.
        scene: number of its scene in the new file.
        row, col: its top-left corner in the scene, -1 where unknown.
    """

    pixels: Pixels
    piece: int = 0
    blocks: npt.NDArray[np.int64] | None = None
    chunk: StoredChunk | None = None
    fetch: Callable[[int], StoredChunk] | None = None
    matches: bool = False
    scene: int = 0
    row: int = UNKNOWN
    col: int = UNKNOWN


Write = Callable[[int], None]
"""Writes a patch under the number that it is given; to be called by the thread that has the file open."""


class PixelTarget(Protocol):
    """Writes the pixels of a new file."""

    @property
    def dataset(self) -> h5py.Dataset:
        """Where they are."""

    def prepare(self, taken: TakenPatch) -> Write:
        """Do what threads can do to have a patch written."""

    def flush(self) -> None:
        """Write what waits."""

    def finish(self, count: int) -> npt.NDArray[np.uint32]:
        """Write what waits, and return what ``/index/checksum`` says of each of ``count`` patches, uint32 (n,)."""

    def write_tables(self, file: h5py.File) -> None:
        """Write what only this layout has, once ``/index`` is there."""

    def measure_sharing(self) -> BlockSharing | None:
        """Tell what shared blocks come to, once finished; None in layout "patches"."""

    def close(self) -> None:
        """Drop what is not written, and leave no thread behind."""
