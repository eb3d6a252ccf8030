"""What a verification finds: problems with their places, and the report that lists them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


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
    """

    path: str
    patches: int
    problems: tuple[Problem, ...]

    @property
    def ok(self) -> bool:
        """Whether there is no problem."""
        return not self.problems

    def to_dict(self) -> dict[str, object]:
        """Return all values as plain data for JSON."""
        problems = [{"place": item.place, "kind": str(item.kind), "message": item.message} for item in self.problems]
        return {"path": self.path, "ok": self.ok, "patches": self.patches, "problems": problems}
