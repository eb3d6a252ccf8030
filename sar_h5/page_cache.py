"""The operating system's page cache: how much there may be of it, and a file taken out of it."""

from __future__ import annotations

import os
from pathlib import Path

_MEMINFO = Path("/proc/meminfo")
_CGROUP_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


def available_nbytes() -> int:
    """Return how much memory the page cache could take: what is free or could be freed, within a container's limit."""
    limits = [_free_nbytes()]
    for path in _CGROUP_LIMITS:
        try:
            limits.append(int(path.read_text()))
        except (OSError, ValueError):  # not such a system, or "max"
            continue
    return min(limits)


def _free_nbytes() -> int:
    try:
        lines = dict(line.split(":", 1) for line in _MEMINFO.read_text().splitlines())
        return int(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return _physical_nbytes()


def _physical_nbytes() -> int:
    """Return all memory where the system does not tell what is free of it (macOS); 8 GB where it tells nothing."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return 8 << 30


def drop_from_cache(path: str | Path) -> bool:
    """Ask the system to forget the cached pages of a file, and tell whether it can be asked."""
    if not hasattr(os, "posix_fadvise"):
        return False
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)
    return True
