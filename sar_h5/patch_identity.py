"""Whether a file still holds the patches that are known of it, each where it was, after it has been written to."""

from __future__ import annotations

from dataclasses import dataclass, replace

import h5py
import numpy as np
import numpy.typing as npt

from sar_h5 import schema
from sar_h5.block_table import BlockTable
from sar_h5.chunk_table import ChunkTable, read_chunk_table
from sar_h5.contents import PatchSource, find_patches
from sar_h5.stored_patches import PatchTable, read_lut


@dataclass(frozen=True)
class KnownPatches:
    """What patches are told by from those of another file.

    Attributes:
        source: the dataset and what it means.
        lut: the table of values.
        digest: of the content; None in files that have none.
        table: where each patch lies; None where HDF5 knows.
    """

    source: PatchSource
    lut: npt.NDArray[np.float32] | None
    digest: str | None
    table: PatchTable | None

    def are_in(self, file: h5py.File, is_written: bool) -> bool:
        """Whether an open file still holds these patches where they were, and perhaps others that were appended.

        Args:
            file: the file as it is now.
            is_written: whether anything but its name and its rights has changed.
        """
        if not self.have_their_marks(file):
            return False
        if self.source.settings is None and is_written and len(file[self.source.name]) == self.source.shape[0]:
            return False  # in files of others nothing tells what was written
        chunks = self.table
        if isinstance(self.table, BlockTable):
            chunks = self.table.chunks
            grid = file[f"{schema.INDEX}/{schema.BLOCKS}"][: len(self.table.grid)]
            if not np.array_equal(grid, self.table.grid):
                return False
        return not isinstance(chunks, ChunkTable) or _are_where_they_were(file[self.source.name], chunks)

    def have_their_marks(self, file: h5py.File) -> bool:
        """Whether an open file tells of its patches what is known of these, wherever it keeps them."""
        source = find_patches(file, self.source.name)
        return (
            source.shape[0] >= self.source.shape[0]
            and replace(source, shape=(self.source.shape[0], *source.shape[1:])) == self.source
            and read_digest(file) == self.digest
            and np.array_equal(_nothing_as_empty(read_lut(file, source)), _nothing_as_empty(self.lut))
        )


def read_digest(file: h5py.File) -> str | None:
    """Return the content digest of an open file; None where it has none."""
    digest = file.attrs.get("content_digest")
    return None if digest is None else str(digest)


def _are_where_they_were(dataset: h5py.Dataset, then: ChunkTable) -> bool:
    now, count = read_chunk_table(dataset, then.identity), len(then.offsets)
    return all(
        np.array_equal(new[:count], old)
        for new, old in ((now.offsets, then.offsets), (now.sizes, then.sizes), (now.plain, then.plain))
    )


def _nothing_as_empty(lut: npt.NDArray[np.float32] | None) -> npt.NDArray[np.float32]:
    return np.empty(0, np.float32) if lut is None else lut
