"""What users have put into a file beside what the format knows, carried along: rows go with their patch or scene."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from sar_h5.derivation.attributes import copy_attributes
from sar_h5.derivation.patch_order import PatchOrder
from sar_h5.derivation.pieces import Piece
from sar_h5.opening import name_damage

_SLAB_NBYTES = 8 << 20


@dataclass(frozen=True)
class Rows:
    """Where the rows of a new table come from.

    Attributes:
        piece: integers (n,), which piece.
        number: integers (n,), which row of its table.
        counts: how many rows the tables of each piece have.
    """

    piece: npt.NDArray[Any]
    number: npt.NDArray[Any]
    counts: tuple[int, ...]


def patch_rows(pieces: Sequence[Piece], order: PatchOrder) -> Rows:
    """Describe tables with a row per patch."""
    return Rows(order.piece, order.number, tuple(piece.found.count for piece in pieces))


def scene_rows(pieces: Sequence[Piece], order: PatchOrder) -> Rows:
    """Describe tables with a row per scene."""
    first = np.array([parts[0] for parts in order.parts], dtype=np.int64).reshape(-1, 2)
    return Rows(first[:, 0], first[:, 1], tuple(len(piece.found.scenes["name"]) for piece in pieces))


def carry_along(
    pieces: Sequence[Piece], new: h5py.Group, rows: Rows, is_known: Callable[[str], bool], group: str = "/"
) -> list[str]:
    """Copy everything of a group that is not there yet and not known to the format.

    Datasets with a row per patch or scene go with these; they must be in all files, in one type. Everything else comes
    from the first file that has it.

    Args:
        pieces: what the new file is put together from.
        new: the group in the new file.
        rows: those of the tables in this group.
        is_known: whether the format knows something by this name.
        group: path of the group in the old files.

    Returns:
        The names of what had to be left behind.
    """
    left_behind = []
    for name in dict.fromkeys(name for piece in pieces for name in piece.file[group]):
        if is_known(name) or name in new:
            continue
        items = [piece.file[group].get(name) for piece in pieces]
        tables = [_is_table(item, count) for item, count in zip(items, rows.counts, strict=True)]
        if not any(tables):
            owner = next(piece for piece, item in zip(pieces, items, strict=True) if item is not None)
            with name_damage(owner.path):
                owner.file[group].copy(name, new)
        elif all(tables) and len({(item.dtype, item.shape[1:]) for item in items}) == 1:
            dataset = new.create_dataset(name, shape=(len(rows.number), *items[0].shape[1:]), dtype=items[0].dtype)
            copy_attributes(items[0], dataset)
            for start, values in _slabs(pieces, items, rows):
                dataset[start : start + len(values)] = values
        else:
            left_behind.append(f"{group.rstrip('/')}/{name}")
    return left_behind


def _is_table(item: object, count: int) -> bool:
    return isinstance(item, h5py.Dataset) and item.shape is not None and item.shape[:1] == (count,)


def _slabs(
    pieces: Sequence[Piece], items: Sequence[h5py.Dataset], rows: Rows
) -> Iterator[tuple[int, npt.NDArray[Any]]]:
    nbytes = items[0].dtype.itemsize * int(np.prod(items[0].shape[1:]))
    step = max(1, _SLAB_NBYTES // max(nbytes, 1))
    for start in range(0, len(rows.number), step):
        piece, number = rows.piece[start : start + step], rows.number[start : start + step]
        values = np.empty((len(number), *items[0].shape[1:]), items[0].dtype)
        for which in np.unique(piece).tolist():
            here = number[piece == which]
            first = int(here.min())
            with name_damage(pieces[which].path):
                values[piece == which] = items[which][first : int(here.max()) + 1][here - first]
        yield start, values
