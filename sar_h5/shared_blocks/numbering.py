"""What finding shared blocks comes to: a number for each block of some patches, and which of them are new."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

BlockNumbers = npt.NDArray[np.uint32]


@dataclass(frozen=True)
class Numbering:
    """The blocks of some patches, numbered.

    Attributes:
        numbers: uint32 (n, P/B * P/B), which blocks make up each patch, row by row.
        new: which of all these blocks, in one row, have got a number now; their numbers are consecutive.
    """

    numbers: BlockNumbers
    new: list[int]
