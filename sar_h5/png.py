"""Small gray pictures as PNG files in memory, without a picture library."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import numpy.typing as npt

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GRAY, _BITS = 0, 8


def encode_png(pixels: npt.NDArray[np.uint8]) -> bytes:
    """Encode an image as gray PNG of 8 bits (https://www.w3.org/TR/png-3/, sections 5 and 11.2).

    Args:
        pixels: uint8 (H, W), at least one pixel.
    """
    height, width = pixels.shape
    # Each row begins with the number of its filter: 0, none.
    rows = np.concatenate([np.zeros((height, 1), dtype=np.uint8), pixels], axis=1)
    header = struct.pack(">IIBBBBB", width, height, _BITS, _GRAY, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows.tobytes())), (b"IEND", b""))
    return _SIGNATURE + b"".join(_chunk(name, data) for name, data in chunks)


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
