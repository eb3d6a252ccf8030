"""Stored patches to values: the file's table, and one of the symmetries of the square, in one step."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from sar_h5.kernels import place
from sar_h5.symmetry import apply_symmetry

COMPILED_DTYPES = (np.dtype("u1"), np.dtype("<u2"), np.dtype("<f4"))
"""What the compiled loops are made for; patches of other dtypes, in files of others, go through NumPy."""


class Lookup:
    """Turns stored patches into float32 values.

    Args:
        lut: float32 (K,), ``value = lut[code]``; None where the stored numbers are the values.
        dtype: of what is stored; unsigned integers of one or two bytes where there is a table.

    Attributes:
        table: float32, the table with zeros up to as many entries as the dtype has values, so that no code leads
            outside; None where there is none.
        levels: K, or 0.
    """

    def __init__(self, lut: npt.NDArray[np.float32] | None, dtype: np.dtype[Any]) -> None:
        self.table: npt.NDArray[np.float32] | None = None
        self.levels = 0
        if lut is not None:
            self.table = np.zeros(1 << 8 * dtype.itemsize, dtype=np.float32)
            self.levels = min(len(lut), len(self.table))
            self.table[: self.levels] = lut[: self.levels]

    def compile_loop(self, dtype: np.dtype[Any]) -> None:
        """Have the loop compiled for patches of a dtype, once on a machine, before worker processes need it."""
        self.place(np.zeros((1, 1), dtype=dtype), 0, np.empty((1, 1), dtype=np.float32))

    def place(self, patch: npt.NDArray[Any], symmetry: int, out: npt.NDArray[np.float32]) -> None:
        """Look up one patch.

        Args:
            patch: (H, W), as stored.
            symmetry: 0 to 7; see :mod:`sar_h5.symmetry`.
            out: float32 (H, W), filled.

        Raises:
            ValueError: where a code is not in the table.
        """
        if patch.dtype not in COMPILED_DTYPES:
            out[...] = apply_symmetry(patch, symmetry)
        elif not place(np.ascontiguousarray(patch), self.table, self.levels, symmetry, out):
            raise ValueError(f"a code lies outside the table of {self.levels}")
