"""``sar-h5 demo``."""

from __future__ import annotations

import tempfile
from pathlib import Path

import click

from sar_h5.demo import run_demo


@click.command("demo")
@click.option("--out", type=click.Path(path_type=Path), help="Keep products and files here.  [default: remove them]")
def command(out: Path | None) -> None:
    """Simulate two small dual-polarization products, convert them, verify the files, and serve an epoch from workers.

    Shows the whole way on a machine without data, in less than two minutes.

    \b
    Nothing is kept:
        sar-h5 demo
    Keep products and files, to look at or to try the other commands on:
        sar-h5 demo --out demo
    """  # noqa: D301 - the escape is the character that tells click to keep lines
    if out is not None:
        run_demo(out, click.echo)
        click.echo(f"Look inside: sar-h5 info {out / 'h5' / 'vv.h5'}    or    h5ls -v {out / 'h5' / 'vv.h5'}")
        return
    with tempfile.TemporaryDirectory(prefix="sar-h5-demo-") as directory:
        run_demo(Path(directory), click.echo)
    click.echo("Products and files were removed; --out DIR keeps them.")
