"""The first bytes of an HDF5 file: where it ends by its own account, and whether somebody has it open for writing."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_VERSION = 8
_FLAGS = 11
_END_OF_FILE = slice(28, 36)
_FIRST_USER_BLOCK_NBYTES = 512
"""A file may begin with something else, of this or any greater power of two."""


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


def tell_foreign(path: str | Path) -> str | None:
    """Say what a file is that cannot be an HDF5 file, empty or without a signature; None where it may be one.

    Raises:
        OSError: where it cannot be read.
    """
    with Path(path).open("rb") as file:
        nbytes = os.fstat(file.fileno()).st_size
        if nbytes == 0:
            return "an empty file (0 bytes)"
        start = file.read(len(_SIGNATURE))
        place = 0
        while place < nbytes:
            file.seek(place)
            if file.read(len(_SIGNATURE)) == _SIGNATURE:
                return None
            place = place * 2 or _FIRST_USER_BLOCK_NBYTES
    return f"a file that is not an HDF5 file (it begins with {start!r})"


def tell_cut(path: str | Path) -> str | None:
    """Say how much of an HDF5 file is missing at its end, by its own account; None where nothing is, as far as known.

    Raises:
        OSError: where it cannot be read.
    """
    with Path(path).open("rb") as file:
        expected, found = read_superblock(file).nbytes, os.fstat(file.fileno()).st_size
    if expected is None or found >= expected:
        return None
    return f"the file should have {expected:,} bytes, it has {found:,}; copy it again, or convert again"
