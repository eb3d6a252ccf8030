"""Ways to damage files of patches, each at a known place."""

from __future__ import annotations

import struct
from pathlib import Path

from tests.patch_files import chunk_place, overwrite


def break_patch(path: Path, number: int) -> None:
    """Change three bytes in the middle of a patch's chunk."""
    offset, size = chunk_place(path, number)
    place = offset + size // 2
    content = path.read_bytes()[place : place + 3]
    overwrite(path, place, bytes(byte ^ 0x5A for byte in content))


def loop_heap(path: Path) -> None:
    """Make the free space of each collection of the global heap 0 bytes long: HDF5 walks on by that, for ever."""
    content = path.read_bytes()
    start, changed = content.find(b"GCOL\x01\0\0\0"), 0
    while start >= 0:
        end = start + struct.unpack_from("<Q", content, start + 8)[0]
        place = start + 16
        while place + 16 <= end:
            index, _, _, size = struct.unpack_from("<HHIQ", content, place)
            if index == 0:
                overwrite(path, place + 8, bytes(8))
                changed += 1
                break
            place += 16 + (size + 7) // 8 * 8
        start = content.find(b"GCOL\x01\0\0\0", start + 8)
    assert changed
