"""``python -m benchmarks.converting``: conversion beside the loop a user would write and beside reading alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import numpy as np

from benchmarks.conversion_summary import conversion_table
from benchmarks.conversion_tasks import WORKS, source_nbytes
from benchmarks.data import DataSettings, PatchSource, data_home, prepare_copies, prepare_data
from benchmarks.fresh_process import FailedError, run_module
from benchmarks.machine import describe_machine, describe_versions

STATES = ("warm", "cold")
WATCHED = ("ours-shards", "loop-shards")
"""Whose memory is watched as the source grows."""


def _run(home: Path, name: str, state: str, scratch: Path) -> dict[str, Any]:
    try:
        result = run_module("benchmarks.convert_once", [str(home), name, state, str(scratch)])
    except FailedError as error:
        result = {"reason": str(error)}
    click.echo(f"{state} {name}: {result}", err=True)
    return result


def _save(results: Mapping[str, Any], out: Path) -> None:
    out.write_text(json.dumps(results, indent=1), encoding="utf-8")


def _copies(home: Path, source: PatchSource, times: int) -> Path:
    if times == 1:
        return home
    copies = home / f"times-{times}"
    prepare_copies(copies, source, times)
    return copies


@click.command()
@click.option("--work", type=click.Path(path_type=Path), required=True, help="Directory for data; used again.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="JSON file for the results.")
@click.option("--table", type=click.Path(path_type=Path), help="Markdown file; standard output where not given.")
@click.option("--patches", default=4096, show_default=True)
@click.option("--shards", default=4, show_default=True)
@click.option("--polarization", type=click.Choice(["vh", "vv"]), default="vh", show_default=True)
@click.option("--rounds", default=5, show_default=True)
@click.option("--times", default="1 4 16", show_default=True, help="Sizes of the source whose memory is watched.")
@click.option("--memory-patches", default=1024, show_default=True, help="Patches of the source at size 1.")
@click.option("--seed", default=0, show_default=True)
def main(work: Path, out: Path, table: Path | None, **options: Any) -> None:
    """Measure speed and memory of conversion."""
    data = DataSettings(options["patches"], options["shards"], options["polarization"])
    small = DataSettings(options["memory_patches"], options["shards"], options["polarization"])
    work = work.resolve()
    source, small_source = prepare_data(work, data), prepare_data(work, small)
    sizes = {kind: source_nbytes(source, kind) for kind in ("shards", "products")}
    results: dict[str, Any] = {
        "machine": describe_machine(),
        "versions": describe_versions(),
        "settings": {name: options[name] for name in ("rounds", "times", "memory_patches", "seed")},
        "data": asdict(data) | {"levels": source.levels, "source_nbytes": sizes, "memory_nbytes": small_source.nbytes},
        "titles": {name: task.title for name, task in WORKS.items()},
        "kinds": {name: task.source for name, task in WORKS.items()},
        "measurements": [],
        "memory": [],
    }
    generator = np.random.default_rng(options["seed"])
    for number in range(options["rounds"]):
        cases = [(name, state) for name in WORKS for state in STATES]
        for name, state in (cases[place] for place in generator.permutation(len(cases))):
            entry = {"work": name, "state": state, "round": number}
            results["measurements"].append(entry | _run(data_home(work, data), name, state, work))
            _save(results, out)
    for times in map(int, options["times"].split()):
        home = _copies(data_home(work, small), small_source, times)
        for name in WATCHED:
            results["memory"].append({"work": name, "times": times} | _run(home, name, "memory", work))
            _save(results, out)
    _save(results, out)
    text = conversion_table(results)
    if table is None:
        click.echo(text)
    else:
        table.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
