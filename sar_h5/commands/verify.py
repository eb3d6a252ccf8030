"""``sar-h5 verify``."""

from __future__ import annotations

import json
import sys

import click

from sar_h5.verification import verify


@click.command("verify")
@click.argument("file", type=click.Path())
@click.option(
    "--source",
    multiple=True,
    metavar="SOURCE",
    help="Compare value by value with the products or shards that it was made from (repeatable).",
)
@click.option("--sample", type=int, help="Check only so many patches, spread over the file; the structure always.")
@click.option("--seed", type=int, default=0, show_default=True, help="Another one samples other patches.")
@click.option("--jobs", type=int, help="Threads that read and check.  [default: as many as there are cores to use]")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def command(file: str, source: tuple[str, ...], sample: int | None, seed: int, jobs: int | None, as_json: bool) -> None:
    """Check FILE from end to end: structure, attributes, index, the checksum and every code of every patch, the digest.

    Lists every problem with its place. Exit code 1 where there is one.

    \b
    Everything, with all cores:
        sar-h5 verify vv.h5
    A quick look at 2,000 patches:
        sar-h5 verify vv.h5 --sample 2000
    Value by value against what it was made from:
        sar-h5 verify vv.h5 --source products/
    """  # noqa: D301 - the escape is the character that tells click to keep lines
    report = verify(file, source or None, sample, jobs, seed=seed, progress=None)
    if as_json:
        click.echo(json.dumps(report.to_dict(), indent=2))
    elif report.ok:
        click.echo(report.summarize())
    else:
        for problem in report.problems:
            click.echo(str(problem))
        click.echo(f"sar-h5: {report.summarize()}", err=True)
    if not report.ok:
        sys.exit(1)
