"""What a split did, for people and programs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sar_h5.splits.leakage import SplitOverlap, count_noun
from sar_h5.splits.methods import SplitMethod


@dataclass(frozen=True)
class SplitReport:
    """What a split did.

    Attributes:
        name: of the splits.
        method: how they were made, with nothing left open.
        what: what was given to splits as a whole: "scenes", "days", "blocks" or "patches".
        groups: how many of these each split got; empty for patches.
        files: what the splits hold and share, file by file.
        warnings: what may leak without being the same pixels.
    """

    name: str
    method: SplitMethod
    what: str
    groups: Mapping[str, int]
    files: tuple[SplitOverlap, ...]
    warnings: tuple[str, ...]

    def to_dict(self) -> dict[str, object]:
        """Return all values as plain data for JSON."""
        attrs = {
            name: getattr(value, "tolist", lambda value=value: value)()
            for name, value in self.method.to_attrs().items()
        }
        return {
            "name": self.name,
            "method": attrs,
            "groups": {"of": self.what, **self.groups},
            "files": [file.to_dict() for file in self.files],
            "warnings": list(self.warnings),
        }

    def to_text(self) -> str:
        """Return the lines that the command prints."""
        return "\n\n".join(self._describe(file) for file in self.files)

    def _describe(self, file: SplitOverlap) -> str:
        total = max(sum(file.patches.values()), 1)
        lines = [f"{file.path}: splits {self.name!r} {self.method}"]
        for split, count in file.patches.items():
            lines.append(
                f"  {split:<9} {count:>11,} patches {count / total:>6.1%}{self._describe_groups(split, count)}"
            )
        lines.append(f"  overlap   {file.describe_overlap()}")
        return "\n".join(lines)

    def _describe_groups(self, split: str, count: int) -> str:
        if split in self.groups:
            return f"  {count_noun(self.groups[split], self.what[:-1])}"
        return "  in the guard bands between blocks" if count and self.what == "blocks" else ""
