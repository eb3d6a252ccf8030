"""What a verification finds: problems with their places, and the report that lists them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

_MOST_LISTED = 5


class ProblemKind(StrEnum):
    """What sort of departure a problem is."""

    MISSING = "missing"
    WRONG_TYPE = "wrong type"
    WRONG_VALUE = "wrong value"
    CORRUPT = "corrupt"
    UNRESPONSIVE = "unresponsive"
    DIFFERENT = "different"
    SOURCE_CHANGED = "source changed"


@dataclass(frozen=True)
class Problem:
    """One departure from the format.

    Attributes:
        place: where in the file, such as "/patches[17]" or "/@vmin".
        kind: what sort.
        message: what was expected and what was found.
    """

    place: str
    kind: ProblemKind
    message: str

    def __str__(self) -> str:
        return f"{self.place}: {self.kind}: {self.message}"


@dataclass(frozen=True)
class VerifyReport:
    """What a verification found.

    Attributes:
        path: the file.
        patches: how many patches were checked.
        problems: every problem, in the order of the file; empty where it is sound.
        of_patches: how many patches the file has.
        seed: of the choice of these; None where they are all.
    """

    path: str
    patches: int
    problems: tuple[Problem, ...]
    of_patches: int = 0
    seed: int | None = None

    @property
    def ok(self) -> bool:
        """Whether there is no problem."""
        return not self.problems

    def to_dict(self) -> dict[str, object]:
        """Return all values as plain data for JSON."""
        problems = [{"place": item.place, "kind": str(item.kind), "message": item.message} for item in self.problems]
        counts = {"patches": self.patches, "of_patches": self.of_patches, "seed": self.seed}
        return {"path": self.path, "ok": self.ok, **counts, "problems": problems}

    def summarize(self) -> str:
        """Return how many problems there are, in how many patches, as one line."""
        count = len(self.problems)
        found = f"{count:,} problem{'s' if count > 1 else ''}" if count else "no problem"
        if self.seed is not None:
            checked = f"{self.patches:,} of {self.of_patches:,} patches checked (seed {self.seed})"
            return f"{self.path}: {checked}, {found}{'' if count else ' among them'}"
        return f"{self.path}: {found}" if count else f"{self.path}: {self.patches:,} patches, {found}"


def list_problems(problems: Sequence[Problem]) -> str:
    """Return how many problems there are, and the first few of them, for a message."""
    count = f"{len(problems):,} problem{'s' if len(problems) != 1 else ''}"
    return f"{count} ({shorten([str(problem) for problem in problems])})"


def shorten(items: Sequence[str]) -> str:
    """Return the first few items, and how many more there are."""
    more = f"; and {len(items) - _MOST_LISTED:,} more" if len(items) > _MOST_LISTED else ""
    return "; ".join(items[:_MOST_LISTED]) + more
