"""Everything that may happen to a file, a disk or a process, in numbers: run it, print a table, exit 1 where it went wrong.

Run as ``python -m tests.faults [PART ...] [--flips 1000] [--kills 200] [--points 40] [--seed 1] [--json FILE]``; PART is
one or more of ``kill``, ``full``, ``flip``, ``cut``, ``worker``, all of them by default. Linux only.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from sar_h5 import convert
from sar_h5.sources.simulator import SimulatedScene, simulate_product
from tests.fault_cuts import cut
from tests.fault_disks import fill, small_disk
from tests.fault_flips import flip
from tests.fault_workers import kill_workers


@dataclass(frozen=True)
class Trials:
    """What to try, and where.

    Attributes:
        home: an empty folder.
        products: small products to convert.
        flips, kills, points: how many bytes to change, conversions to kill, and sizes of disk for each command.
        seed: of all choices.
    """

    home: Path
    products: Path
    flips: int
    kills: int
    points: int
    seed: int

    def kill(self) -> dict[str, Any]:
        """Kill conversions; see ``tests.interrupted_conversion``."""
        options = json.dumps({"patch_size": 64, "stride": 64})
        arguments = [self.products, self.home / "scratch", "kill", self.kills, self.seed, options]
        command = [sys.executable, "-m", "tests.interrupted_conversion", *map(str, arguments)]
        found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        same = found["rounds"] - len(found["wrong"])
        outcomes = {"killed": found["faults"], "conversions": found["rounds"], "same digest": same}
        return {"tried": found["faults"], "outcomes": outcomes, "wrong": found["wrong"]}

    def full(self) -> dict[str, Any]:
        """Fill the disk."""
        with small_disk(self.home / "disk") as disk:
            if disk is None:
                return {"tried": 0, "outcomes": {"skipped": "no right to mount a file system"}, "wrong": []}
            return fill(disk, self.products, self.home, self.points)

    def flip(self) -> dict[str, Any]:
        """Change bytes."""
        return flip(self.products, self.home, self.flips, self.seed)

    def cut(self) -> dict[str, Any]:
        """Cut files off."""
        convert(self.products, self.home / "h5", patch_size=64, stride=128, polarization="vv")
        (self.home / "cuts").mkdir()
        return cut(self.home / "h5" / "vv.h5", self.home / "cuts")

    def worker(self) -> dict[str, Any]:
        """Kill workers."""
        convert(self.products, self.home / "h5", patch_size=64, stride=128, polarization="vv")
        return kill_workers(self.home / "h5" / "vv.h5")


PARTS: dict[str, Callable[[Trials], dict[str, Any]]] = {
    "kill": Trials.kill,
    "full": Trials.full,
    "flip": Trials.flip,
    "cut": Trials.cut,
    "worker": Trials.worker,
}


def make_products(directory: Path) -> Path:
    """Simulate two small products."""
    directory.mkdir()
    for seed in (1, 2):
        simulate_product(directory, SimulatedScene(height=400, width=600, border_px=20, seed=seed, orbit=36200 + seed))
    return directory


def describe(results: dict[str, dict[str, Any]]) -> str:
    """Return the table."""
    lines = [f"{'fault':8} {'tried':>6} {'wrong':>6} {'minutes':>8}  outcomes"]
    for name, found in results.items():
        facts = {key: value for key, value in found.items() if key not in ("tried", "wrong", "minutes")}
        lines.append(f"{name:8} {found['tried']:>6,} {len(found['wrong']):>6,} {found['minutes']:>8.1f}  {facts}")
        lines += [f"         WRONG {reason}" for reason in found["wrong"]]
    return "\n".join(lines)


@click.command()
@click.argument("parts", nargs=-1, type=click.Choice(list(PARTS)))
@click.option("--flips", default=1000, show_default=True)
@click.option("--kills", default=200, show_default=True)
@click.option("--points", default=40, show_default=True, help="Sizes of disk for each command.")
@click.option("--seed", default=1, show_default=True)
@click.option("--json", "out", type=click.Path(path_type=Path), help="Where to write everything.")
def main(parts: tuple[str, ...], flips: int, kills: int, points: int, seed: int, out: Path | None) -> None:
    """Try faults; exit 1 where one of them had a wrong outcome."""
    results: dict[str, dict[str, Any]] = {}
    for name in parts or PARTS:
        started = time.perf_counter()
        with tempfile.TemporaryDirectory() as directory:
            home = Path(directory)
            trials = Trials(home, make_products(home / "products"), flips, kills, points, seed)
            results[name] = PARTS[name](trials)
        results[name]["minutes"] = round((time.perf_counter() - started) / 60, 2)
        if out is not None:
            out.write_text(json.dumps(results, indent=2))
    click.echo(describe(results))
    sys.exit(1 if any(found["wrong"] for found in results.values()) else 0)


if __name__ == "__main__":
    main()
