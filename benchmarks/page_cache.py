"""The operating system's page cache: filling it with some files, emptying it, and seeing what is in it."""

from __future__ import annotations

import ctypes
import mmap
import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np

DROP_CACHES = Path("/proc/sys/vm/drop_caches")
_BLOCK_NBYTES = 1 << 22


def read_all(files: Iterable[Path]) -> None:
    """Read files once, so that they are in the page cache."""
    block = bytearray(_BLOCK_NBYTES)
    for path in files:
        with path.open("rb", buffering=0) as file:
            while file.readinto(block):
                pass


def drop(files: Iterable[Path]) -> str:
    """Take files out of the page cache: the whole cache where this process may, otherwise these files.

    Returns:
        How, in words.

    Raises:
        OSError: where neither can be done.
    """
    os.sync()  # pages that are not on the disk yet cannot be dropped
    try:
        DROP_CACHES.write_text("1", encoding="ascii")
    except OSError:
        drop_files(files)
        return "posix_fadvise(POSIX_FADV_DONTNEED) on the loader's files"
    return f"all, by {DROP_CACHES}"


def drop_files(files: Iterable[Path]) -> None:
    """Ask the operating system to forget the pages of some files.

    Raises:
        OSError: where it has no such call, or refuses.
    """
    if not hasattr(os, "posix_fadvise"):
        raise OSError("this system has no posix_fadvise")
    for path in files:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)


def cached_fraction(files: Iterable[Path]) -> float:
    """Tell which part of files is in the page cache, from 0 to 1 (Linux's mincore)."""
    cached = pages = 0
    libc = ctypes.CDLL(None, use_errno=True)
    for path in files:
        nbytes = path.stat().st_size
        if nbytes == 0:
            continue
        with path.open("rb") as file, mmap.mmap(file.fileno(), nbytes, prot=mmap.PROT_READ) as mapped:
            bytes_of = np.frombuffer(mapped, dtype=np.uint8)
            resident = np.zeros(-(-nbytes // mmap.PAGESIZE), dtype=np.uint8)
            address, table = ctypes.c_void_p(bytes_of.ctypes.data), ctypes.c_void_p(resident.ctypes.data)
            if libc.mincore(address, ctypes.c_size_t(nbytes), table):
                raise OSError(ctypes.get_errno(), "mincore failed", str(path))
            del bytes_of
        cached += int((resident & 1).sum())
        pages += resident.size
    return cached / pages if pages else 0.0
