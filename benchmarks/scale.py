"""``python -m benchmarks.scale``: a file of as many patches as the field's data set has, opened, served, and served on.

The file is a real one, made by ``sar_h5.convert``, with small patches so that its chunk index is the full one and its
pixels are few: what is measured here grows with the number of patches, not with their size.
"""

from __future__ import annotations

import gc
import json
import multiprocessing
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from torch.utils.data import DataLoader

from benchmarks.machine import describe_machine, describe_versions
from benchmarks.process_tree import memory
from sar_h5 import SARH5Dataset, convert

PATCHES = 720_953
"""Of the 44 shards that the package was first made for."""
PATCH_SIZE = 8
_SHARDS = 8
_LEVELS = 257
_SLICE = 20_000
_EPOCHS = 20


@dataclass(frozen=True)
class WorkerStart:
    """A worker process from the end of its imports on.

    Attributes:
        seconds: until its first batch was ready.
        own_nbytes: its memory that is not backed by files, beyond what it had after the imports.
    """

    seconds: float
    own_nbytes: int


class Clock:
    """Pickled before the dataset: in the new process it does the imports, then starts the clock."""

    def __init__(self, started: float = 0.0, own_nbytes: int = 0) -> None:
        self.started, self.own_nbytes = started, own_nbytes

    def __reduce__(self) -> tuple[Callable[[], Clock], tuple[()]]:
        return start_clock, ()


def start_clock() -> Clock:
    """Return a clock that starts now, when everything a worker needs has been imported."""
    gc.collect()
    return Clock(time.perf_counter(), memory().own_nbytes)


def work(clock: Clock, dataset: SARH5Dataset, connection: Connection) -> None:
    """Make a batch in a worker process and report on it."""
    dataset.__getitems__(list(range(64)))
    seconds = time.perf_counter() - clock.started
    connection.send(WorkerStart(seconds, memory().own_nbytes - clock.own_nbytes))


def make_file(directory: Path, patches: int) -> Path:
    """Make the file, or return the one that is there."""
    path = directory / "h5" / "vv.h5"
    if path.exists() and len(SARH5Dataset(path)) == patches:
        return path
    shards = directory / "shards"
    shards.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    levels = np.linspace(0, 1, _LEVELS, dtype=np.float32)
    for number, part in enumerate(np.array_split(np.arange(patches), _SHARDS)):
        codes = rng.integers(0, _LEVELS, (len(part), PATCH_SIZE, PATCH_SIZE))
        np.save(shards / f"scene-{number}-vv.npy", levels[codes])
    convert(shards, directory / "h5", vmin=14.77, vmax=24.54, overwrite=True)
    return path


def measure_open(path: Path, rounds: int) -> dict[str, list[float]]:
    """Time opening and the first batch."""
    opened, first = [], []
    for _ in range(rounds):
        started = time.perf_counter()
        dataset = SARH5Dataset(path, augment=True)
        opened.append(time.perf_counter() - started)
        started = time.perf_counter()
        dataset.__getitems__(np.random.default_rng(0).integers(0, len(dataset), 64).tolist())
        first.append(time.perf_counter() - started)
    return {"open_s": opened, "first_batch_s": first}


def measure_workers(path: Path, rounds: int) -> list[WorkerStart]:
    """Start worker processes afresh, one after the other."""
    dataset = SARH5Dataset(path, augment=True)
    context = multiprocessing.get_context("spawn")
    starts = []
    for _ in range(rounds):
        receiver, sender = context.Pipe(duplex=False)
        process = context.Process(target=work, args=(Clock(), dataset, sender))
        process.start()
        starts.append(receiver.recv())
        process.join()
    return starts


def measure_epochs(path: Path, epochs: int, workers: int) -> list[int]:
    """Return the memory of the process tree that is not backed by files, after each epoch over a slice."""
    dataset = SARH5Dataset(path, augment=True, indices=slice(0, _SLICE))
    loader = DataLoader(dataset, batch_size=64, shuffle=True, num_workers=workers, persistent_workers=workers > 0)
    sizes = []
    for epoch in range(epochs):
        dataset.set_epoch(epoch)
        for batch in loader:
            torch.sum(batch)
        sizes.append(memory().own_nbytes)
    return sizes


def measure(path: Path, rounds: int, epochs: int) -> dict[str, Any]:
    """Measure everything."""
    starts = measure_workers(path, rounds)
    return {
        "nbytes": path.stat().st_size,
        **measure_open(path, rounds),
        "workers": [asdict(start) for start in starts],
        "own_nbytes_by_epoch": {str(count): measure_epochs(path, epochs, count) for count in (0, 2)},
    }


def describe(results: dict[str, Any]) -> str:
    """Return the medians for a terminal."""
    seconds = [start["seconds"] for start in results["workers"]]
    own = [start["own_nbytes"] for start in results["workers"]]
    lines = [
        f"{results['patches']:,} patches of {PATCH_SIZE} x {PATCH_SIZE}",
        f"open              {statistics.median(results['open_s']):.2f} s",
        f"first batch       {statistics.median(results['first_batch_s']) * 1e3:.1f} ms",
        f"worker ready      {statistics.median(seconds):.3f} s after its imports (spawn)",
        f"memory of worker  {statistics.median(own) / 1e6:.1f} MB of its own beyond the imports",
    ]
    for workers, sizes in results["own_nbytes_by_epoch"].items():
        early, late = sizes[1] / 1e6, sizes[-1] / 1e6
        lines.append(
            f"{len(sizes)} epochs         {early:.1f} MB after the 2nd, {late:.1f} after the last, {workers} workers"
        )
    return "\n".join(lines)


@click.command()
@click.option("--work", "home", required=True, type=click.Path(path_type=Path), help="Where the file is made and kept.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="JSON to write.")
@click.option("--patches", default=PATCHES, show_default=True)
@click.option("--rounds", default=5, show_default=True)
@click.option("--epochs", default=_EPOCHS, show_default=True, help="Over a slice of the file.")
def main(home: Path, out: Path, patches: int, rounds: int, epochs: int) -> None:
    """Measure what grows with the number of patches: opening, worker start, memory."""
    path = make_file(home, patches)
    results = {
        "machine": describe_machine(),
        "versions": describe_versions(),
        "patches": patches,
        **measure(path, rounds, epochs),
    }
    out.write_text(json.dumps(results, indent=2))
    click.echo(describe(results))


if __name__ == "__main__":
    main()
