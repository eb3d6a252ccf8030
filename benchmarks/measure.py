"""One measurement, in a process of its own: ``python -m benchmarks.measure ORDER RESULT``.

Warm: one epoch to compile, start workers and fill pools, during which memory is sampled; the row's files are read
once; then whole epochs until the time is over.

Cold: start-up must not count, but workers that have started already would hold pages of mapped files in memory,
which cannot be dropped. So an epoch of a small source (the head) is served twice, each time by a new loader: first to
import and compile, then to time start-up and first patches. Then the page cache is dropped, and a new loader serves one
epoch of the whole source; the time and the patches of the head's second epoch are taken off.

Limited: as warm, in a control group that has, beyond what the process takes after an epoch of the head, a
quarter of the float32 size for everything, page cache included.
"""

from __future__ import annotations

import gc
import json
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click

from benchmarks import memory_limit, page_cache
from benchmarks.data import PatchSource, read_source
from benchmarks.fingerprints import check_epoch
from benchmarks.measurement import Order, Speed
from benchmarks.preparation import directory_of, prepare_row, source_fingerprints
from benchmarks.process_tree import Memory, MemoryWatch, cpu_seconds, memory
from benchmarks.rivals import choose_rows
from benchmarks.rivals.protocol import LoaderSettings, Rival

LIMIT_SHARE = 4
"""Under the memory limit there is room for the float32 size divided by this."""

Result = dict[str, Any]


@dataclass(frozen=True)
class Subject:
    """A row on one source."""

    rival: Rival
    source: PatchSource
    directory: Path
    settings: LoaderSettings

    def make_loader(self) -> Iterable[Any]:
        """Make a new loader."""
        return self.rival.make_loader(self.source, self.directory, self.settings)

    def files(self) -> list[Path]:
        """List what the loader reads."""
        return self.rival.files(self.source, self.directory)


@dataclass(frozen=True)
class Clock:
    """What passed while the clock ran."""

    patches: int
    seconds: float
    cpu_seconds: float


def serve(loader: Iterable[Any], seconds: float = 0.0) -> Clock:
    """Take whole epochs from a loader, at least one and until the time is over."""
    patches, cpu, start = 0, cpu_seconds(), time.perf_counter()
    while True:
        for batch in loader:
            patches += len(batch)
        elapsed = time.perf_counter() - start
        if elapsed >= seconds:
            return Clock(patches, elapsed, cpu_seconds() - cpu)


def run(order: Order) -> Result:
    """Do what is ordered.

    Returns:
        Plain data: of a measurement the fields of :class:`Speed`; of a check ``problems``; of a preparation ``nbytes``.
    """
    (row,) = choose_rows((order.row,))
    rival = row.load()
    settings = LoaderSettings(order.workers, order.batch_size, order.seed)
    home, head = Path(order.home), Path(order.head)
    if order.state == "prepare":
        prepare_row(head, read_source(head), row.name, rival)
        source = read_source(home)
        directory = prepare_row(home, source, row.name, rival)
        return {"nbytes": sum(path.stat().st_size for path in rival.files(source, directory))}
    subject, small = (
        Subject(rival, read_source(place), directory_of(place, row.name), settings) for place in (home, head)
    )
    if order.state == "check":
        return {"problems": check(subject, home)}
    measures = {"warm": measure_warm, "cold": measure_cold, "limited": measure_limited}
    return asdict(measures[order.state](subject, small, order))


def check(subject: Subject, home: Path) -> list[str]:
    """Compare two epochs of a loader with the source, and with each other.

    Returns:
        What was wrong, one sentence each.
    """
    expected, loader = source_fingerprints(home, subject.source), subject.make_loader()
    epochs = [
        check_epoch(map(subject.rival.to_values, loader), expected, turned=subject.rival.turned) for _ in range(2)
    ]
    problems = list(dict.fromkeys(problem for epoch in epochs for problem in epoch.problems))
    if epochs[0].order == epochs[1].order:
        problems.append("two epochs came in the same order")
    if epochs[0].order == tuple(mark.digest for mark in expected):
        problems.append("the patches came in the order of the source")
    return problems


def measure_warm(subject: Subject, small: Subject, order: Order) -> Speed:
    """Measure with the row's files in the page cache."""
    del small
    loader, files = subject.make_loader(), subject.files()
    with MemoryWatch() as watch:
        serve(loader)
    page_cache.read_all(files)
    cached = page_cache.cached_fraction(files)
    clock = serve(loader, order.seconds)
    return _speed(clock, watch.peak.peak(memory()), cached)


def measure_cold(subject: Subject, small: Subject, order: Order) -> Speed:
    """Measure one epoch with nothing of the row's files in the page cache; start-up does not count."""
    del order
    serve(small.make_loader())
    gc.collect()  # ends workers that nobody needs any more
    start = serve(small.make_loader())
    gc.collect()
    files = subject.files()
    how = page_cache.drop(files)
    cached = page_cache.cached_fraction(files)
    clock = serve(subject.make_loader())
    if clock.seconds <= start.seconds or clock.patches <= start.patches:
        raise ValueError(
            f"an epoch of {clock.patches} patches took {clock.seconds:.3f} s, start-up with {start.patches} patches "
            f"{start.seconds:.3f} s: too few patches to tell them apart"
        )
    rest = Clock(
        clock.patches - start.patches, clock.seconds - start.seconds, max(clock.cpu_seconds - start.cpu_seconds, 0.0)
    )
    return _speed(rest, memory(), cached, start_s=start.seconds, note=how)


def measure_limited(subject: Subject, small: Subject, order: Order) -> Speed:
    """Measure with less memory than the float32 patches take."""
    group = Path(order.group)
    memory_limit.join(group)
    serve(small.make_loader())
    base = memory().own_nbytes
    files = subject.files()
    page_cache.drop_files(files)  # a page counts for the group that reads it first
    nbytes = base + subject.source.nbytes // LIMIT_SHARE
    memory_limit.limit(group, nbytes)
    loader = subject.make_loader()
    with MemoryWatch() as watch:
        serve(loader)
    cached = page_cache.cached_fraction(files)
    clock = serve(loader, order.seconds)
    return _speed(clock, watch.peak, cached, note=f"limit {nbytes / 1e6:.0f} MB, {base / 1e6:.0f} MB of it for code")


def _speed(clock: Clock, peak: Memory, cached: float, start_s: float = 0.0, note: str = "") -> Speed:
    return Speed(
        clock.patches,
        clock.seconds,
        clock.cpu_seconds,
        start_s,
        peak.total_nbytes,
        peak.own_nbytes,
        cached,
        note,
    )


@click.command()
@click.argument("order")
@click.argument("result", type=click.Path(path_type=Path))
def main(order: str, result: Path) -> None:
    """Do what ORDER (JSON) says, and write RESULT (JSON)."""
    result.write_text(json.dumps(run(Order(**json.loads(order)))), encoding="utf-8")


if __name__ == "__main__":
    main()
