"""Processes under a memory limit that counts their page cache: a control group (cgroup v2) of their own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MOUNTS = Path("/proc/mounts")
_CONTROLLERS, _SUBTREE, _MEMBERS = "cgroup.controllers", "cgroup.subtree_control", "cgroup.procs"


class NoMemoryLimitError(OSError):
    """No control group with a memory limit can be made here; the message says why."""


def find_hierarchy(mounts: Path = MOUNTS) -> Path:
    """Return where cgroup v2 is mounted with the memory controller.

    Raises:
        NoMemoryLimitError: where it is not.
    """
    try:
        lines = mounts.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise NoMemoryLimitError(f"no control groups: {error}") from error
    roots = [Path(fields[1]) for fields in map(str.split, lines) if fields[2] == "cgroup2"]
    for root in roots:
        if "memory" in (root / _CONTROLLERS).read_text(encoding="ascii").split():
            return root
    found = "cgroup v2 without the memory controller, which is not there or used by v1" if roots else "no cgroup v2"
    raise NoMemoryLimitError(f"a memory limit needs cgroup v2 with the memory controller; found {found}")


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
    if "memory" not in (root / _SUBTREE).read_text(encoding="ascii").split():
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
    if (group / "memory.swap.max").exists():
        (group / "memory.swap.max").write_text("0", encoding="ascii")
    (group / "memory.max").write_text(str(nbytes), encoding="ascii")
