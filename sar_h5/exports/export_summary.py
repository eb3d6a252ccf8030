"""What an export has made, for people and programs."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass


@dataclass(frozen=True)
class ExportSummary:
    """What was exported.

    Attributes:
        kind: "shards" or "geotiff".
        path: the directory.
        source: the file that it was made from.
        content_digest: the digest of that file.
        polarization: of all patches.
        pixels: what they hold: "values" in [0, 1], or "dn".
        scenes: how many of them have patches in it.
        patches: how many there are.
        of_patches: how many the file has.
        files: how many files hold them.
        nbytes: size of all files.
        notes: what a user may want to know.
    """

    kind: str
    path: str
    source: str
    content_digest: str
    polarization: str
    pixels: str
    scenes: int
    patches: int
    of_patches: int
    files: int
    nbytes: int
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, object]:
        """Return all values as plain data for JSON."""
        return dataclasses.asdict(self)

    def to_text(self) -> str:
        """Return the lines that the command prints."""
        first = (
            f"{self.path}: {self.patches:,} of {self.of_patches:,} patches of {self.source} ({self.scenes:,} "
            f"scene{'s' if self.scenes != 1 else ''}) as {self.pixels} in {self.files:,} "
            f"file{'s' if self.files != 1 else ''}, {self.nbytes / 1e6:,.2f} MB"
        )
        return "\n".join([first, *(f"  {note}" for note in self.notes)])
