"""One conversion in a process of its own: ``python -m benchmarks.convert_once``; imports are not measured."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click

from benchmarks import page_cache
from benchmarks.conversion_tasks import WORKS, flush, source_files
from benchmarks.data import read_source
from benchmarks.process_tree import MemoryWatch, cpu_seconds, memory

SAMPLE_S = 0.02


def convert_once(home: Path, name: str, state: str, scratch: Path) -> dict[str, Any]:
    """Do one piece of work into a temporary directory, which is removed afterwards.

    Args:
        home: directory of the data.
        name: of the work.
        state: "warm" or "cold" to time it, "memory" to watch its memory, which would slow it down.
        scratch: where the temporary directory goes.
    """
    work, source = WORKS[name], read_source(home)
    files = source_files(source, work.source)
    with TemporaryDirectory(prefix="converted-", dir=scratch) as temporary:
        out = Path(temporary)
        if state == "memory":
            base = memory()
            with MemoryWatch(SAMPLE_S) as watch:
                patches = work.run(source, out)
            above = watch.peak.own_nbytes - base.own_nbytes
            return {"patches": patches, "peak_above_imports_nbytes": above, "imports_nbytes": base.own_nbytes}
        os.sync()  # so that nothing of what came before is written while the clock runs
        how = ""
        if state == "cold":
            how = page_cache.drop(files)
        else:
            page_cache.read_all(files)
        cpu, start = cpu_seconds(), time.perf_counter()
        patches = work.run(source, out)
        flush(out)
        elapsed = time.perf_counter() - start
        nbytes = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
        return {
            "patches": patches,
            "seconds": elapsed,
            "cpu_seconds": cpu_seconds() - cpu,
            "out_nbytes": nbytes,
            "note": how,
        }


@click.command()
@click.argument("home", type=click.Path(path_type=Path))
@click.argument("name")
@click.argument("state")
@click.argument("scratch", type=click.Path(path_type=Path))
@click.argument("result", type=click.Path(path_type=Path))
def main(home: Path, name: str, state: str, scratch: Path, result: Path) -> None:
    """Do the work NAME on the data in HOME, and write RESULT (JSON)."""
    result.write_text(json.dumps(convert_once(home, name, state, scratch)), encoding="utf-8")


if __name__ == "__main__":
    main()
