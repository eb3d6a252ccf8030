"""``sar-h5 verify``."""

from __future__ import annotations

import json
import sys

import click

from sar_h5.verification import verify


@click.command("verify")
@click.argument("file", type=click.Path())
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def command(file: str, as_json: bool) -> None:
    """Check FILE from end to end: structure, attributes, index, the checksum and every code of every patch, the digest.

    Lists every problem with its place. Exit code 1 where there is one.

    \b
    After copying a file around:
        sar-h5 verify h5/vv.h5
    """  # noqa: D301 - the escape is the character that tells click to keep lines
    report = verify(file, progress=None)
    if as_json:
        click.echo(json.dumps(report.to_dict(), indent=2))
    elif report.ok:
        click.echo(f"{report.path}: {report.patches:,} patches, no problem")
    else:
        for problem in report.problems:
            click.echo(str(problem))
        count = len(report.problems)
        click.echo(f"sar-h5: {report.path}: {count:,} problem{'s' if count != 1 else ''}", err=True)
    if not report.ok:
        sys.exit(1)
