"""``bench``: how fast patches of a file reach a model on this machine, and the loader setting to use."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from torch.utils.data import DataLoader

from sar_h5.background import BackgroundLoader
from sar_h5.bench_report import USUAL_BATCH_SIZE, BenchReport, Limits, LoaderSetting, Measured
from sar_h5.cores import usable_cores
from sar_h5.dataset import SARH5Dataset
from sar_h5.errors import SettingError
from sar_h5.machine_limits import copy_rate, decode_rate, disk_rate, transfer_rate
from sar_h5.page_cache import available_nbytes
from sar_h5.reader import PatchReader

DEFAULT_SECONDS = 30.0
_ROUNDS = 3
_BATCH_SIZES = (16, 256)
_MOST_PATCHES = 4096
_PREFETCHED = 2  # batches per worker, DataLoader's default


def bench(path: str | Path, *, seconds: float = DEFAULT_SECONDS) -> BenchReport:
    """Measure how fast a file can be served on this machine, and find the loader setting to use.

    Settings and the decode limit take turns, so that other work on the machine meets all of them alike; medians count.

    Args:
        path: the file, of this package or any that ``SARH5Dataset`` opens.
        seconds: about how long to measure, the start of worker processes not included; less gives less certain figures.

    Raises:
        SourceError, FormatError: where the file cannot be opened.
        SettingError: where it holds no patches, or ``seconds`` is not positive.
    """
    if not seconds > 0:
        raise SettingError(f"expected a positive number of seconds; found {seconds}")
    reader = PatchReader(path)
    count, height, width = reader.source.shape
    if count == 0:
        raise SettingError(f"{path} holds no patches; there is nothing to measure")
    nbytes, memory_nbytes, cores = Path(path).stat().st_size, available_nbytes(), usable_cores()
    numbers = _sample(count, nbytes, memory_nbytes)
    settings = list_settings(cores)
    turn_s = seconds / (_ROUNDS * (len(settings) + 1) + 3)
    disk = disk_rate(reader, numbers, cores, turn_s)
    contestants: list[Callable[[float], float]] = [_Decoding(reader, numbers, cores)]
    contestants += [_Loading(path, numbers, setting, augment=height == width) for setting in settings]
    decode, *rates = _take_turns(contestants, turn_s)
    limits = Limits(disk, decode, copy_rate(height, width, cores, turn_s), transfer_rate(height, width, turn_s))
    measured = tuple(Measured(setting, rate) for setting, rate in zip(settings, rates, strict=True))
    return BenchReport(str(path), count, nbytes, memory_nbytes, cores, limits, measured)


def list_settings(cores: int) -> list[LoaderSetting]:
    """Return the settings worth trying on so many cores, the simplest first."""
    threads = sorted({1, max(1, cores // 2), cores})
    workers = [count for count in (1, 2, 4, 8, 16, 32) if count <= cores]
    return [
        *(LoaderSetting(0, count, USUAL_BATCH_SIZE) for count in threads),
        LoaderSetting(0, cores, USUAL_BATCH_SIZE, background=True),
        *(LoaderSetting(count, max(1, cores // count), USUAL_BATCH_SIZE) for count in workers),
        *(LoaderSetting(0, cores, size) for size in _BATCH_SIZES),
    ]


def _sample(count: int, nbytes: int, memory_nbytes: int) -> npt.NDArray[np.int64]:
    """Choose patches over the whole file that stay in the page cache while they are read again and again."""
    fitting = max(1, int(count * min(1.0, memory_nbytes / 4 / max(nbytes, 1))))
    chosen = np.random.default_rng(0).permutation(count)[: min(fitting, _MOST_PATCHES)]
    return np.sort(chosen).astype(np.int64)


def _take_turns(contestants: list[Callable[[float], float]], turn_s: float) -> list[float]:
    rounds = [[contestant(turn_s) for contestant in contestants] for _ in range(_ROUNDS)]
    return [statistics.median(rates) for rates in zip(*rounds, strict=True)]


class _Decoding:
    """The decode limit as a contestant."""

    def __init__(self, reader: PatchReader, numbers: npt.NDArray[np.int64], cores: int) -> None:
        self._arguments = (reader, numbers, cores)

    def __call__(self, seconds: float) -> float:
        return decode_rate(*self._arguments, seconds)


class _Loading:
    """A loader as a contestant; it goes on where it was."""

    def __init__(
        self, path: str | Path, numbers: npt.NDArray[np.int64], setting: LoaderSetting, *, augment: bool
    ) -> None:
        dataset = SARH5Dataset(path, indices=numbers, augment=augment, threads=setting.threads)
        loader: Any = DataLoader(
            dataset,
            batch_size=setting.batch_size,
            shuffle=True,
            num_workers=setting.workers,
            persistent_workers=setting.workers > 0,
        )
        self._counts = _endless(BackgroundLoader(loader) if setting.background else loader)
        self._ready_before = _PREFETCHED * max(1, setting.workers) + 1

    def __call__(self, seconds: float) -> float:
        for _ in range(self._ready_before):  # what was made while others had their turn
            next(self._counts)
        started, patches = time.perf_counter(), 0
        while (elapsed := time.perf_counter() - started) < seconds:
            patches += next(self._counts)
        return patches / elapsed


def _endless(loader: Any) -> Iterator[int]:
    while True:
        for batch in loader:
            yield len(batch)
