"""What a dataset reads its patches from: any place that gives them by number, as values."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from sar_h5.contents import Columns


class PatchStore(Protocol):
    """Patches by number, as float32 values; small when pickled, safe in threads and in every process."""

    @property
    def path(self) -> str:
        """What errors and the dataset's repr name."""

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
            CorruptPatchError: where a patch cannot be read; its ``patch`` is the number.
        """

    def index(self) -> Columns:
        """Return where each patch comes from: ``scene``, ``row``, ``col`` (-1 where unknown) and more, (N,) each."""

    def scenes(self) -> Columns:
        """Return what is known of each scene, under the names of ``schema.SCENE_COLUMNS``, (S,) each."""

    def close(self) -> None:
        """Close what is open in this process; the next read opens it again."""
