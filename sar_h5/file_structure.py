"""What there is to know about a file before its patches are looked at, as plain data that another process may send."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sar_h5.chunk_table import ChunkTable
from sar_h5.schema import BLOCKS, INDEX, PATCHES, FileSettings
from sar_h5.verify_report import Problem

Columns = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Structure:
    """A file whose layout is sound enough to look at its patches, as plain data.

    Attributes:
        dtype: of what is stored.
        table: where the chunk of each patch, or of each block, lies, and its checksum; size 0 where there is none.
        grid: uint32 (N, k, k), the blocks that make up each patch; None where a patch is a chunk.
        index: the columns of ``/index``.
        scenes: the columns of ``/scenes``.
        lut: float32 (K,), or None for float32 values.
        settings: what holds for all patches.
        has_histogram: whether digital numbers were counted, so that codes stand for them.
        attributes: those of the root that are texts, by name.
        dropped: int64 (n, 4), the patches that repairs have dropped: scene, position in it, row, column.
    """

    dtype: np.dtype[Any]
    table: ChunkTable
    grid: npt.NDArray[np.uint32] | None
    index: Columns
    scenes: Columns
    lut: npt.NDArray[np.float32] | None
    settings: FileSettings
    has_histogram: bool
    attributes: Mapping[str, str]
    dropped: npt.NDArray[np.int64]

    @property
    def count(self) -> int:
        """How many patches there are."""
        return len(self.index["scene"])

    @property
    def shape(self) -> tuple[int, int]:
        """(P, P)."""
        return self.settings.patch_size, self.settings.patch_size

    @property
    def chunk_shape(self) -> tuple[int, int]:
        """(H, W) of what a chunk holds: a patch or a block."""
        side = self.settings.block_size or self.settings.patch_size
        return side, side

    def place(self, number: int) -> str:
        """Return where a patch is, for messages."""
        return f"/{PATCHES}[{number}]" if self.grid is None else f"/{INDEX}/{BLOCKS}[{number}]"

    @property
    def patch_nbytes(self) -> int:
        """Size of a patch, decoded."""
        return self.settings.patch_size**2 * self.dtype.itemsize

    @property
    def from_dn(self) -> bool:
        """Whether codes stand for digital numbers."""
        return self.settings.encoding != "float32" and self.has_histogram


@dataclass(frozen=True)
class StructureReport:
    """What was found about the structure of a file.

    Attributes:
        structure: the layout; None where it is too broken to look at patches.
        problems: in the order of the file.
    """

    structure: Structure | None
    problems: tuple[Problem, ...]
