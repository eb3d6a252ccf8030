"""What a process and its workers hold from sample to sample, and whether that stays flat."""

from __future__ import annotations

import os
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks.process_tree import PROC, tree

_KIB = 1024
_SHARED_MEMORY = "/dev/shm/"  # noqa: S108 - where Linux shows it, not where anything is put
WARM_UP = 0.1
"""Share of the samples, at the start, that are not compared: pools fill, the allocator finds its size."""
MOST_GROWTH = 0.02
MOST_GROWTH_NBYTES = 8_000_000
"""How much memory may grow from the first quarter to the last, whichever is more: glibc gives back late, so that a
process of 300 MB wanders by some megabytes; a leak of a single batch (8 MB) an hour is beyond this."""
COUNTS = ("descriptors", "threads", "segments")
"""What may not grow at all."""


@dataclass(frozen=True)
class Holding:
    """What a process holds at a moment.

    Attributes:
        rss_nbytes, pss_nbytes, uss_nbytes: resident, proportional and private memory, with pages of files.
        own_nbytes: the part of the proportional memory that no file is behind, shared memory included: what cannot be
            taken away like page cache.
        descriptors: open files, sockets and pipes.
        threads: threads.
        segments: pieces of shared memory that it has mapped.
    """

    rss_nbytes: int
    pss_nbytes: int
    uss_nbytes: int
    own_nbytes: int
    descriptors: int
    threads: int
    segments: int


@dataclass(frozen=True)
class Sample:
    """A moment of a run.

    Attributes:
        seconds: since the start.
        patches: served so far.
        holdings: of each process by its name, "main" first.
    """

    seconds: float
    patches: int
    holdings: dict[str, Holding]


def read_holding(pid: int) -> Holding:
    """Read what a process holds from Linux's /proc."""
    home = PROC / str(pid)
    lines = (home / "smaps_rollup").read_text(encoding="ascii").splitlines()[1:]
    sizes = {name: int(rest.split()[0]) * _KIB for name, _, rest in (line.partition(":") for line in lines)}
    segments = {line.split()[4] for line in _maps(home) if _SHARED_MEMORY in line}  # the inode: one may be mapped twice
    return Holding(
        sizes["Rss"],
        sizes["Pss"],
        sizes["Private_Clean"] + sizes["Private_Dirty"],
        sizes["Pss_Anon"] + sizes["Pss_Shmem"],
        len(list((home / "fd").iterdir())),
        len(list((home / "task").iterdir())),
        len(segments),
    )


def read_holdings() -> dict[str, Holding]:
    """Read what this process and all its descendants hold; those by their order of age."""
    children = sorted(set(tree()) - {os.getpid()})
    return {"main": read_holding(os.getpid())} | {
        f"child {number}": read_holding(pid) for number, pid in enumerate(children)
    }


def left_segments() -> list[str]:
    """Name what lies in shared memory under names that PyTorch and Python give to theirs."""
    return sorted(path.name for path in Path(_SHARED_MEMORY).glob("*") if path.name.startswith(("torch_", "psm_")))


def summarize(samples: Sequence[Sample]) -> dict[str, Any]:
    """Compare the first quarter of the samples with the last one, for each process.

    Returns:
        By process, then by what it holds: the medians of both quarters, the slope of a straight line through the
        samples in units an hour, and whether it is flat.
    """
    kept = samples[int(len(samples) * WARM_UP) :]
    quarter = max(1, len(kept) // 4)
    processes: dict[str, Any] = {}
    for process in kept[0].holdings:
        rows = [asdict(sample.holdings[process]) for sample in kept]
        processes[process] = {
            name: _compare([row[name] for row in rows], [sample.seconds for sample in kept], quarter, name)
            for name in rows[0]
        }
    return processes


def rates(samples: Sequence[Sample]) -> list[float]:
    """Return patches a second between samples."""
    return [(after.patches - before.patches) / (after.seconds - before.seconds) for before, after in pairwise(samples)]


def growing(processes: dict[str, Any]) -> list[str]:
    """Name what is not flat, with both medians."""
    return [
        f"{process}: {name} from {facts['first_quarter']:,.0f} to {facts['last_quarter']:,.0f}"
        for process, held in processes.items()
        for name, facts in held.items()
        if not facts["flat"]
    ]


def _compare(values: Sequence[int], seconds: Sequence[float], quarter: int, name: str) -> dict[str, Any]:
    first, last = statistics.median(values[:quarter]), statistics.median(values[-quarter:])
    slope = statistics.linear_regression(seconds, values).slope * 3600 if len(values) > 1 else 0.0
    most = 0.0 if name in COUNTS else max(MOST_GROWTH * first, MOST_GROWTH_NBYTES)
    judged = name in COUNTS or name == "own_nbytes"  # pages of files come and go as the system likes
    return {
        "first_quarter": first,
        "last_quarter": last,
        "slope_per_hour": round(slope, 3),
        "flat": not judged or last - first <= most,
    }


def _maps(home: Path) -> list[str]:
    return (home / "maps").read_text(encoding="utf-8", errors="replace").splitlines()
