"""Processes under a memory limit that counts their page cache: a control group of their own, of version 2 or 1."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

MOUNTS = Path("/proc/mounts")
_CONTROLLERS, _SUBTREE, _MEMBERS = "cgroup.controllers", "cgroup.subtree_control", "cgroup.procs"


class NoMemoryLimitError(OSError):
    """No control group with a memory limit can be made here; the message says why."""


@dataclass(frozen=True)
class _Version:
    """How a version of control groups limits memory.

    Attributes:
        limit: file for the limit of memory with page cache.
        swap: file for the limit on swap, where the kernel has one.
        swap_counts_memory: whether that limit is one of memory and swap together.
    """

    limit: str
    swap: str
    swap_counts_memory: bool


_VERSION_2 = _Version("memory.max", "memory.swap.max", swap_counts_memory=False)
_VERSION_1 = _Version("memory.limit_in_bytes", "memory.memsw.limit_in_bytes", swap_counts_memory=True)


def find_hierarchy(mounts: Path = MOUNTS) -> Path:
    """Return where control groups are mounted with the memory controller.

    Raises:
        NoMemoryLimitError: where they are not.
    """
    try:
        lines = mounts.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise NoMemoryLimitError(f"no control groups: {error}") from error
    entries = [fields for fields in map(str.split, lines) if fields[2:3] in (["cgroup"], ["cgroup2"])]
    for _, place, kind, options, *_ in entries:
        controllers = (
            (Path(place) / _CONTROLLERS).read_text(encoding="ascii").split()
            if kind == "cgroup2"
            else options.split(",")
        )
        if "memory" in controllers:
            return Path(place)
    found = "groups without the memory controller" if entries else "no control groups"
    raise NoMemoryLimitError(f"a memory limit needs control groups with the memory controller; found {found}")


@contextmanager
def memory_group(mounts: Path = MOUNTS) -> Iterator[Path]:
    """Make a control group, without a limit as yet, and remove it afterwards.

    Args:
        mounts: the table of mounts.

    Yields:
        Its directory, for :func:`join` and :func:`limit`.

    Raises:
        NoMemoryLimitError: where it cannot be made.
    """
    root = find_hierarchy(mounts)
    subtree = root / _SUBTREE
    if subtree.exists() and "memory" not in subtree.read_text(encoding="ascii").split():
        raise NoMemoryLimitError(f"{root} does not hand the memory controller on to groups in it")
    group = root / f"sar_h5-benchmark-{os.getpid()}"
    try:
        group.mkdir()
    except OSError as error:
        raise NoMemoryLimitError(f"a control group cannot be made in {root}: {error}") from error
    try:
        yield group
    finally:
        group.rmdir()


def join(group: Path) -> None:
    """Move this process into a control group; what it allocates or caches from now on counts there."""
    (group / _MEMBERS).write_text(str(os.getpid()), encoding="ascii")


def limit(group: Path, nbytes: int) -> None:
    """Limit memory and page cache of a control group together, without swap."""
    version = _VERSION_1 if (group / _VERSION_1.limit).exists() else _VERSION_2
    (group / version.limit).write_text(str(nbytes), encoding="ascii")
    if (group / version.swap).exists():
        swap = nbytes if version.swap_counts_memory else 0
        (group / version.swap).write_text(str(swap), encoding="ascii")
