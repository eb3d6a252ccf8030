"""The first bytes of an HDF5 file: where it ends by its own account, and whether somebody has it open for writing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import BinaryIO

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_VERSION = 8
_FLAGS = 11
_END_OF_FILE = slice(28, 36)


@dataclass(frozen=True)
class Superblock:
    """What the superblock says, as far as it matters here.

    HDF5 File Format Specification 3.0, II.A, versions 2 and 3.

    Attributes:
        nbytes: where the file ends; what lies behind that is of no use. None where it is not known.
        in_use: whether a process has it open for writing, or was killed while it had.
    """

    nbytes: int | None
    in_use: bool


def read_superblock(file: BinaryIO) -> Superblock:
    """Read the superblock of an open file; of other versions, and other files, nothing is known."""
    file.seek(0)
    content = file.read(_END_OF_FILE.stop)
    if len(content) < _END_OF_FILE.stop or not content.startswith(_SIGNATURE) or content[_VERSION] not in (2, 3):
        return Superblock(None, in_use=False)
    in_use = content[_VERSION] == 3 and content[_FLAGS] != 0
    return Superblock(int.from_bytes(content[_END_OF_FILE], "little"), in_use)
