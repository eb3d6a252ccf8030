"""Places that were recovered from shared pixels, in a file put together from several: components stay apart."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from sar_h5.derivation.patch_order import PatchOrder
from sar_h5.derivation.pieces import Piece
from sar_h5.schema import UNKNOWN


def join_components(pieces: Sequence[Piece], order: PatchOrder) -> npt.NDArray[np.int32] | None:
    """Return the component of each patch of a new file, int32 (n,); None where no file has any.

    Parts of one file keep their numbers, since components may lie in several of them; those of other files are counted
    on.
    """
    if all(piece.component is None for piece in pieces):
        return None
    first: dict[object, int] = {}
    following = 0
    columns = []
    owners = [piece.origin or number for number, piece in enumerate(pieces)]
    for owner, piece in zip(owners, pieces, strict=True):
        column = piece.component
        if column is None:
            columns.append(np.full(piece.found.count, UNKNOWN, np.int32))
            continue
        if owner not in first:
            first[owner] = following
            following += 1 + max(_highest(other) for name, other in zip(owners, pieces, strict=True) if name == owner)
        columns.append(np.where(column == UNKNOWN, UNKNOWN, column + first[owner]).astype(np.int32))
    return np.asarray(order.gather(columns), np.int32)


def _highest(piece: Piece) -> int:
    return UNKNOWN if piece.component is None else int(piece.component.max(initial=UNKNOWN))
