"""What came of extracting, merging or appending, for people and for programs."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from sar_h5.errors import BadSource
from sar_h5.schema import Layout
from sar_h5.shared_blocks.sharing import BlockSharing
from sar_h5.splits.leakage import count_noun


@dataclass(frozen=True)
class Addition:
    """What was appended to a file.

    Attributes:
        scenes, patches: how many were added.
        dropped: how many patches of these scenes the quality filter dropped.
        passed_over: how many scenes were passed over, since the file had them.
        converted: how many of the patches added were converted from sources; the others were taken from files.
    """

    scenes: int = 0
    patches: int = 0
    dropped: int = 0
    passed_over: int = 0
    converted: int = 0

    def __str__(self) -> str:
        parts = [f"{count_noun(self.patches, 'patch', 'patches')} from {count_noun(self.scenes, 'scene')}"]
        parts += [f"{self.dropped:,} dropped by the quality filter"] * bool(self.scenes)
        parts += [f"{count_noun(self.passed_over, 'scene')} passed over, being there already"] * bool(self.passed_over)
        return "; ".join(parts)


@dataclass(frozen=True)
class DerivationSummary:
    """A file that was put together from others.

    Attributes:
        path: the new file.
        sources: what its patches come from; where some were appended to a file, what those come from.
        scenes, patches: how many it holds.
        left_out: how many patches of these files were not taken.
        filtered: how many patches the quality filter dropped with other bounds.
        compressed: how many patches were compressed again; the others were copied as they are stored.
        vmin, vmax: bounds in dB.
        encoding: how values are stored.
        levels: how many codes there are, 0 for float32.
        codec: how chunks are compressed.
        nbytes: size of the file.
        seconds: wall time.
        content_digest: SHA-256 over the decoded content.
        layout: how patches are stored: "patches" or "blocks".
        blocks: what layout "blocks" comes to; None in layout "patches".
        added: what was appended; None where the file was not appended to.
        skipped: broken sources that were left out.
        notes: what else a user may want to know.
        warnings: what joined splits share without sharing pixels.
    """

    path: str
    sources: tuple[str, ...]
    scenes: int
    patches: int
    left_out: int
    filtered: int
    compressed: int
    vmin: float
    vmax: float
    encoding: str
    levels: int
    codec: str
    nbytes: int
    seconds: float
    content_digest: str
    layout: Layout = "patches"
    blocks: BlockSharing | None = None
    added: Addition | None = None
    skipped: tuple[BadSource, ...] = ()
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, object]:
        """Return all values as plain data for JSON."""
        return dataclasses.asdict(self) | {"blocks": None if self.blocks is None else self.blocks.to_dict()}

    def to_text(self) -> str:
        """Return the lines that the command prints."""
        codes = f", {self.levels:,} codes" if self.levels else ""
        tells_rest = self.left_out and self.added is None
        left_out = f"; {self.left_out:,} of {', '.join(self.sources)} left out" if tells_rest else ""
        lines = [
            f"{self.path}",
            f"  patches   {self.patches:,} from {self.scenes:,} scene{'s' if self.scenes != 1 else ''}{left_out}",
            *([] if self.added is None else [f"  added     {self.added}"]),
            f"  bounds    {self.vmin:.4f} to {self.vmax:.4f} dB",
            f"  encoding  {self.encoding}{codes}; {self.codec}",
            *([] if self.blocks is None else [f"  blocks    {self.blocks}"]),
            f"  size      {self.nbytes / 1e6:,.2f} MB",
            f"  speed     {self.seconds:.1f} s{self._tell_work()}",
            f"  digest    {self.content_digest}",
        ]
        if self.filtered:
            lines.insert(2, f"  dropped   {self.filtered:,} with too few pixels inside the new bounds")
        lines += [f"  skipped   {source}" for source in self.skipped]
        lines += [f"  note      {note}" for note in self.notes]
        return "\n".join(lines)

    def _tell_work(self) -> str:
        """Say what was done to patches; nothing where none was written."""
        if self.added is None:
            return f"; {self.compressed:,} patches compressed again"
        if not self.added.scenes:
            return ""
        converted = self.added.converted
        if self.compressed:  # converted ones may be among them
            return f"; patches converted: {converted:,}; compressed again: {self.compressed:,}"
        return f"; patches copied as stored: {self.patches - converted:,}; converted: {converted:,}"
