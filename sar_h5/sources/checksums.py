"""The identity of a source file: its size and CRC-32."""

from __future__ import annotations

import zlib
from pathlib import Path

from sar_h5.sources.scene import SourceFile

_PIECE_NBYTES = 1 << 20


def checksum_file(path: Path) -> SourceFile:
    """Read a file once and return its size and CRC-32."""
    nbytes = crc32 = 0
    with path.open("rb") as file:
        while piece := file.read(_PIECE_NBYTES):
            nbytes += len(piece)
            crc32 = zlib.crc32(piece, crc32)
    return SourceFile(nbytes, crc32)
