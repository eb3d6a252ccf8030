"""Medians, spread and ratios of what a run of ``benchmarks.loading`` has measured. Pure arithmetic on its JSON."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.measurement import Speed

Case = tuple[str, str, int]
"""Row, state, workers."""

_SPEED_FIELDS = tuple(Speed.__dataclass_fields__)


@dataclass(frozen=True)
class Cell:
    """One row in one state with one number of workers, over all rounds.

    Attributes:
        speeds: patches per second by round.
        cpu_us_per_patch: median.
        peak_own_nbytes: largest.
    """

    speeds: Mapping[int, float]
    cpu_us_per_patch: float
    peak_own_nbytes: int

    @property
    def median(self) -> float:
        """Median of the patches per second."""
        return statistics.median(self.speeds.values())

    @property
    def least(self) -> float:
        """Smallest of the patches per second."""
        return min(self.speeds.values())

    @property
    def most(self) -> float:
        """Largest of the patches per second."""
        return max(self.speeds.values())


@dataclass(frozen=True)
class Line:
    """One row in one state.

    Attributes:
        name, title, kind, parallel: of the row.
        nbytes: on the disk, or None where it was not prepared.
        cells: by number of workers; empty where nothing could be measured.
        ratio: how many times as fast the package's best loader was, each at its best number of workers: the median of
            the ratios within a round; None where one of them is missing.
        reason: why nothing could be measured, or "".
    """

    name: str
    title: str
    kind: str
    parallel: str
    nbytes: int | None
    cells: Mapping[int, Cell]
    ratio: float | None
    reason: str

    @property
    def best(self) -> Cell | None:
        """The cell with the largest median."""
        return max(self.cells.values(), key=lambda cell: cell.median, default=None)


def summarize(results: Mapping[str, Any], state: str) -> list[Line]:
    """Return one line per row of a run, in the order of the run.

    Args:
        results: the JSON.
        state: "warm", "cold" or "limited".
    """
    cells = {row["name"]: _cells(results["measurements"], row["name"], state) for row in results["rows"]}
    own = [cell for row in results["rows"] if row["kind"] == "ours" for cell in cells[row["name"]].values()]
    reference = max(own, key=lambda cell: cell.median, default=None)
    lines = []
    for row in results["rows"]:
        best = max(cells[row["name"]].values(), key=lambda cell: cell.median, default=None)
        lines.append(
            Line(
                row["name"],
                row["title"],
                row["kind"],
                row["parallel"],
                row.get("nbytes"),
                cells[row["name"]],
                ratio_within_rounds(reference, best),
                "" if best else row.get("reason") or _reason(results["measurements"], row["name"], state),
            )
        )
    return lines


def ratio_within_rounds(faster: Cell | None, slower: Cell | None) -> float | None:
    """Return the median over rounds of one speed by the other; None where they share no round."""
    if faster is None or slower is None:
        return None
    ratios = [faster.speeds[number] / slower.speeds[number] for number in faster.speeds if number in slower.speeds]
    return statistics.median(ratios) if ratios else None


def _cells(measurements: Sequence[Mapping[str, Any]], row: str, state: str) -> dict[int, Cell]:
    found: dict[int, dict[int, Speed]] = {}
    for entry in measurements:
        if entry["row"] == row and entry["state"] == state and "reason" not in entry:
            speed = Speed(**{name: entry[name] for name in _SPEED_FIELDS})
            found.setdefault(entry["workers"], {})[entry["round"]] = speed
    return {
        workers: Cell(
            {number: speed.patches_per_s for number, speed in speeds.items()},
            statistics.median(speed.cpu_us_per_patch for speed in speeds.values()),
            max(speed.peak_own_nbytes for speed in speeds.values()),
        )
        for workers, speeds in sorted(found.items())
    }


def _reason(measurements: Sequence[Mapping[str, Any]], row: str, state: str) -> str:
    reasons = [entry["reason"] for entry in measurements if entry["row"] == row and entry["state"] == state]
    return reasons[-1] if reasons else "not measured"
