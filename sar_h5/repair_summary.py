"""What a repair has done, for people and for programs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class RepairSummary:
    """What a repair has done.

    Attributes:
        path: the file that was repaired.
        out: the new file; not there where nothing was broken.
        patches: how many patches the old file has.
        rebuilt: numbers, in the old file, of those that were made again.
        dropped: numbers, in the old file, of those that were dropped.
        content_digest: of the new file.
    """

    path: str
    out: str
    patches: int
    rebuilt: tuple[int, ...]
    dropped: tuple[int, ...]
    content_digest: str

    @property
    def is_written(self) -> bool:
        """Whether there was anything to repair, and so a new file."""
        return bool(self.rebuilt or self.dropped)

    def to_dict(self) -> dict[str, object]:
        """Return all values as plain data for JSON."""
        return {
            "path": self.path,
            "out": self.out if self.is_written else None,
            "patches": self.patches,
            "rebuilt": list(self.rebuilt),
            "dropped": list(self.dropped),
            "content_digest": self.content_digest,
        }

    def to_text(self) -> str:
        """Return the lines that the command prints."""
        if not self.is_written:
            return f"{self.path}: {self.patches:,} patches, none of them broken; nothing was written"
        left = self.patches - len(self.dropped)
        return (
            f"{self.out}: {left:,} patches, {len(self.rebuilt):,} of them made again, {len(self.dropped):,} dropped\n"
            f"  digest  {self.content_digest}"
        )
