"""The main job on simulated products: simulate, convert, verify, serve an epoch of augmented batches."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import torch
from torch.utils.data import DataLoader

from sar_h5.conversion import convert
from sar_h5.dataset import SARH5Dataset
from sar_h5.errors import FormatError
from sar_h5.sources.simulator import SimulatedScene, simulate_product
from sar_h5.verification import verify

_SCENES = 2
_HEIGHT, _WIDTH = 1536, 2048
_WORKERS = 2
_BATCH = 32
_FIRST_START = datetime(2021, 1, 19, 3, 16, 53)
_REPEAT = timedelta(days=12)


@dataclass(frozen=True)
class Epoch:
    """One epoch through a loader.

    Attributes:
        patches: how many samples came.
        seconds: wall time, the start of the workers included.
        mean: of all pixels.
    """

    patches: int
    seconds: float
    mean: float


def run_demo(directory: Path, say: Callable[[str], None]) -> None:
    """Run the demo.

    Args:
        directory: where products and files go; "products" and "h5" are made in it.
        say: told of each step, in a line or more.

    Raises:
        OutputExistsError: where the directory holds an earlier demo.
        FormatError: where a file made here does not verify; a bug worth reporting.
    """
    say(f"1. Simulate {_SCENES} Sentinel-1 IW GRDH products, {_HEIGHT} x {_WIDTH} pixels, VV and VH, about 4.4 looks:")
    for number in range(_SCENES):
        scene = SimulatedScene(
            _HEIGHT, _WIDTH, seed=number, start=_FIRST_START + number * _REPEAT, orbit=36201 + 175 * number
        )
        say(f"   {simulate_product(directory / 'products', scene)}")
    say(f"2. Convert them: sar-h5 convert {directory / 'products'} --out {directory / 'h5'}")
    summary = convert(directory / "products", directory / "h5")
    say(_indent(summary.to_text()))
    say("3. Verify every checksum and every code:")
    for file in summary:
        report = verify(file.path)
        if not report.ok:
            raise FormatError(f"{file.path}: {len(report.problems)} problems, the first: {report.problems[0]}")
        say(f"   {file.path}: {report.patches:,} patches, no problem")
    say(f"4. Serve an epoch of augmented batches from {_WORKERS} worker processes:")
    for file in summary:
        epoch = serve_epoch(file.path)
        say(
            f"   {file.path}: {epoch.patches:,} patches as float32 ({_BATCH}, 1, 256, 256) in {epoch.seconds:.2f} s "
            f"({epoch.patches / epoch.seconds:,.0f} patches/s), mean {epoch.mean:.3f}"
        )


def serve_epoch(path: str) -> Epoch:
    """Read a file once through a shuffling loader with augmentation, as training does."""
    loader = DataLoader(
        SARH5Dataset(path, augment=True, seed=0),
        batch_size=_BATCH,
        shuffle=True,
        num_workers=_WORKERS,
        generator=torch.Generator().manual_seed(0),
    )
    started = time.perf_counter()
    patches, total, pixels = 0, 0.0, 0
    for batch in loader:
        patches += len(batch)
        total += float(batch.sum())
        pixels += batch.numel()
    return Epoch(patches, time.perf_counter() - started, total / pixels)


def _indent(text: str) -> str:
    return "\n".join(f"   {line}" if line else "" for line in text.splitlines())
