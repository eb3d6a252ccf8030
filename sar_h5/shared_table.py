"""The tables of where patches lie in shared memory, for processes that are started fresh (spawn, forkserver)."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from sar_h5.block_table import BlockTable
from sar_h5.chunk_table import ChunkTable


class SharedTable:
    """A table whose arrays lie in shared memory; pickled to another process on this machine, it shares them.

    Args:
        table: the table to share, of chunks or of blocks.
    """

    def __init__(self, table: ChunkTable | BlockTable) -> None:
        self._arrays: dict[str, _SharedArray] = {}
        self._others: dict[str, object] = {}
        for name, value in vars(table).items():
            if isinstance(value, np.ndarray):
                self._arrays[name] = _SharedArray(value)
            else:
                self._others[name] = SharedTable(value) if isinstance(value, ChunkTable) else value
        self._kind = type(table)

    def table(self) -> ChunkTable | BlockTable:
        """Return the table; its arrays are views of the shared memory."""
        others = {
            name: value.table() if isinstance(value, SharedTable) else value for name, value in self._others.items()
        }
        return self._kind(**{name: shared.array() for name, shared in self._arrays.items()}, **others)  # type: ignore[arg-type]  # by name


class _SharedArray:
    """An array in shared memory: as bytes, since torch knows little of unsigned integers."""

    def __init__(self, array: npt.NDArray[Any]) -> None:
        self._shape, self._dtype = array.shape, array.dtype
        content = torch.from_numpy(np.ascontiguousarray(array).reshape(-1).view(np.uint8).copy())
        self._content = content.share_memory_()  # type: ignore[no-untyped-call]  # torch leaves it without types

    def array(self) -> npt.NDArray[Any]:
        """Return a view."""
        content: npt.NDArray[np.uint8] = self._content.numpy()
        return content.view(self._dtype).reshape(self._shape)
