"""Shared blocks of patches whose places are known: the same place in a scene is the same block."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sar_h5.shared_blocks.numbering import Numbering


class BlockPlaces:
    """Numbers the blocks of one scene after the other by their top-left corners.

    Blocks at any corner are told apart, also those of patches that were shifted inwards at the edge of the scene and
    lie on no grid. Only corners that patches still to come may have are kept, so memory is bounded by the width of the
    scene: patches have to come row by row.

    Args:
        block_size: side of a block in pixels.
        blocks_per_side: of a patch.
    """

    def __init__(self, block_size: int, blocks_per_side: int) -> None:
        self._steps = range(0, block_size * blocks_per_side, block_size)
        self._numbers: dict[int, dict[int, int]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._numbers.values()))

    def start_scene(self) -> None:
        """Forget the scene before."""
        self._numbers.clear()

    def number(self, rows: npt.NDArray[np.int32], cols: npt.NDArray[np.int32], first: int) -> Numbering:
        """Number the blocks of patches.

        Args:
            rows: int32 (n,), top rows of the patches.
            cols: int32 (n,), their left columns.
            first: the next number to give.
        """
        numbers: list[int] = []
        new: list[int] = []
        for row, col in zip(rows.tolist(), cols.tolist(), strict=True):
            for top in [top for top in self._numbers if top < row]:
                del self._numbers[top]
            for down in self._steps:
                known = self._numbers.setdefault(row + down, {})
                for across in self._steps:
                    number = known.setdefault(col + across, first + len(new))
                    if number == first + len(new):
                        new.append(len(numbers))
                    numbers.append(number)
        return Numbering(np.array(numbers, np.uint32).reshape(len(rows), len(self._steps) ** 2), new)
