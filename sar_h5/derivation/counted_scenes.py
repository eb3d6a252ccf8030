"""Whose pixels a file's histogram counts and whose gave its bounds, where files are put together or taken apart.

The histogram counts the scenes that gave the bounds; where bounds were given, those of ``histogram_scenes``, or all.
Of several files:

- Where the bounds of some are percentiles, their histograms count, and no others: the bounds of the others were taken
  from them. ``bounds_scenes`` of the new file lists the scenes of all of these.
- Where none are, the histograms of all files count.
- No scene counts twice: of histograms that share a scene, as those of files that were extracted from one file do, the
  one of most scenes counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sar_h5 import schema
from sar_h5.derivation.pieces import Piece
from sar_h5.opening import name_damage
from sar_h5.splits.bounds_scenes import read_bounds_scenes, read_names
from sar_h5.survey import ALL_SCENES

Counts = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class CountedScenes:
    """The histogram and the bounds of a file, with the scenes behind them.

    Attributes:
        histogram: uint64 (65536,), or None where digital numbers are not known.
        counted: names of the scenes that it counts.
        bounds: names of the scenes that gave the bounds; none where bounds were given.
        origin: how the bounds came about.
    """

    histogram: Counts | None
    counted: tuple[str, ...]
    bounds: tuple[str, ...]
    origin: str

    def to_attrs(self, names: Sequence[str]) -> dict[str, object | None]:
        """Return the attributes of a file with scenes of these names; None for those that it does not have."""
        lists = {
            schema.BOUNDS_SCENES: self.bounds,
            schema.HISTOGRAM_SCENES: (
                self.counted
                if self.histogram is not None and set(self.counted) not in (set(self.bounds), set(names))
                else ()
            ),
        }
        listed = {name: schema.text_array(scenes) if scenes else None for name, scenes in lists.items()}
        return {**listed, "bounds_origin": self._tell_origin(names)}

    def _tell_origin(self, names: Sequence[str]) -> str:
        """Say of which scenes bounds are percentiles, as a conversion does: of all, or of those that are listed."""
        listed = f"{len(self.bounds):,} scenes ({schema.BOUNDS_SCENES})"
        method = self.origin.removesuffix(ALL_SCENES).removesuffix(listed)
        if not self.bounds or method == self.origin:
            return self.origin
        return method + (ALL_SCENES if set(self.bounds) == set(names) else listed)


def read_counted_scenes(piece: Piece) -> CountedScenes:
    """Read which scenes the histogram of a file counts."""
    with name_damage(piece.path):
        names = piece.scene_names
        bounds = read_bounds_scenes(piece.file, names)
        listed = schema.HISTOGRAM_SCENES in piece.file.attrs
        counted = read_names(piece.file, schema.HISTOGRAM_SCENES) if listed else bounds or names
        histogram = piece.file[schema.HISTOGRAM][:] if piece.found.has_histogram else None
        origin = str(piece.file.attrs["bounds_origin"])
    return CountedScenes(histogram, tuple(counted), tuple(bounds), origin)


def join_counted_scenes(files: Sequence[CountedScenes]) -> CountedScenes:
    """Put the histograms and the scenes of the bounds together; see the module for the rule."""
    givers = [file for file in files if file.bounds] or list(files)
    counted: dict[str, None] = {}
    histogram: Counts | None = None
    for file in sorted(givers, key=lambda file: -len(file.counted)):
        if file.histogram is not None and not counted.keys() & set(file.counted):
            histogram = file.histogram.copy() if histogram is None else histogram + file.histogram
            counted |= dict.fromkeys(file.counted)
    return CountedScenes(
        histogram,
        tuple(dict.fromkeys(name for file in givers for name in file.counted if name in counted)),
        tuple(dict.fromkeys(name for file in givers for name in file.bounds)),
        "; ".join(dict.fromkeys(file.origin for file in givers)),
    )


def give_bounds(scenes: CountedScenes, origin: str) -> CountedScenes:
    """Return the same histogram for a file whose bounds are given."""
    return CountedScenes(scenes.histogram, scenes.counted, (), origin)
