"""The identity of a source file: its size and CRC-32."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import IO

from sar_h5.sources.scene import SourceFile

_PIECE_NBYTES = 1 << 20


def checksum_file(path: Path) -> SourceFile:
    """Read a file once and return its size and CRC-32."""
    with path.open("rb") as file:
        return checksum_stream(file)


def checksum_stream(file: IO[bytes]) -> SourceFile:
    """Read an open file to its end and return the size and CRC-32 of what was read."""
    nbytes = crc32 = 0
    while piece := file.read(_PIECE_NBYTES):
        nbytes += len(piece)
        crc32 = zlib.crc32(piece, crc32)
    return SourceFile(nbytes, crc32)
