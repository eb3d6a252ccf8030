"""What is known of a scene once its patches are in the file, and how it is written down for whoever goes on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from sar_h5 import schema
from sar_h5.journal import Entry
from sar_h5.schema import Layout
from sar_h5.sources.scene import SceneInfo, SourceFile

CONTENT_NBYTES = 32
"""Size of the SHA-256 of a patch's content, see ``digest``."""


def _no_rows() -> dict[str, bytearray]:
    return {column.name: bytearray() for column in schema.INDEX_COLUMNS}


@dataclass
class SceneBlocks:
    """The blocks that a scene has brought into a file of layout "blocks"; nothing in layout "patches".

    Attributes:
        grid: the scene's rows of ``/index/blocks``.
        count: how many blocks were new with this scene.
        checksums: CRC-32 of the chunk of each of these, ``<u4``; empty once whoever writes the file knows them.
        hashes: of the content of each of these, ``<u8`` (n, 2), where blocks are found by content; as long.
        telling: bool (n,), whether each of these tells where it lies, see ``shared_blocks.telling``; as long.
    """

    grid: bytearray = field(default_factory=bytearray)
    count: int = 0
    checksums: bytearray = field(default_factory=bytearray)
    hashes: bytearray = field(default_factory=bytearray)
    telling: bytearray = field(default_factory=bytearray)

    def add(self, numbers: npt.NDArray[np.uint32], checksums: bytes, hashes: bytes, telling: bytes) -> None:
        """Add patches by the numbers of their blocks, uint32 (n, P/B * P/B), and what is known of the new ones."""
        self.grid += numbers.astype("<u4").tobytes()
        self.count += len(checksums) // _CHECKSUM_NBYTES
        self.checksums += checksums
        self.hashes += hashes
        self.telling += telling

    def forget_chunks(self) -> None:
        """Forget what whoever writes the file knows."""
        self.checksums.clear()
        self.hashes.clear()
        self.telling.clear()

    def to_blobs(self) -> dict[str, bytes]:
        """Write them down; the inverse of :meth:`from_blobs`."""
        return {name: bytes(getattr(self, name)) for name in _BLOCK_BLOBS}

    @classmethod
    def from_blobs(cls, blobs: Mapping[str, bytes]) -> SceneBlocks:
        """Read them."""
        grid, checksums, hashes, telling = (bytearray(blobs[name]) for name in _BLOCK_BLOBS)
        return cls(grid, len(checksums) // _CHECKSUM_NBYTES, checksums, hashes, telling)


_BLOCK_BLOBS = ("grid", "checksums", "hashes", "telling")
_CHECKSUM_NBYTES = 4


@dataclass
class FinishedScene:
    """The columns of one scene, gathered while its patches are written.

    As bytes, each column in one piece: thousands of small arrays between large buffers would keep the C library from
    using the memory of those again.

    Attributes:
        info: what was known of it before.
        start: the number of its first patch.
        columns: the scene's rows of ``/index``, by column.
        contents: SHA-256 of the content of each patch; empty once it has gone into the digest for good.
        source: identity of the file that it came from.
        count: how many patches it has.
        dropped: how many the quality filter dropped.
        blocks: what it has brought into a file of layout "blocks".
    """

    info: SceneInfo
    start: int
    columns: dict[str, bytearray] = field(default_factory=_no_rows)
    contents: bytearray = field(default_factory=bytearray)
    source: SourceFile = field(default_factory=lambda: SourceFile(0, 0))
    count: int = 0
    dropped: int = 0
    blocks: SceneBlocks = field(default_factory=SceneBlocks)

    def column(self, name: str) -> npt.NDArray[np.generic]:
        """Return the scene's rows of a column of ``/index``."""
        dtype = next(column.dtype for column in schema.INDEX_COLUMNS if column.name == name)
        return np.frombuffer(self.columns[name], dtype=dtype)

    def patches(self) -> Iterator[tuple[int, int, bytes]]:
        """Yield what the digest covers of each patch: row, column, SHA-256 of its content."""
        rows, cols = self.column("row").tolist(), self.column("col").tolist()
        for number, (row, col) in enumerate(zip(rows, cols, strict=True)):
            yield row, col, bytes(self.contents[number * CONTENT_NBYTES : (number + 1) * CONTENT_NBYTES])

    def chunk_checksums(self, layout: Layout) -> npt.NDArray[np.generic]:
        """Return the CRC-32 of each chunk that the scene has added to the file, in order."""
        return np.frombuffer(self.blocks.checksums, "<u4") if layout == "blocks" else self.column("checksum")

    def to_entry(self, blobs: Mapping[str, bytes]) -> Entry:
        """Write it down, together with other blobs; the inverse of :meth:`from_entry`."""
        fields = {
            "path": self.info.path,
            "start": self.start,
            "source": [self.source.nbytes, self.source.crc32],
            "count": self.count,
            "dropped": self.dropped,
        }
        columns = {name: bytes(rows) for name, rows in self.columns.items()}
        return Entry(
            {"scene": fields}, {**columns, "contents": bytes(self.contents), **self.blocks.to_blobs(), **blobs}
        )

    @classmethod
    def from_entry(cls, entry: Entry, info: SceneInfo) -> FinishedScene:
        """Read it from an entry; what is known of the scene itself is not in there."""
        fields = entry.fields["scene"]
        return cls(
            info,
            fields["start"],
            {column.name: bytearray(entry.blobs[column.name]) for column in schema.INDEX_COLUMNS},
            bytearray(entry.blobs["contents"]),
            SourceFile(*fields["source"]),
            fields["count"],
            fields["dropped"],
            SceneBlocks.from_blobs(entry.blobs),
        )
