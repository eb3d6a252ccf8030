"""Is a scene that two files name the same scene? By all that they say of it but where it lay and what they hold."""

from __future__ import annotations

import numpy as np

from sar_h5 import schema
from sar_h5.derivation.pieces import Piece

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
