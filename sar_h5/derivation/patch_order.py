"""In which order the patches of several files make up one: scene by scene, parts of a scene put together again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from sar_h5.derivation.pieces import Piece
from sar_h5.derivation.same_scenes import find_difference
from sar_h5.errors import FormatError
from sar_h5.schema import UNKNOWN

Numbers = npt.NDArray[np.int64]
Part = tuple[int, int]
"""Number of a piece, and of a scene in its file."""


@dataclass(frozen=True)
class Origin:
    """A file with more patches or scenes.

    Attributes:
        digest: of its content.
        positions: int32 (S,), the positions of the new file's scenes there.
        scenes: how many scenes it has.
    """

    digest: str
    positions: npt.NDArray[np.int32]
    scenes: int


@dataclass(frozen=True)
class PatchOrder:
    """The patches and scenes of a new file, and where each comes from.

    Attributes:
        parts: of each scene, in the order of the pieces.
        piece: int32 (n,), which piece each patch comes from.
        number: int64 (n,), its number there.
        scene: int32 (n,), the number of its scene in the new file.
        position: int32 (n,), its position among the patches that the conversion kept of its scene, -1 where unknown.
        left_out: int64 (S,), how many of those are not there; -1 where unknown.
        filtered: int64 (S,), how many more than in the first part's file the quality filter has dropped.
        origin: of what file all pieces are parts; None where they are not.
    """

    parts: tuple[tuple[Part, ...], ...]
    piece: npt.NDArray[np.int32]
    number: Numbers
    scene: npt.NDArray[np.int32]
    position: npt.NDArray[np.int32]
    left_out: Numbers
    filtered: Numbers
    origin: Origin | None

    @property
    def counts(self) -> Numbers:
        """How many patches each scene has, int64 (S,)."""
        return np.bincount(self.scene, minlength=len(self.parts)).astype(np.int64)

    def gather(self, columns: Sequence[npt.NDArray[Any]]) -> npt.NDArray[Any]:
        """Return a column of the new file's patches from those of all pieces' files."""
        if len(columns) == 1:
            only: npt.NDArray[Any] = columns[0][self.number]
            return only
        values = np.empty((len(self.number), *columns[0].shape[1:]), columns[0].dtype)
        for piece, column in enumerate(columns):
            here = self.piece == piece
            values[here] = column[self.number[here]]
        return values

    def gather_scenes(self, columns: Sequence[npt.NDArray[Any]]) -> npt.NDArray[Any]:
        """Return a column of the new file's scenes, each from its first part, from those of all pieces' files."""
        rows = [columns[piece][scene] for (piece, scene), *_ in self.parts]
        return np.array(rows, columns[0].dtype).reshape(len(rows), *columns[0].shape[1:])

    def filter(self, kept: npt.NDArray[np.bool_], dropped_before: Numbers) -> PatchOrder:
        """Leave out the patches that the quality filter drops under other bounds, as the conversion would have.

        Positions count what a conversion with these bounds keeps. That is known where every patch of the scene's grid
        has been looked at: where the old bounds had dropped none, and none was left out since.

        Args:
            kept: bool (n,).
            dropped_before: int64 (S,), how many patches the conversion had dropped with the old bounds.
        """
        fallen = np.bincount(self.scene[~kept], minlength=len(self.parts)).astype(np.int64)
        complete = (self.left_out == 0) & (dropped_before == 0)
        scene = self.scene[kept]
        counts = np.bincount(scene, minlength=len(self.parts))
        within = np.arange(len(scene)) - np.repeat(np.cumsum(counts) - counts, counts)
        return replace(
            self,
            piece=self.piece[kept],
            number=self.number[kept],
            scene=scene,
            position=np.where(complete[scene], within, UNKNOWN).astype(np.int32),
            left_out=np.where(complete, 0, UNKNOWN).astype(np.int64),
            filtered=self.filtered + fallen,
        )


def order_patches(pieces: Sequence[Piece]) -> PatchOrder:
    """Put the patches of pieces in the order of one file.

    Scenes come in the order of the pieces; where all pieces were extracted from one file, in the order of that. Parts
    of one scene are put together row by row, or by their position in the scene where places are unknown.

    Raises:
        FormatError: where scenes of one name are not the same, or have a patch in common.
    """
    parts: dict[str, list[Part]] = {}
    for number, piece in enumerate(pieces):
        names = piece.scene_names
        for scene in piece.scenes:
            parts.setdefault(names[scene], []).append((number, scene))
    ordered = list(parts.values())
    origins = {(piece.origin, piece.origin_scenes) for piece in pieces}
    origin: Origin | None = None
    if len(origins) == 1 and pieces[0].origin:
        ordered.sort(key=lambda some: pieces[some[0][0]].scene_position(some[0][1]))
        positions = [pieces[piece].scene_position(scene) for (piece, scene), *_ in ordered]
        origin = Origin(pieces[0].origin, np.array(positions, dtype=np.int32), pieces[0].origin_scenes)
    scenes = [_join_scene(pieces, some) for some in ordered]
    counts = [len(scene.number) for scene in scenes]
    return PatchOrder(
        parts=tuple(map(tuple, ordered)),
        piece=_concatenate([scene.piece for scene in scenes], np.int32),
        number=_concatenate([scene.number for scene in scenes], np.int64),
        scene=np.repeat(np.arange(len(scenes), dtype=np.int32), counts),
        position=_concatenate([scene.position for scene in scenes], np.int32),
        left_out=np.array([scene.left_out for scene in scenes], dtype=np.int64),
        filtered=np.zeros(len(scenes), np.int64),
        origin=origin,
    )


@dataclass(frozen=True)
class _JoinedScene:
    piece: npt.NDArray[np.int64]
    number: Numbers
    position: Numbers
    left_out: int


def _join_scene(pieces: Sequence[Piece], parts: Sequence[Part]) -> _JoinedScene:
    _check_same(pieces, parts)
    numbers = [_kept_of(pieces[piece], scene) for piece, scene in parts]
    piece = np.repeat(np.array([piece for piece, _ in parts], dtype=np.int64), [len(some) for some in numbers])
    number = _concatenate(numbers, np.int64)
    position = _concatenate(
        [
            pieces[piece].found.positions(scene)[some - pieces[piece].found.rows_of(scene).start]
            for (piece, scene), some in zip(parts, numbers, strict=True)
        ],
        np.int64,
    )
    totals = [_total(pieces[piece], scene) for piece, scene in parts]
    if len(parts) > 1:
        order = _order_joined(pieces, parts, piece, number, position)
        piece, number, position = piece[order], number[order], position[order]
    if UNKNOWN in totals:
        return _JoinedScene(piece, number, np.full_like(position, UNKNOWN), UNKNOWN)
    return _JoinedScene(piece, number, position, totals[0] - len(number))


def _kept_of(piece: Piece, scene: int) -> Numbers:
    rows = piece.found.rows_of(scene)
    first, last = np.searchsorted(piece.kept, (rows.start, rows.stop))
    return piece.kept[first:last]


def _total(piece: Piece, scene: int) -> int:
    """Return how many patches the conversion kept of a scene; -1 where unknown."""
    left_out = int(piece.found.left_out[scene])
    return UNKNOWN if left_out < 0 else int(piece.found.scenes["patch_count"][scene]) + left_out


def _check_same(pieces: Sequence[Piece], parts: Sequence[Part]) -> None:
    first, scene = pieces[parts[0][0]], parts[0][1]
    for piece, other in parts[1:]:
        totals = {_total(first, scene), _total(pieces[piece], other)} - {UNKNOWN}
        reason = find_difference(first, scene, pieces[piece], other)
        if reason is None and len(totals) > 1:
            reason = f"the conversion kept {' and '.join(map(str, sorted(totals)))} patches of it"
        if reason is not None:
            raise FormatError(
                f"scene {first.scene_names[scene]}: is in {first.name} and {pieces[piece].name}, and not the same in "
                f"both: {reason}; leave one out with `sar-h5 extract --where \"scene_name != '...'\"`, or convert both "
                "sources at once"
            )


def _order_joined(
    pieces: Sequence[Piece], parts: Sequence[Part], piece: Numbers, number: Numbers, position: Numbers
) -> Numbers:
    """Return the order of patches that several files have of one scene, all of them different."""
    row, col = (
        _concatenate([pieces[p].found.index[axis][number[piece == p]] for p, _ in parts], np.int64)
        for axis in ("row", "col")
    )
    recovered = any(pieces[p].component is not None for p, _ in parts)
    if recovered or (row == UNKNOWN).any() or (col == UNKNOWN).any():
        row, col = np.zeros_like(position), position
    order = np.lexsort((col, row)).astype(np.int64)
    repeated = np.flatnonzero((np.diff(row[order]) == 0) & (np.diff(col[order]) == 0))
    if len(repeated):
        one, other = order[repeated[0]], order[repeated[0] + 1]
        name = pieces[parts[0][0]].scene_names[parts[0][1]]
        raise FormatError(
            f"scene {name}: {len(repeated):,} of its patches are there twice; the first is number {number[one]} of "
            f"{pieces[piece[one]].name} and number {number[other]} of {pieces[piece[other]].name}; name each file "
            "once, or take the scene out of one with `sar-h5 extract --where \"scene_name != '...'\"`"
        )
    return order


def _concatenate(arrays: Sequence[npt.NDArray[Any]], dtype: type[np.generic]) -> npt.NDArray[Any]:
    return np.concatenate([np.zeros(0, dtype), *arrays]).astype(dtype)
