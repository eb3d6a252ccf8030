"""``python -m benchmarks.soak FILE``: train for an hour with worker processes; exit 1 where memory or handles grow.

A small convolutional autoencoder learns on the CPU from a converted file, so that batches are held, passed on and given
back as a training loop does it. What the process and each of its workers hold is sampled every few seconds.
"""

from __future__ import annotations

import json
import math
import statistics
import sys
import time
import warnings
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import torch
from torch import nn
from torch.utils.data import DataLoader

from benchmarks.machine import describe_machine, describe_versions
from benchmarks.soak_samples import Sample, growing, left_segments, rates, read_holdings, summarize
from sar_h5 import SARH5Dataset

BATCH_SIZE = 32
_CHANNELS = 8
_LEARNING_RATE = 1e-3


def make_autoencoder() -> nn.Sequential:
    """Return a network that halves the sides four times, and doubles them again."""
    layers: list[nn.Module] = []
    for into, out in ((1, _CHANNELS), (_CHANNELS, _CHANNELS), (_CHANNELS, _CHANNELS), (_CHANNELS, _CHANNELS)):
        layers += [nn.Conv2d(into, out, 3, stride=2, padding=1), nn.ReLU()]
    for out in (_CHANNELS, _CHANNELS, _CHANNELS, 1):
        layers += [nn.ConvTranspose2d(_CHANNELS, out, 4, stride=2, padding=1), nn.ReLU()]
    return nn.Sequential(*layers[:-1], nn.Sigmoid())


class Training:
    """An autoencoder that learns from a file's patches, epoch by epoch.

    Args:
        path: the converted file.
        workers: how many worker processes serve it, for all epochs.

    Attributes:
        patches, epochs: how many have been seen.
        losses: mean of each epoch that was finished.
    """

    def __init__(self, path: Path, workers: int) -> None:
        self.patches, self.epochs = 0, 0
        self.losses: list[float] = []
        self._dataset = SARH5Dataset(path, augment=True)
        self._loader: DataLoader[torch.Tensor] = DataLoader(
            self._dataset, BATCH_SIZE, shuffle=True, num_workers=workers, persistent_workers=workers > 0
        )
        self._model = make_autoencoder()
        self._optimizer = torch.optim.Adam(self._model.parameters(), _LEARNING_RATE)

    def steps(self) -> Iterator[float]:
        """Train for ever; yield the loss of each step.

        Raises:
            RuntimeError: where an epoch has not served each patch once, or the loss is no number.
        """
        while True:
            self._dataset.set_epoch(self.epochs)
            losses, served = [], 0
            for batch in self._loader:
                losses.append(self._step(batch))
                served += len(batch)
                self.patches += len(batch)
                yield losses[-1]
            if served != len(self._dataset) or not math.isfinite(sum(losses)):
                raise RuntimeError(f"epoch {self.epochs}: {served} patches served, mean loss {statistics.mean(losses)}")
            self.losses.append(statistics.mean(losses))
            self.epochs += 1

    def _step(self, batch: torch.Tensor) -> float:
        loss = nn.functional.mse_loss(self._model(batch), batch)
        self._optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it without types
        self._optimizer.step()
        return loss.item()


def soak(training: Training, seconds: float, interval_s: float) -> list[Sample]:
    """Train for so many seconds from the first step on, and sample what is held; twice at least."""
    steps = training.steps()
    next(steps)  # the workers have started
    started = time.perf_counter()
    samples: list[Sample] = []
    for _ in steps:
        now = time.perf_counter() - started
        if now >= interval_s * len(samples):
            samples.append(Sample(now, training.patches, read_holdings()))
        if now >= seconds and len(samples) > 1:
            return samples
    raise AssertionError("training never ends by itself")


def describe(results: dict[str, Any]) -> str:
    """Return the result for a terminal."""
    lines = [
        f"{results['minutes']:g} minutes, {results['workers']} workers: {results['epochs']} epochs, "
        f"{results['patches']:,} patches, loss {results['losses'][:1]} to {results['losses'][-1:]}",
        f"{results['first_rate']:,.0f} patches/s in the first quarter, {results['last_rate']:,.0f} in the last",
        f"{'':10} {'first quarter':>28} {'last quarter':>28} {'an hour':>12}",
    ]
    for process, held in results["processes"].items():
        for name, facts in held.items():
            unit = 1e6 if name.endswith("_nbytes") else 1
            first, last, slope = (facts[key] / unit for key in ("first_quarter", "last_quarter", "slope_per_hour"))
            label = name.replace("_nbytes", " MB")
            lines.append(f"{process:10} {label:>14} {first:>13.1f} {last:>28.1f} {slope:>+12.2f}")
    left = f"after the end: {results['left'] or 'nothing left'}"
    return "\n".join([*lines, left, *(f"NOT FLAT {line}" for line in results["growing"])])


def what_is_left(segments: list[str]) -> list[str]:
    """Name what a run that has ended has left: processes, and segments that were not there before."""
    children = [name for name in read_holdings() if name != "main"]
    return children + [name for name in left_segments() if name not in segments]


def run(path: Path, minutes: float, workers: int, interval_s: float) -> dict[str, Any]:
    """Train, and return what was seen."""
    torch.manual_seed(0)
    # More workers than cores are meant: what they hold is looked at, not how fast they are.
    warnings.filterwarnings("ignore", "This DataLoader will create", UserWarning)
    segments = left_segments()
    training = Training(path, workers)
    samples = soak(training, minutes * 60, interval_s)
    facts = {"epochs": training.epochs, "patches": training.patches, "losses": training.losses}
    del training  # its workers end with it
    processes, speeds = summarize(samples), rates(samples)
    quarter = max(1, len(speeds) // 4)
    return {
        "machine": describe_machine(),
        "versions": describe_versions(),
        "minutes": minutes,
        "workers": workers,
        **facts,
        "first_rate": statistics.median(speeds[:quarter]),
        "last_rate": statistics.median(speeds[-quarter:]),
        "processes": processes,
        "growing": growing(processes),
        "left": what_is_left(segments),
        "samples": [asdict(sample) for sample in samples],
    }


@click.command()
@click.argument("path", type=click.Path(exists=True, path_type=Path))
@click.option("--minutes", default=60.0, show_default=True)
@click.option("--workers", default=4, show_default=True)
@click.option("--interval", "interval_s", default=10.0, show_default=True, help="Seconds between samples.")
@click.option("--threads", default=1, show_default=True, help="Of PyTorch, for the network.")
@click.option("--json", "out", type=click.Path(path_type=Path), help="Where to write everything.")
def main(path: Path, minutes: float, workers: int, interval_s: float, threads: int, out: Path | None) -> None:
    """Train from FILE; exit 1 where something grows.

    From the first quarter of the samples to the last, the median of memory may grow by 2 % or 8 MB in each process,
    that of open descriptors, threads and segments of shared memory not at all. The first tenth does not count.
    """
    torch.set_num_threads(threads)
    results = run(path, minutes, workers, interval_s)
    if out is not None:
        out.write_text(json.dumps(results, indent=2))
    click.echo(describe(results))
    sys.exit(1 if results["growing"] or results["left"] else 0)


if __name__ == "__main__":
    main()
