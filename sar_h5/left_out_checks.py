"""Is what a file says about patches that were left out of it sound: by extracting, by a repair?"""

from __future__ import annotations

import h5py
import numpy as np
import numpy.typing as npt

from sar_h5 import schema
from sar_h5.column_checks import ColumnChecks
from sar_h5.verify_report import Problem, ProblemKind


class LeftOutChecks:
    """Reads the record of what was left out of an open file, and adds what is wrong with it to a list.

    Args:
        file: the file.
        columns: its columns.
        problems: where problems are added.
    """

    def __init__(self, file: h5py.File, columns: ColumnChecks, problems: list[Problem]) -> None:
        self._file, self._columns, self._problems = file, columns, problems

    def read_positions(
        self, scene: npt.NDArray[np.int32], counts: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.int32] | None, npt.NDArray[np.int64]]:
        """Return the position of each patch in its scene, and how many were left out of each; see ``schema``."""
        nothing = np.zeros(len(counts), np.int64)
        places = {
            f"/{group}/{column.name}": (column, length)
            for group, column, length in (
                (schema.INDEX, schema.POSITION_COLUMN, len(scene)),
                (schema.SCENES, schema.LEFT_OUT_COLUMN, len(counts)),
            )
        }
        if not any(place in self._file for place in places):
            return None, nothing
        found = [self._columns.read(place, column) for place, (column, _) in places.items()]
        for (place, (_, length)), values in zip(places.items(), found, strict=True):
            if values is not None and len(values) != length:
                self._add(place, ProblemKind.WRONG_TYPE, f"expected {length} rows, found {len(values)}")
                return None, nothing
        position, left_out = found
        if position is None or left_out is None:
            return None, nothing
        known = left_out[scene] >= 0
        within = (position >= 0) & (position < (counts + left_out)[scene])
        rising = np.ones(len(scene), np.bool_)
        rising[1:] = (np.diff(position) > 0) | (np.diff(scene) > 0)
        wrong = np.flatnonzero(np.where(known, ~(within & rising), position != schema.UNKNOWN))
        if len(wrong) or left_out.min(initial=0) < schema.UNKNOWN:
            number = int(wrong[0]) if len(wrong) else 0
            message = (
                "expected positions that rise in each scene, below patch_count + left_out_count, or -1 in all of it"
            )
            self._add(f"/{schema.INDEX}/{schema.POSITION_COLUMN.name}[{number}]", ProblemKind.WRONG_VALUE, message)
            return None, nothing
        return position, left_out

    def read_scene_positions(self, count: int) -> npt.NDArray[np.int32] | None:
        """Return the number of each of ``count`` scenes in the file that this one is a part of; None where none."""
        place = f"/{schema.SCENES}/{schema.SCENE_POSITION_COLUMN.name}"
        if schema.EXTRACTED_FROM not in self._file.attrs and place not in self._file:
            return None
        positions = self._columns.read(place, schema.SCENE_POSITION_COLUMN)
        if positions is not None and (len(positions) != count or positions.min(initial=0) < 0):
            self._add(
                place, ProblemKind.WRONG_VALUE, f"expected {count} positions of at least 0, found {len(positions)}"
            )
            return None
        return positions

    def read_scene_count(self) -> int:
        """Return how many scenes of the file that this one is a part of are not in it."""
        value, place = self._file.attrs.get(schema.LEFT_OUT_SCENES), f"/@{schema.LEFT_OUT_SCENES}"
        if (value is not None) != (schema.EXTRACTED_FROM in self._file.attrs):
            self._add(place, ProblemKind.MISSING, f"expected it and {schema.EXTRACTED_FROM}, found one of the two")
        elif value is not None and not (isinstance(value, np.int64) and value >= 0):
            self._add(place, ProblemKind.WRONG_VALUE, f"expected an integer of at least 0, found {value!r:.40}")
        elif value is not None:
            return int(value)
        return 0

    def _add(self, place: str, kind: ProblemKind, message: str) -> None:
        self._problems.append(Problem(place, kind, message))
