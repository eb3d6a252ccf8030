"""What every dataset reads from: patches by number, wherever they are kept."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from sar_h5.contents import Columns


class PatchStore(Protocol):
    """Patches by number, as float32 values.

    A store can be used by several threads, goes on in a forked process, and can be pickled; handles stay behind.
    """

    @property
    def path(self) -> str:
        """Where the patches are, for errors."""

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(N, C, H, W)."""

    def values(
        self,
        numbers: npt.NDArray[np.int64],
        out: npt.NDArray[np.float32],
        symmetries: npt.NDArray[np.uint8] | None = None,
        threads: int = 1,
    ) -> None:
        """Read patches.

        Args:
            numbers: int64 (n,), each in [0, N).
            out: float32 (n, C, H, W), C-contiguous, filled.
            symmetries: uint8 (n,), 0 to 7 for each patch, see :mod:`sar_h5.symmetry`; None for all as they are.
            threads: how many to share the work out to.

        Raises:
            CorruptPatchError: where a patch cannot be read.
        """

    def index(self) -> Columns:
        """Return columns with one entry per patch: ``scene``, ``row`` and ``col`` (-1 where unknown) at least.

        Raises:
            FormatError: where nothing tells.
        """

    def scenes(self) -> Columns:
        """Return columns with one entry per scene: ``name``, and what else is known, as the file format calls it.

        Raises:
            FormatError: where nothing tells.
        """

    def identity(self) -> str:
        """Return what tells this store's patches from others, the same wherever they lie."""

    def close(self) -> None:
        """Close this process's handles; the next access opens them again."""
