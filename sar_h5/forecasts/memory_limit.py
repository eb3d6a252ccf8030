"""How much memory this process may use: what the machine has, within the limits of the control groups it runs in."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

_MEMBERSHIP = Path("/proc/self/cgroup")
_HIERARCHY = Path("/sys/fs/cgroup")
_LIMIT_OF_V2, _LIMIT_OF_V1 = "memory.max", "memory.limit_in_bytes"


def allowed_memory_nbytes() -> int | None:
    """Return the most memory this process can have, whatever else the machine does, or None where nothing tells.

    Containers and job systems (SLURM, PBS) limit memory by control groups, of version 1 or 2; limits of all groups
    above the process count (Linux kernel, Documentation/admin-guide/cgroup-v2.rst, "memory.max").
    """
    limits = [*_physical_nbytes(), *_group_limits()]
    return min(limits) if limits else None


def _physical_nbytes() -> Iterator[int]:
    try:
        yield os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):  # not such a system
        return


def _group_limits() -> Iterator[int]:
    for path in _limit_files():
        try:
            yield int(path.read_text(encoding="ascii"))
        except (OSError, ValueError):  # no such group as seen from a container, or "max"
            continue


def _limit_files() -> Iterator[Path]:
    """Yield the files with limits, from the hierarchy's root, which a container sees as its own, to the process."""
    yield _HIERARCHY / _LIMIT_OF_V2
    yield _HIERARCHY / "memory" / _LIMIT_OF_V1
    try:
        lines = _MEMBERSHIP.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return
    for line in lines:
        _, controllers, group = (*line.split(":", 2), "", "")[:3]
        names = [name for name in PurePosixPath(group).parts if name not in ("/", "..")]
        home, limit = (_HIERARCHY, _LIMIT_OF_V2) if not controllers else (_HIERARCHY / "memory", _LIMIT_OF_V1)
        if controllers and "memory" not in controllers.split(","):
            continue
        for depth in range(1, len(names) + 1):
            yield home.joinpath(*names[:depth], limit)
