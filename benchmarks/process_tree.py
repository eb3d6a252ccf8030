"""CPU time and memory of a process with all its descendants, from Linux's /proc."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

PROC = Path("/proc")
_KIB = 1024
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_PARENT, _OWN_TIMES = 1, slice(11, 15)
"""Fields of /proc/<pid>/stat after the name: the parent's pid; utime, stime, cutime, cstime (proc(5))."""


@dataclass(frozen=True)
class Memory:
    """Memory of a process tree in bytes; shared pages count once in all.

    Attributes:
        total_nbytes: proportional set size (PSS) with everything.
        own_nbytes: its part that is not backed by files: what cannot be taken away like page cache.
    """

    total_nbytes: int = 0
    own_nbytes: int = 0

    def peak(self, other: Memory) -> Memory:
        """Return the larger of both in each respect."""
        return Memory(max(self.total_nbytes, other.total_nbytes), max(self.own_nbytes, other.own_nbytes))


def tree(root: int | None = None) -> dict[int, list[str]]:
    """Return the processes of a tree, by pid, with the fields of their ``stat`` after the name."""
    stats: dict[int, list[str]] = {}
    for entry in PROC.iterdir():
        if entry.name.isdigit():
            try:
                # The name, in parentheses, may hold anything.
                stats[int(entry.name)] = (entry / "stat").read_text(encoding="latin-1").rpartition(")")[2].split()
            except OSError:  # it has ended since
                continue
    members = {os.getpid() if root is None else root}
    grown = True
    while grown:
        children = {pid for pid, fields in stats.items() if int(fields[_PARENT]) in members}
        grown = not children <= members
        members |= children
    return {pid: stats[pid] for pid in members if pid in stats}


def cpu_seconds(root: int | None = None) -> float:
    """Return the CPU time that a tree has used, its ended and waited-for descendants included."""
    return sum(sum(map(int, fields[_OWN_TIMES])) for fields in tree(root).values()) / _TICKS_PER_SECOND


def memory(root: int | None = None) -> Memory:
    """Return the memory of a tree at this moment."""
    total = own = 0
    for pid in tree(root):
        try:
            lines = (PROC / str(pid) / "smaps_rollup").read_text(encoding="ascii").splitlines()
        except OSError:
            continue
        sizes = {name: int(rest.split()[0]) * _KIB for name, _, rest in (line.partition(":") for line in lines[1:])}
        total += sizes["Pss"]
        own += sizes["Pss_Anon"] + sizes["Pss_Shmem"]
    return Memory(total, own)


class MemoryWatch:
    """Samples the memory of a tree in a thread, from entering to leaving, and keeps the largest.

    Args:
        interval_s: time between samples.
        root: pid of the tree's root; None for this process.
    """

    def __init__(self, interval_s: float = 0.05, root: int | None = None) -> None:
        self.peak = Memory()
        self._interval_s, self._root = interval_s, root
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> MemoryWatch:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self.peak = self.peak.peak(memory(self._root))

    def _sample(self) -> None:
        while not self._stop.is_set():
            self.peak = self.peak.peak(memory(self._root))
            self._stop.wait(self._interval_s)
