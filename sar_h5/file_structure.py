"""What there is to know about a file before its patches are looked at, as plain data that another process may send."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sar_h5.chunk_table import ChunkTable
from sar_h5.schema import BLOCKS, INDEX, PATCHES, UNKNOWN, FileSettings
from sar_h5.verify_report import Problem

Columns = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Structure:
    """A file whose layout is sound enough to look at its patches, as plain data.

    Attributes:
        dtype: of what is stored.
        table: where the chunk of each patch, or of each block, lies, and its checksum; size 0 where there is none.
        grid: uint32 (N, k, k), the blocks that make up each patch; None where a patch is a chunk.
        index: the columns of ``/index`` that every file has.
        scenes: the columns of ``/scenes``.
        lut: float32 (K,), or None for float32 values.
        settings: what holds for all patches.
        has_histogram: whether digital numbers were counted, so that codes stand for them.
        attributes: those of the root that are texts, by name.
        position: int32 (N,), the position of each patch among those that the conversion kept of its scene, -1 where
            unknown; None where none has been left out since.
        left_out: int64 (S,), how many patches of each scene have been left out since; -1 where unknown.
        scene_position: int32 (S,), the position of each scene in the file that this one was extracted from; None where
            there is none.
        left_out_scenes: how many scenes that file has beside these.
        component: int32 (N,), which places were recovered relative to each other, -1 where unknown; None where the
            source told the places.
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
    position: npt.NDArray[np.int32] | None
    left_out: npt.NDArray[np.int64]
    scene_position: npt.NDArray[np.int32] | None
    left_out_scenes: int
    component: npt.NDArray[np.int32] | None = None

    @property
    def told_places(self) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
        """Rows and columns as the source told them, int32 (N,) each: -1 where unknown, or recovered from the pixels.

        What counts for the digest, and for finding a patch in its source.
        """
        if self.component is None:
            return self.index["row"], self.index["col"]
        unknown = np.full(self.count, UNKNOWN, np.int32)
        return unknown, unknown

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

    def rows_of(self, scene: int) -> slice:
        """Return which patches are those of a scene."""
        start = int(self.scenes["patch_start"][scene])
        return slice(start, start + int(self.scenes["patch_count"][scene]))

    def positions(self, scene: int) -> npt.NDArray[np.int64]:
        """Return the positions of a scene's patches among those that the conversion kept of it; -1 where unknown."""
        if self.position is None:
            return np.arange(self.scenes["patch_count"][scene], dtype=np.int64)
        return self.position[self.rows_of(scene)].astype(np.int64)

    def is_left_out(self, scene: int, positions: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Tell which patches that the conversion keeps of a scene have been left out on purpose.

        Where it is not known which, any that the file does not have may be.
        """
        left_out = int(self.left_out[scene])
        if left_out < 0:
            return np.ones(len(positions), np.bool_)
        kept = int(self.scenes["patch_count"][scene]) + left_out
        return (positions < kept) & ~np.isin(positions, self.positions(scene))

    @property
    def from_dn(self) -> bool:
        """Whether codes stand for digital numbers."""
        # Patches of digital numbers were not counted where they came from single patches: those overlap.
        return self.settings.encoding == "dn" or (self.settings.encoding == "palette" and self.has_histogram)


@dataclass(frozen=True)
class StructureReport:
    """What was found about the structure of a file.

    Attributes:
        structure: the layout; None where it is too broken to look at patches.
        problems: in the order of the file.
    """

    structure: Structure | None
    problems: tuple[Problem, ...]
