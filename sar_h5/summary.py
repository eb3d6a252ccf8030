"""What a conversion did, for people and for programs."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass

from sar_h5.errors import BadSource
from sar_h5.recovered_count import RecoveredCount
from sar_h5.schema import Layout
from sar_h5.shared_blocks.sharing import BlockSharing


@dataclass(frozen=True)
class FileSummary:
    """One file that a conversion made.

    Attributes:
        path: the file.
        polarization: its polarization.
        scenes: how many scenes it holds.
        patches: how many patches were kept.
        dropped: how many grid positions or shard patches the quality filter dropped.
        min_valid: the filter's least valid fraction.
        valid_measure: what the fraction counts: "range" or "pixels".
        patch_size, stride: in pixels; stride -1 where unknown.
        vmin, vmax: bounds in dB.
        bounds_origin: how they came about.
        encoding: how values are stored, and why, where another was asked for.
        levels: how many codes there are, 0 for float32.
        codec: how chunks are compressed.
        nbytes: size of the file.
        float32_nbytes: size of its patches as float32.
        source_nbytes: size of the source's pixels, uncompressed.
        seconds: wall time of this run; 0 for a file that an earlier run had finished.
        content_digest: SHA-256 over the decoded content.
        layout: how patches are stored: "patches" or "blocks".
        blocks: what layout "blocks" comes to; None in layout "patches".
        recovered: how many places were recovered from shared blocks; None where none were.
        skipped: broken sources that were left out.
        notes: what else a user may want to know.
    """

    path: str
    polarization: str
    scenes: int
    patches: int
    dropped: int
    min_valid: float
    valid_measure: str
    patch_size: int
    stride: int
    vmin: float
    vmax: float
    bounds_origin: str
    encoding: str
    levels: int
    codec: str
    nbytes: int
    float32_nbytes: int
    source_nbytes: int
    seconds: float
    content_digest: str
    layout: Layout = "patches"
    blocks: BlockSharing | None = None
    recovered: RecoveredCount | None = None
    skipped: tuple[BadSource, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def ratio(self) -> float:
        """Size as float32 over size stored."""
        return self.float32_nbytes / self.nbytes

    @property
    def patches_per_second(self) -> float:
        """Patches written per second of wall time."""
        return self.patches / self.seconds if self.seconds else 0.0

    @property
    def megabytes_per_second(self) -> float:
        """Source pixels converted, in MB (10^6 bytes, uncompressed) per second of wall time."""
        return self.source_nbytes / 1e6 / self.seconds if self.seconds else 0.0

    def to_dict(self) -> dict[str, object]:
        """Return all values as plain data for JSON."""
        blocks = None if self.blocks is None else self.blocks.to_dict()
        return dataclasses.asdict(self) | {
            "blocks": blocks,
            "ratio": self.ratio,
            "patches_per_second": self.patches_per_second,
            "megabytes_per_second": self.megabytes_per_second,
        }

    def to_text(self) -> str:
        """Return the lines that the command prints."""
        stride = "unknown" if self.stride < 0 else f"{self.stride} px"
        total = self.patches + self.dropped
        measure = "strictly inside (0.01, 0.99)" if self.valid_measure == "range" else "that hold data"
        reason = (
            f"less than {100 * self.min_valid:g}% of pixels {measure}" if self.min_valid else "no filter was asked for"
        )
        lines = [
            f"{self.path}",
            f"  patches   {self.patches:,} of {self.patch_size} x {self.patch_size} px, stride {stride}, "
            f"from {self.scenes:,} scene{'s' if self.scenes != 1 else ''}",
            f"  dropped   {self.dropped:,} of {total:,}: {reason}",
            f"  bounds    {self.vmin:.4f} to {self.vmax:.4f} dB ({self.bounds_origin})",
            f"  encoding  {self.encoding}{f', {self.levels:,} codes' if self.levels else ''}; {self.codec}",
            *([] if self.blocks is None else [f"  blocks    {self.blocks}"]),
            *([] if self.recovered is None else [f"  places    {self.recovered}"]),
            f"  size      {_megabytes(self.nbytes)}, {self.ratio:.2f} x smaller than float32 "
            f"({_megabytes(self.float32_nbytes)})",
        ]
        if self.seconds:
            lines.append(
                f"  speed     {self.seconds:.1f} s, {self.patches_per_second:,.0f} patches/s, "
                f"{self.megabytes_per_second:,.0f} MB/s of source"
            )
        lines.append(f"  digest    {self.content_digest}")
        lines += [f"  skipped   {source}" for source in self.skipped]
        lines += [f"  note      {note}" for note in self.notes]
        return "\n".join(lines)


@dataclass(frozen=True)
class ConversionSummary:
    """What a conversion did: iterate for one :class:`FileSummary` per file, or index by number or polarization.

    Attributes:
        files: one entry per file, co-polarized first.
        skipped: broken sources that were left out, over all files.
    """

    files: tuple[FileSummary, ...]
    skipped: tuple[BadSource, ...] = ()

    def __iter__(self) -> Iterator[FileSummary]:
        return iter(self.files)

    def __len__(self) -> int:
        return len(self.files)

    def __str__(self) -> str:
        return self.to_text()

    def __getitem__(self, key: int | str) -> FileSummary:
        if isinstance(key, int):
            return self.files[key]
        for file in self.files:
            if file.polarization == key:
                return file
        raise KeyError(key)

    def to_dict(self) -> dict[str, object]:
        """Return all values as plain data for JSON."""
        return {
            "files": [file.to_dict() for file in self.files],
            "skipped": [dataclasses.asdict(source) for source in self.skipped],
        }

    def to_text(self) -> str:
        """Return the lines that the command prints."""
        listed = {source for file in self.files for source in file.skipped}
        blocks = [file.to_text() for file in self.files]
        rest = [source for source in self.skipped if source not in listed]
        if rest:
            title = "No file was made of these, since no source of their polarization is left:"
            blocks.append("\n".join([title, *(f"  skipped   {source}" for source in rest)]))
        return "\n\n".join(blocks)


def _megabytes(nbytes: int) -> str:
    return f"{nbytes / 1e9:,.2f} GB" if nbytes >= 1e9 else f"{nbytes / 1e6:,.2f} MB"
