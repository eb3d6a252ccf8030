"""Is the dataset with the pixels laid out as the format says, and what makes up each patch where that is blocks?"""

from __future__ import annotations

from dataclasses import replace

import h5py
import numpy as np
import numpy.typing as npt

from sar_h5 import schema
from sar_h5.block_table import BlockTable
from sar_h5.chunk_table import ChunkTable, read_chunk_table
from sar_h5.column_checks import ColumnChecks
from sar_h5.file_objects import MOST_PATCH_NBYTES
from sar_h5.schema import FileSettings
from sar_h5.verify_report import Problem, ProblemKind, shorten

Grid = npt.NDArray[np.uint32]


class PixelChecks:
    """Checks the dataset with the pixels of an open file, and adds what is wrong with it to a list.

    Args:
        dataset: the dataset.
        settings: what the file says about it.
        problems: where problems are added.
    """

    def __init__(self, dataset: h5py.Dataset, settings: FileSettings, problems: list[Problem]) -> None:
        self._dataset, self._settings, self._problems = dataset, settings, problems

    def check_layout(self) -> bool:
        """Check shape, chunks, dtype and filter; False where something is wrong with them."""
        settings, dataset, place = self._settings, self._dataset, self._dataset.name
        size = settings.block_size or settings.patch_size
        before = len(self._problems)
        if dataset.shape[1:] != (size, size):
            count = "N" if settings.block_size is None else "M"
            self._add(place, ProblemKind.WRONG_TYPE, f"expected shape ({count}, {size}, {size}), found {dataset.shape}")
        if settings.patch_size**2 * dataset.dtype.itemsize > MOST_PATCH_NBYTES:
            found = f"{settings.patch_size} x {settings.patch_size} of {dataset.dtype}"
            self._add(
                place, ProblemKind.WRONG_VALUE, f"expected at most {MOST_PATCH_NBYTES:,} bytes a patch, found {found}"
            )
        if dataset.chunks != (1, size, size):
            self._add(place, ProblemKind.WRONG_TYPE, f"expected chunks (1, {size}, {size}), found {dataset.chunks}")
        kinds = {"palette": ("|u1", "<u2"), "dn": ("<u2",), "float32": ("<f4",)}[settings.encoding]
        if dataset.dtype.str not in kinds:
            self._add(place, ProblemKind.WRONG_TYPE, f"expected dtype {' or '.join(kinds)}, found {dataset.dtype.str}")
        filters = dataset.id.get_create_plist()
        numbers = [filters.get_filter(number)[0] for number in range(filters.get_nfilters())]
        if numbers != [schema.BLOSC_FILTER]:
            self._add(place, ProblemKind.WRONG_TYPE, f"expected the one filter {schema.BLOSC_FILTER}, found {numbers}")
        return len(self._problems) == before

    def read_grid(self) -> Grid | None:
        """Read which blocks make up each patch, uint32 (N, k, k); None where that is not laid out as it should be."""
        column, per_side = schema.BLOCK_GRID_COLUMN, self._settings.blocks_per_side
        place = f"/{schema.INDEX}/{column.name}"
        dataset = self._dataset.file.get(place)
        if not isinstance(dataset, h5py.Dataset):
            self._add(place, ProblemKind.MISSING, "expected a dataset")
            return None
        if dataset.dtype != np.dtype(column.dtype) or dataset.shape[1:] != (per_side, per_side):
            found = f"{dataset.dtype} of shape {dataset.shape}"
            message = f"expected {column.dtype} of shape (N, {per_side}, {per_side}), found {found}"
            self._add(place, ProblemKind.WRONG_TYPE, message)
            return None
        try:
            grid: Grid = dataset[:]
        except OSError as error:
            self._add(place, ProblemKind.CORRUPT, str(error))
            return None
        return grid

    def read_block_table(self, columns: ColumnChecks, grid: Grid, checksums: npt.NDArray[np.uint32]) -> ChunkTable:
        """Read where blocks lie, with their checksums, and check that patches are made up of their own, and of all.

        Args:
            columns: of the file.
            grid: uint32 (N, k, k), which blocks make up each patch.
            checksums: uint32 (N,), of patches.

        Returns:
            The table; without checksums where the file's are of no use, which is a problem on the list.
        """
        column, count = schema.BLOCK_CHECKSUM_COLUMN, len(self._dataset)
        stored = columns.read(f"/{column.name}", column)
        if stored is not None and len(stored) != count:
            message = f"expected {count} rows, found {len(stored)}"
            self._add(f"/{column.name}", ProblemKind.WRONG_TYPE, message)
            stored = None
        chunks = replace(read_chunk_table(self._dataset), checksums=stored)
        table = BlockTable(grid, count, chunks, checksums)
        for number in np.flatnonzero(~table.are_sound(np.arange(len(grid)))).tolist():
            fault = table.fault(number)
            if fault is not None:
                self._problems.append(Problem(f"/{schema.INDEX}/{schema.BLOCKS}[{number}]", ProblemKind.CORRUPT, fault))
        unused = np.flatnonzero(np.bincount(grid[grid < count], minlength=count) == 0)
        if len(unused):
            message = f"expected blocks that patches are made of, found {len(unused):,} that none is: "
            message += shorten([str(block) for block in unused.tolist()])
            self._add(f"/{schema.BLOCKS}", ProblemKind.WRONG_VALUE, message)
        return chunks

    def _add(self, place: str, kind: ProblemKind, message: str) -> None:
        self._problems.append(Problem(place, kind, message))
