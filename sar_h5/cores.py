"""How many cores there are to work with."""

from __future__ import annotations

import os


def usable_cores() -> int:
    """Return how many cores this process may use: those it may run on, shared with the other ranks of a job here."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    ranks = os.environ.get("LOCAL_WORLD_SIZE", "1")  # set by torchrun: processes of the job on this machine
    return max(1, cores // int(ranks)) if ranks.isdecimal() and int(ranks) else cores
