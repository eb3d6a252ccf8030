"""What splits may not share, and what users should know that they share."""

from __future__ import annotations

import h5py
import numpy as np
import numpy.typing as npt

from sar_h5.errors import FormatError
from sar_h5.splits.bounds_scenes import scenes_outside_train, warn_of_bounds
from sar_h5.splits.leakage import SplitOverlap, SplitSource, count_noun
from sar_h5.splits.methods import BlockSplit, DateSplit, PatchSplit, SceneSplit


def check_leaks(overlap: SplitOverlap, advice: str) -> None:
    """Refuse splits that leak pixels without having been forced to.

    Args:
        overlap: what they share.
        advice: what to do about it.

    Raises:
        FormatError: where they do.
    """
    forced = isinstance(overlap.method, PatchSplit) and overlap.method.forced
    if (overlap.pixels or overlap.unknown) and not forced:
        raise FormatError(f"{overlap.path}: splits {overlap.name!r} would share {overlap.describe_overlap()}; {advice}")


def describe_leaks(
    file: h5py.File, source: SplitSource, codes: npt.NDArray[np.uint8], overlap: SplitOverlap
) -> list[str]:
    """Say what splits of an open file share without being refused: forced leaks, ground, and bounds.

    Args:
        file: the file.
        source: where its patches and scenes lie.
        codes: uint8 (N,), the split of each patch.
        overlap: what the splits share.
    """
    notes, place = [], f"{source.path}: splits {overlap.name!r}"
    if overlap.pixels or overlap.unknown:
        notes.append(
            f"{place}: forced splits leak: {overlap.describe_overlap()}; scores on val and test will be too good"
        )
    elif overlap.scene_pairs > 0:
        note = (
            f"{place}: {count_noun(overlap.scene_pairs, 'pair')} of scenes of different splits cover the same ground, "
            "as repeat passes do, so that training knows places of val and test, though not their pixels"
        )
        if not isinstance(overlap.method, BlockSplit):
            note += "; blocks of co-registered rasters (--by block) keep places apart"
        notes.append(note)
    if isinstance(overlap.method, BlockSplit) and (loose := source.places.loose_ends):
        notes.append(
            f"{place}: places were recovered from shared pixels, and {count_noun(loose, 'part')} of scenes hang "
            "together with no other: no pixel is shared, but the guard between blocks does not hold between them"
        )
    if outside := scenes_outside_train(file, source.places, codes):
        whole = isinstance(overlap.method, (SceneSplit, DateSplit))
        notes.append(warn_of_bounds(source.path, overlap.name, outside, whole=whole))
    return notes
