"""Is a scene that two files name the same scene? By all that they say of it but where it lay and what they hold."""

from __future__ import annotations

import numpy as np

from sar_h5 import schema
from sar_h5.derivation.pieces import Piece
from sar_h5.errors import SourceError
from sar_h5.sources.scene import SourceFile

_OWN = frozenset({"source_path", "patch_start", "patch_count", "gcp_start"})
"""What may differ: the folder that the source lay in, and what is counted in each file on its own."""


def find_difference(one: Piece, scene: int, other: Piece, other_scene: int) -> str | None:
    """Say in which column a scene of one file differs from a scene of another; None where it is the same.

    Args:
        one: a file.
        scene: number of the scene there.
        other: another file.
        other_scene: number of the scene there.
    """
    for column in schema.SCENE_COLUMNS:
        if column.name in _OWN:
            continue
        first, second = one.found.scenes[column.name][scene], other.found.scenes[column.name][other_scene]
        if not np.array_equal(first, second, equal_nan=column.dtype.startswith("<f")):
            advice = "; they were given other bounds: join them first, then --vmin and --vmax" * (
                column.name == "dropped_count"
            )
            return f"{column.name} is {first!s:.80} and {second!s:.80}{advice}"
    if not np.array_equal(one.scene_gcps(scene), other.scene_gcps(other_scene), equal_nan=True):
        return "its ground control points differ"
    return None


def stored_source(piece: Piece, scene: int) -> SourceFile:
    """Return size and checksum of the file that a scene was made from."""
    scenes = piece.found.scenes
    return SourceFile(int(scenes["source_size"][scene]), int(scenes["source_checksum"][scene]))


def check_same_source(piece: Piece, name: str, found: SourceFile, where: str) -> None:
    """Refuse a scene of the name of one that a file has, made from something else.

    Args:
        piece: the file.
        name: of the scene.
        found: size and checksum of what the other scene is made from.
        where: that one's source or file, for the message.

    Raises:
        SourceError: where they differ.
    """
    expected = stored_source(piece, piece.scene_names.index(name))
    if found != expected:
        raise SourceError(
            f"{where}: scene {name} is in {piece.name}, but made from another source file: expected "
            f"{expected.nbytes:,} bytes with checksum {expected.crc32:08x}, found {found.nbytes:,} with "
            f"{found.crc32:08x}; leave it out of the sources, or the old one out of the file with `sar-h5 extract "
            "--where \"scene_name != '...'\"`; nothing was changed"
        )
