"""Where blocks of a new file may be equal though nothing says so: in files that are joined, in patches that are cut."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sar_h5.derivation.patch_order import PatchOrder
from sar_h5.derivation.pieces import Piece
from sar_h5.derivation.pixel_form import PixelForm
from sar_h5.schema import UNKNOWN

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class BlockMatching:
    """How equal blocks are found.

    Attributes:
        by_place: whether blocks are the same that lie at the same place of a scene, as a conversion of rasters has it;
            else those that hold the same, in whatever scene, as one of shards has it.
        scenes: bool (S,), in which scenes of the new file. In others, only blocks with one number in their file are.
    """

    by_place: bool
    scenes: Mask


def plan_matching(
    pieces: Sequence[Piece], order: PatchOrder, form: PixelForm, remade: npt.NDArray[np.int64] | None = None
) -> BlockMatching:
    """Decide how equal blocks are found.

    Args:
        pieces: the files.
        order: of the new file's patches.
        form: how the new file stores pixels.
        remade: numbers of its scenes that have patches that come from elsewhere than from the pieces.
    """
    scenes = np.zeros(len(order.parts), np.bool_)
    if form.settings.layout == "patches":
        return BlockMatching(by_place=False, scenes=scenes)
    cut = [not form.is_cut_like(piece) for piece in pieces]
    for number, parts in enumerate(order.parts):
        scenes[number] = len(parts) > 1 or cut[parts[0][0]]
    if remade is not None:
        scenes[remade] = True
    by_place = _come_row_by_row(pieces, order)
    if not by_place:
        scenes[:] = len(pieces) > 1 or scenes.any()
    return BlockMatching(by_place, scenes)


def _come_row_by_row(pieces: Sequence[Piece], order: PatchOrder) -> bool:
    """Whether all places are known, and in the order that a search by place in little memory needs."""
    if any(piece.component is not None for piece in pieces):
        return False  # recovered: places follow from content, where that tells
    row, col = (order.gather([piece.found.index[axis] for piece in pieces]) for axis in ("row", "col"))
    rises = (np.diff(row) >= 0) | (np.diff(order.scene) > 0)
    return bool((row != UNKNOWN).all() and (col != UNKNOWN).all() and rises.all())
