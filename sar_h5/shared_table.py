"""The table of chunks in shared memory, for processes that are started fresh (spawn, forkserver)."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from sar_h5.chunk_table import ChunkTable


class SharedTable:
    """A table whose arrays lie in shared memory; pickled to another process on this machine, it shares them.

    Args:
        table: the table to share.
    """

    def __init__(self, table: ChunkTable) -> None:
        arrays: list[npt.NDArray[Any]] = [table.offsets, table.sizes, table.plain]
        if table.checksums is not None:
            arrays.append(table.checksums.view(np.int32))  # torch's uint32 came late, and knows little
        self._tensors = [torch.from_numpy(array.copy()).share_memory_() for array in arrays]  # type: ignore[no-untyped-call]  # torch leaves it without types
        self._identity = table.identity

    def table(self) -> ChunkTable:
        """Return the table; its arrays are views of the shared memory."""
        offsets, sizes, plain, *others = (tensor.numpy() for tensor in self._tensors)
        return ChunkTable(offsets, sizes, plain, self._identity, others[0].view(np.uint32) if others else None)
