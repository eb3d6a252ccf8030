"""``sar-h5 bench``."""

from __future__ import annotations

import json

import click

from sar_h5.throughput import DEFAULT_SECONDS, bench


@click.command("bench")
@click.argument("file", type=click.Path())
@click.option("--seconds", type=float, default=DEFAULT_SECONDS, show_default=True, help="About how long to take.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def command(file: str, seconds: float, as_json: bool) -> None:
    """Measure how fast FILE can be served to a model on this machine, and print the loader setting to use.

    Tries worker processes, decode threads and batch sizes on float32 patches with augmentation, compares them with what
    the disk, the decoder and the way to the accelerator can do at best, and says which of these is the limit.

    \b
    In about half a minute:
        sar-h5 bench h5/vv.h5
    Longer, for a machine that does other work too; as JSON:
        sar-h5 bench h5/vv.h5 --seconds 300 --json
    """  # noqa: D301 - the escape is the character that tells click to keep lines
    report = bench(file, seconds=seconds)
    click.echo(json.dumps(report.to_dict(), indent=2) if as_json else report.to_text())
