"""``python -m benchmarks.loading``: all rows, interleaved in rounds, into one JSON file."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import click
import numpy as np

from benchmarks.data import DataSettings, data_home, prepare_data, prepare_head
from benchmarks.fresh_process import FailedError, carry_out
from benchmarks.machine import describe_machine, describe_versions
from benchmarks.measurement import Order, State
from benchmarks.memory_limit import NoMemoryLimitError, memory_group
from benchmarks.preparation import source_fingerprints
from benchmarks.rivals import Row, choose_rows

HEAD = "head"
STATES = ("warm", "cold", "limited")


@dataclass(frozen=True)
class RunSettings:
    """How a run measures.

    Attributes:
        rounds: how often everything is measured.
        workers: numbers of worker processes or threads.
        states: of "warm", "cold" and "limited".
        seconds: least time of a measurement.
        batch_size: patches in a batch.
        head: patches of the small source.
        check: whether every loader is compared with the source first.
        seed: of the order within each round.
    """

    rounds: int = 5
    workers: tuple[int, ...] = (0, 2)
    states: tuple[str, ...] = STATES
    seconds: float = 2.0
    batch_size: int = 64
    head: int = 256
    check: bool = True
    seed: int = 0


@dataclass
class Results:
    """What a run has found so far, as it goes into the JSON file."""

    machine: dict[str, Any]
    versions: dict[str, str | None]
    settings: dict[str, Any]
    data: dict[str, Any]
    rows: list[dict[str, Any]] = field(default_factory=list)
    skipped: list[dict[str, str]] = field(default_factory=list)
    measurements: list[dict[str, Any]] = field(default_factory=list)

    def save(self, path: Path) -> None:
        """Replace the file by what has been found so far."""
        partial = path.with_name(f"{path.name}.partial")
        partial.write_text(json.dumps(asdict(self), indent=1), encoding="utf-8")
        partial.replace(path)


@dataclass(frozen=True)
class Run:
    """One run over prepared data."""

    home: Path
    settings: RunSettings
    results: Results
    out: Path

    def order(self, row: Row, state: State, workers: int) -> Order:
        """Return an order of this run."""
        return Order(
            str(self.home),
            str(self.home / HEAD),
            row.name,
            state,
            workers,
            self.settings.batch_size,
            self.settings.seed,
            self.settings.seconds,
        )

    def prepare(self, rows: tuple[Row, ...]) -> list[Row]:
        """Make and check the files of all rows, and return the rows that can be measured."""
        able = []
        for row in rows:
            click.echo(f"prepare {row.name}", err=True)
            entry: dict[str, Any] = {"name": row.name, "title": row.title, "kind": row.kind, "parallel": row.parallel}
            try:
                entry |= carry_out(self.order(row, "prepare", 0))
                entry["checks"] = self._check(row)
            except FailedError as error:
                entry["reason"] = str(error)
            else:
                wrong = [f"{workers} workers: {text}" for workers, texts in entry["checks"].items() for text in texts]
                if wrong:
                    entry["reason"] = "; ".join(wrong)
                else:
                    able.append(row)
            if "reason" in entry:
                click.echo(f"  left out: {entry['reason']}", err=True)
            self.results.rows.append(entry)
            self.results.save(self.out)
        return able

    def _check(self, row: Row) -> dict[str, list[str]]:
        if not self.settings.check:
            return {}
        return {
            str(workers): carry_out(self.order(row, "check", workers))["problems"] for workers in self.workers_of(row)
        }

    def workers_of(self, row: Row) -> tuple[int, ...]:
        """Return the numbers of workers that a row is measured with."""
        return (0,) if row.parallel == "own" else self.settings.workers

    def measure(self, rows: list[Row], states: tuple[State, ...]) -> None:
        """Measure everything in rounds, each in an order of its own."""
        generator = np.random.default_rng(self.settings.seed)
        for number in range(self.settings.rounds):
            cases = [(row, state, workers) for row in rows for state in states for workers in self.workers_of(row)]
            for row, state, workers in (cases[place] for place in generator.permutation(len(cases))):
                entry = self._measure_one(replace(self.order(row, state, workers), seed=self.settings.seed + number))
                self.results.measurements.append({"round": number} | entry)
                self.results.save(self.out)

    def _measure_one(self, order: Order) -> dict[str, Any]:
        entry: dict[str, Any] = {"row": order.row, "state": order.state, "workers": order.workers}
        try:
            with _group(order.state) as group:
                entry |= carry_out(replace(order, group=group))
        except (FailedError, NoMemoryLimitError) as error:
            entry["reason"] = str(error)
        speed = f"{entry['patches'] / entry['seconds']:.0f} patches/s" if "patches" in entry else entry["reason"]
        click.echo(f"{order.state} {order.row} {order.workers}: {speed}", err=True)
        return entry


@contextlib.contextmanager
def _group(state: str) -> Iterator[str]:
    if state != "limited":
        yield ""
        return
    with memory_group() as group:
        yield str(group)


def possible_states(states: tuple[str, ...], results: Results) -> tuple[State, ...]:
    """Return the states that can be measured here; the others are noted with the reason."""
    possible = []
    for state in states:
        try:
            with _group(state):
                possible.append(cast("State", state))
        except NoMemoryLimitError as error:
            results.skipped.append({"state": state, "reason": str(error)})
            click.echo(f"{state} is left out: {error}", err=True)
    return tuple(possible)


@click.command()
@click.option("--work", type=click.Path(path_type=Path), required=True, help="Directory for data; used again.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="JSON file for the results.")
@click.option("--patches", default=4096, show_default=True)
@click.option("--shards", default=4, show_default=True)
@click.option("--polarization", type=click.Choice(["vh", "vv"]), default="vh", show_default=True)
@click.option("--stride", default=128, show_default=True, help="Distance of neighbouring patches in pixels.")
@click.option("--rounds", default=5, show_default=True)
@click.option("--only", default="", help="Names of rows, separated by commas; all where empty.")
@click.option("--workers", default="0 2", show_default=True, help="Numbers of workers.")
@click.option("--states", default=" ".join(STATES), show_default=True)
@click.option("--seconds", default=2.0, show_default=True, help="Least time of each measurement.")
@click.option("--batch-size", default=64, show_default=True)
@click.option("--check/--no-check", default=True, show_default=True, help="Compare every loader with the source first.")
@click.option("--seed", default=0, show_default=True)
def main(work: Path, out: Path, **options: Any) -> None:
    """Measure how fast each row serves shuffled, augmented batches."""
    data = DataSettings(options["patches"], options["shards"], options["polarization"], options["stride"])
    settings = RunSettings(
        rounds=options["rounds"],
        workers=tuple(int(number) for number in options["workers"].replace(",", " ").split()),
        states=tuple(options["states"].replace(",", " ").split()),
        seconds=options["seconds"],
        batch_size=options["batch_size"],
        check=options["check"],
        seed=options["seed"],
    )
    unknown = set(settings.states) - set(STATES)
    if unknown:
        raise click.BadParameter(f"unknown states {', '.join(sorted(unknown))}", param_hint="--states")
    try:
        rows = choose_rows(tuple(options["only"].replace(",", " ").split()))
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--only") from error
    run_all(work.resolve(), out, data, settings, rows)


def run_all(work: Path, out: Path, data: DataSettings, settings: RunSettings, rows: tuple[Row, ...]) -> Results:
    """Make the data, check and measure the rows, and write the results."""
    click.echo(f"data for {data}", err=True)
    source = prepare_data(work, data)
    home = data_home(work, data)
    prepare_head(home / HEAD, source, settings.head)
    source_fingerprints(home, source)
    about = asdict(data) | {
        "levels": source.levels,
        "vmin_db": source.vmin,
        "vmax_db": source.vmax,
        "float32_nbytes": source.nbytes,
    }
    results = Results(describe_machine(), describe_versions(), asdict(settings), about)
    run = Run(home, settings, results, out)
    able = run.prepare(rows)
    run.measure(able, possible_states(settings.states, results))
    results.save(out)
    return results


if __name__ == "__main__":
    main()
