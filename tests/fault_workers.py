"""Kill workers of a loader at bad moments: an error within seconds, not a hang."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader, get_worker_info

from sar_h5 import BackgroundLoader, SARH5Dataset
from tests.fault_child import in_child

LIMIT_S = 60
METHODS = ("fork", "spawn")
MOMENTS = ("at the start", 0, 3, "second epoch")
"""When a worker ends: before its first batch, or after so many samples."""


class Killer:
    """A transform that kills the second worker at its ``moment``-th sample."""

    def __init__(self, moment: int) -> None:
        self.moment, self.count = moment, 0

    def __call__(self, sample: torch.Tensor) -> torch.Tensor:
        self.count += 1
        worker = get_worker_info()
        if worker is not None and worker.id == 1 and self.count > self.moment:
            os.kill(os.getpid(), signal.SIGKILL)
        return sample


def kill_at_start(worker: int) -> None:
    """End a worker before its first batch."""
    if worker == 1:
        os.kill(os.getpid(), signal.SIGKILL)


def kill_workers(
    path: Path, methods: tuple[str, ...] = METHODS, moments: tuple[int | str, ...] = MOMENTS
) -> dict[str, Any]:
    """Kill a worker at each moment, with and without a thread ahead.

    Returns:
        ``outcomes``: how many epochs ended in an error, and the longest time in seconds; ``wrong``: those that did not.
    """
    outcomes, wrong, longest = Counter[str](), [], 0.0
    tried = 0
    for method in methods:
        for moment in moments:
            for background in (False, True):
                tried += 1
                started = time.perf_counter()
                ended = in_child(lambda: _epochs(path, method, moment, background=background), LIMIT_S)  # noqa: B023
                longest = max(longest, time.perf_counter() - started)
                outcomes[ended.out.strip('"') or "none"] += 1
                if not ended.out:
                    wrong.append(f"{method}, {moment}, {background=}: {ended}")
    return {"tried": tried, "outcomes": dict(outcomes), "longest_s": round(longest, 1), "wrong": wrong}


def _epochs(path: Path, method: str, moment: int | str, *, background: bool) -> str | None:
    """Return the error in which two epochs end: the loader's about a worker that is gone, or about its connection."""
    patches = SARH5Dataset(path, threads=1)
    samples = len(patches)
    after = {"at the start": samples, "second epoch": samples // 2 + 1}.get(str(moment), moment)
    patches._transform = Killer(int(after))
    loader: Any = DataLoader(
        patches,
        1,
        num_workers=2,
        multiprocessing_context=method,
        persistent_workers=True,
        worker_init_fn=kill_at_start if moment == "at the start" else None,
    )
    epochs = BackgroundLoader(loader) if background else loader
    try:
        for _ in range(2):
            for _ in epochs:
                pass
    except RuntimeError as error:
        gone = "exited unexpectedly" in str(error) or "killed by signal" in str(error)
        return "worker is gone" if gone else None
    except (OSError, EOFError):  # a tensor was on its way: torch fetches its memory from the worker itself
        return "connection is gone"
    return None
