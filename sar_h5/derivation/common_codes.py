"""One table of values for the codes of several files, and how the codes of each become codes of that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sar_h5.derivation.pieces import Piece
from sar_h5.errors import FormatError
from sar_h5.palette import MAX_LEVELS, Palette, with_invalid
from sar_h5.radiometry import Bounds, Floats, scale_all_dn

LUT_TOLERANCE = 1e-6
"""How far tables of the same bounds may be apart: the last bits of a logarithm depend on the machine."""


@dataclass(frozen=True)
class CommonCodes:
    """How patches of several files are stored in one.

    Attributes:
        lut: float32 (K,), value of each code; None for float32 values.
        dtype: of what is stored.
        maps: for each file the new code of each of its codes, or None where they stay.
        remeasured: for each file, whether its codes stand for other values than before.
        notes: what a user may want to know.
    """

    lut: Floats | None
    dtype: np.dtype[Any]
    maps: tuple[npt.NDArray[Any] | None, ...]
    remeasured: tuple[bool, ...]
    notes: tuple[str, ...] = ()


def find_common_codes(pieces: Sequence[Piece], bounds: Bounds | None) -> CommonCodes:
    """Find a table for all files, which agree in everything but that.

    Args:
        pieces: of the files.
        bounds: the dB range that files of digital numbers are given, or None to leave it.

    Raises:
        FormatError: where no table holds the values of all of them.
    """
    first = pieces[0].found
    same = (None,) * len(pieces)
    if bounds is not None:
        lut = scale_all_dn(bounds)
        return CommonCodes(lut, first.dtype, same, tuple(_differs(piece, lut) for piece in pieces))
    if first.lut is None:
        return CommonCodes(None, first.dtype, same, (False,) * len(pieces))
    if first.from_dn:
        return _keep_first(pieces, first.lut)
    return _unite(pieces)


def _differs(piece: Piece, lut: Floats) -> bool:
    return piece.found.lut is None or piece.found.lut.tobytes() != lut.tobytes()


def _keep_first(pieces: Sequence[Piece], lut: Floats) -> CommonCodes:
    """Take the first table for digital numbers, whose codes follow from the bounds on any machine."""
    notes = []
    for piece in pieces[1:]:
        theirs = piece.found.lut
        if theirs is None or len(theirs) != len(lut) or np.abs(theirs - lut).max() > LUT_TOLERANCE:
            raise FormatError(
                f"{piece.name}: expected the table /lut of {pieces[0].name}, since both have the same bounds, found "
                "another one; `sar-h5 verify --source` tells which one is right"
            )
        if _differs(piece, lut):
            notes.append(
                f"the values of {piece.name} differ from those of {pieces[0].name} in the last bit, as logarithms of "
                "different machines do; those of the first file were kept"
            )
    remeasured = tuple(_differs(piece, lut) for piece in pieces)
    return CommonCodes(lut, pieces[0].found.dtype, (None,) * len(pieces), remeasured, tuple(notes))


def _unite(pieces: Sequence[Piece]) -> CommonCodes:
    """Take all values of all tables; codes are their places, so that they keep the order of the values."""
    invalid = pieces[0].found.settings.invalid_code is not None
    tables = [_table(piece)[int(invalid) :] for piece in pieces]
    # As bit patterns: they are in [0, 1], where that is the same order.
    levels = np.unique(np.concatenate(tables).view(np.uint32)).view(np.float32)
    if len(levels) + invalid > MAX_LEVELS:
        raise FormatError(
            f"together the files have {len(levels):,} distinct values, more than the {MAX_LEVELS:,} that codes tell "
            "apart; convert them again with --encoding float32 and merge these"
        )
    palette = with_invalid(levels) if invalid else Palette(levels)
    maps: list[npt.NDArray[Any] | None] = []
    for piece, table in zip(pieces, tables, strict=True):
        codes = np.searchsorted(levels.view(np.uint32), table.view(np.uint32)) + int(invalid)
        codes = np.concatenate([np.zeros(int(invalid), np.int64), codes]).astype(palette.dtype)
        stays = piece.found.dtype == palette.dtype and np.array_equal(codes, np.arange(len(codes)))
        maps.append(None if stays else codes)
    changed = sum(codes is not None for codes in maps)
    note = f"tables of values differ: the codes of {changed} files were written anew, their values stay"
    return CommonCodes(
        palette.lut, np.dtype(palette.dtype), tuple(maps), (False,) * len(pieces), (note,) if changed else ()
    )


def _table(piece: Piece) -> Floats:
    if piece.found.lut is None:
        raise TypeError("files of codes have a table")
    return np.ascontiguousarray(piece.found.lut)
