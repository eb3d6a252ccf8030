"""What a machine can do at best with a file: its disk, its memory, its cores and the way to its accelerator."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
import torch

from sar_h5.bench_report import USUAL_BATCH_SIZE
from sar_h5.page_cache import drop_from_cache
from sar_h5.reader import PatchReader
from sar_h5.symmetry import SYMMETRIES


def _in_threads(threads: int, seconds: float, step: Callable[[int, int], int]) -> float:
    """Return patches/s of ``step(thread, turn)``, which tells how many it did, called over and over in each thread."""

    def work(thread: int) -> tuple[int, float]:
        step(thread, 0)
        started, patches, turn = time.perf_counter(), 0, 1
        while (elapsed := time.perf_counter() - started) < seconds:
            patches += step(thread, turn)
            turn += 1
        return patches, elapsed

    with ThreadPoolExecutor(threads) as pool:
        return sum(patches / elapsed for patches, elapsed in pool.map(work, range(threads)))


def disk_rate(reader: PatchReader, numbers: npt.NDArray[np.int64], cores: int, seconds: float) -> float | None:
    """Return how many patches/s are read at random with two threads a core after the page cache has let go of them.

    Args:
        reader: of the file.
        numbers: patches to read, each at most once.
        cores: that may be used.
        seconds: about how long to read.

    Returns:
        Patches/s, or None where the page cache cannot be dropped.
    """
    if not drop_from_cache(reader.path):
        return None
    # Each once, in random order: what has been read is in the page cache.
    order = np.random.default_rng(1).permutation(numbers)
    started = time.perf_counter()

    def read(thread: int) -> int:
        patches = 0
        for number in order[thread :: 2 * cores]:
            reader.read(int(number))
            patches += 1
            if time.perf_counter() - started > seconds:
                break
        return patches

    with ThreadPoolExecutor(2 * cores) as pool:
        patches = sum(pool.map(read, range(2 * cores)))
    return patches / (time.perf_counter() - started)


def decode_rate(reader: PatchReader, numbers: npt.NDArray[np.int64], cores: int, seconds: float) -> float:
    """Return how many patches/s are read from the page cache, decoded, looked up and turned into batches by all cores.

    Each core fills a batch of its own, over and over; nothing else is done.

    Args:
        reader: of the file.
        numbers: patches to read.
        cores: that may be used.
        seconds: how long to go on.
    """
    _, height, width = reader.source.shape
    rng = np.random.default_rng(2)
    some = max(1, USUAL_BATCH_SIZE // cores)
    turns = SYMMETRIES if height == width else 1
    symmetries = rng.integers(0, turns, some).astype(np.uint8)
    batches = [np.empty((some, height, width), dtype=np.float32) for _ in range(cores)]
    orders = [rng.choice(numbers, len(numbers) + some) for _ in range(cores)]
    for number in numbers:
        reader.read(int(number))  # into the page cache

    def step(thread: int, turn: int) -> int:
        start = turn * some % len(numbers)
        reader.values(orders[thread][start : start + some], batches[thread], symmetries)
        return some

    return _in_threads(cores, seconds, step)


def copy_rate(height: int, width: int, cores: int, seconds: float) -> float:
    """Return how many float32 patches/s all cores copy from memory, more of it than caches hold, into batches."""
    held = max(1, (256 << 20) // (height * width * 4))
    source = np.ones((held, height, width), dtype=np.float32)
    some = max(1, USUAL_BATCH_SIZE // cores)
    batches = [np.empty((some, height, width), dtype=np.float32) for _ in range(cores)]
    order = np.random.default_rng(3).permutation(held)

    def step(thread: int, turn: int) -> int:
        for position in range(some):
            np.copyto(batches[thread][position], source[order[(turn * some + position + thread * 997) % held]])
        return some

    return _in_threads(cores, seconds, step)


def transfer_rate(height: int, width: int, seconds: float) -> float | None:
    """Return how many float32 patches/s go from page-locked memory to the accelerator; None where there is none."""
    if not torch.accelerator.is_available():
        return None
    device = torch.accelerator.current_accelerator()
    batch = torch.zeros((USUAL_BATCH_SIZE, 1, height, width), dtype=torch.float32, pin_memory=True)
    batch.to(device)
    torch.accelerator.synchronize()
    started, patches = time.perf_counter(), 0
    while time.perf_counter() - started < seconds:
        batch.to(device, non_blocking=True)
        torch.accelerator.synchronize()
        patches += len(batch)
    return patches / (time.perf_counter() - started)
