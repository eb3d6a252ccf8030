"""What is taken of an existing file: its structure, found sound, and the numbers of the patches and scenes to take."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import h5py
import numpy as np
import numpy.typing as npt

from sar_h5 import schema
from sar_h5.compression import Codec
from sar_h5.errors import FormatError, SourceError
from sar_h5.file_structure import Structure
from sar_h5.opening import name_damage, open_file
from sar_h5.structure_process import check_structure_apart
from sar_h5.verify_report import list_problems

Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Piece:
    """An open file, and what is taken of it.

    Attributes:
        path: the file.
        file: the same, open for reading.
        found: its structure.
        kept: int64 (n,), which patches are taken, growing.
        scenes: which scenes are taken, growing; those of all patches taken, and perhaps others.
        gcps: float64 (G, 5), its ground control points.
        origin: where it is a part of another file, that one's digest; else empty.
    """

    path: Path
    file: h5py.File
    found: Structure
    kept: Numbers
    scenes: tuple[int, ...]
    gcps: npt.NDArray[np.float64]
    origin: str = ""

    @property
    def component(self) -> npt.NDArray[np.int32] | None:
        """Which recovered places are relative to each other, int32 (N,); None where none were recovered."""
        return self.found.component

    @classmethod
    def whole(cls, path: Path, file: h5py.File, found: Structure) -> Piece:
        """Take everything of an open file."""
        with name_damage(path):
            gcps = file[schema.SCENES][schema.GCP_TABLE.name][:]
        scenes = tuple(range(len(found.scenes["name"])))
        origin = found.attributes.get(schema.EXTRACTED_FROM, "") if found.scene_position is not None else ""
        return cls(path, file, found, np.arange(found.count, dtype=np.int64), scenes, gcps, origin)

    def keep(self, kept: Numbers) -> Piece:
        """Take only some patches, and all scenes."""
        return replace(self, kept=kept)

    def take(self, kept: Numbers, scenes: tuple[int, ...]) -> Piece:
        """Take only some patches and scenes, as a part of this file."""
        is_part = len(kept) < self.found.count or len(scenes) < len(self.scenes)
        digest = self.found.attributes.get("content_digest", "")
        return replace(self, kept=kept, scenes=scenes, origin=self.origin or (digest if is_part else ""))

    @property
    def name(self) -> str:
        """The file's path, for messages."""
        return str(self.path)

    @property
    def scene_names(self) -> list[str]:
        """The names of all scenes of the file."""
        names: list[str] = self.found.scenes["name"].tolist()
        return names

    @property
    def origin_scenes(self) -> int:
        """How many scenes that file has."""
        return len(self.found.scenes["name"]) + self.found.left_out_scenes

    def scene_position(self, scene: int) -> int:
        """Return the position of a scene in that file."""
        return scene if self.found.scene_position is None else int(self.found.scene_position[scene])

    @property
    def codec(self) -> Codec:
        """What the file's chunks are compressed with."""
        return read_codec(self.pixels)

    @property
    def pixels(self) -> h5py.Dataset:
        """The dataset with the pixels."""
        return self.file[schema.PIXELS[self.found.settings.layout]]

    @property
    def blocks(self) -> int:
        """How many blocks the file has; 0 in layout "patches"."""
        return 0 if self.found.grid is None else len(self.found.table.sizes)

    @property
    def chunk_nbytes(self) -> Numbers:
        """How many bytes of chunks each patch brings along, int64 (N,).

        Of blocks, those that no earlier patch taken has; those of others count for nothing.
        """
        if self.found.grid is None:
            return self.found.table.sizes
        nbytes = np.zeros(self.found.count, np.int64)
        grid = self.found.grid[self.kept].reshape(len(self.kept), -1)
        blocks, first = np.unique(grid, return_index=True)
        there = blocks < self.blocks
        np.add.at(nbytes, self.kept[first[there] // grid.shape[1]], self.found.table.sizes[blocks[there]])
        return nbytes

    @property
    def patches_nbytes(self) -> int:
        """About how many bytes the chunks of the patches taken would have, if none were shared."""
        sizes, grid = self.found.table.sizes, self.found.grid
        return int(sizes[self.kept].sum() if grid is None else sizes[grid[self.kept]].sum())

    def scene_gcps(self, scene: int) -> npt.NDArray[np.float64]:
        """Return the ground control points of a scene, float64 (n, 5)."""
        start, count = (int(self.found.scenes[name][scene]) for name in ("gcp_start", "gcp_count"))
        return self.gcps[max(start, 0) : max(start, 0) + max(count, 0)]


@contextlib.contextmanager
def open_piece(path: Path) -> Iterator[Piece]:
    """Open a file to take everything of it.

    Raises:
        SourceError: where there is no such file.
        FormatError: where it is none of this package, or its structure is damaged.
    """
    if not path.is_file():
        what = "a directory" if path.is_dir() else "no such file"
        raise SourceError(f"{path}: expected a file made by sar-h5 convert, found {what}")
    found = sound_structure(path, "patches of it cannot be taken")
    with open_file(path) as file:
        yield Piece.whole(path, file, found)


def sound_structure(path: Path, consequence: str, *, mends_patches: bool = False) -> Structure:
    """Return the structure of a file.

    Args:
        path: the file.
        consequence: what damage means here, for the message.
        mends_patches: whether patches may be made up of blocks that are not theirs.

    Raises:
        FormatError: where it is damaged.
    """
    report = check_structure_apart(path)
    # Blocks that a patch has lost may be left over.
    problems = [
        problem
        for problem in report.problems
        if not mends_patches or not (problem.place.startswith(_OF_PATCHES) or problem.place == f"/{schema.BLOCKS}")
    ]
    if report.structure is None or problems:
        raise FormatError(
            f"{path}: its structure is damaged, and {consequence}: {list_problems(problems)}; convert again"
        )
    return report.structure


_OF_PATCHES = f"/{schema.INDEX}/{schema.BLOCKS}["
"""Where problems lie that are those of single patches."""


def read_codec(patches: h5py.Dataset) -> Codec:
    """Return what the chunks of a dataset are compressed with, as its filter's options say."""
    filters = patches.id.get_create_plist()
    for number in range(filters.get_nfilters()):
        code, _, options, _ = filters.get_filter(number)
        if code == schema.BLOSC_FILTER and len(options) >= 7 and options[6] in _COMPRESSORS and options[5] < 3:
            return Codec(_COMPRESSORS[options[6]], min(options[4], 9), ("none", "byte", "bit")[options[5]])  # type: ignore[arg-type]  # they are names of Codec's
    return Codec()


_COMPRESSORS = {0: "blosclz", 1: "lz4", 2: "lz4hc", 4: "zlib", 5: "zstd"}
"""As the HDF5 filter numbers them, blosc.h; 3 was snappy."""
