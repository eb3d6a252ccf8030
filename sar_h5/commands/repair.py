"""``sar-h5 repair``."""

from __future__ import annotations

import json
import signal

import click

from sar_h5.file_repair import repair


@click.command("repair")
@click.argument("file", type=click.Path())
@click.option("--out", required=True, type=click.Path(), help="The new file; FILE itself stays as it is.")
@click.option(
    "--source",
    multiple=True,
    metavar="SOURCE",
    help="Make broken patches again from what FILE was made from (repeatable).",
)
@click.option("--drop", is_flag=True, help="Leave out broken patches that cannot be made again.")
@click.option("--overwrite", is_flag=True, help="Replace an existing --out.")
@click.option("--jobs", type=int, help="Threads that read and check.  [default: as many as there are cores to use]")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
def command(
    file: str, out: str, source: tuple[str, ...], drop: bool, overwrite: bool, jobs: int | None, as_json: bool
) -> None:
    """Write a sound copy of FILE, whose patches are broken, to --out.

    Sound patches are copied as they are stored. Broken ones are made again from --source and proven right by the
    digest of the file, or dropped, with a record in the new one. Broken structure (attributes, columns) cannot be
    mended.

    \b
    Make broken patches again:
        sar-h5 repair vv.h5 --out sound/vv.h5 --source products/
    Leave them out:
        sar-h5 repair vv.h5 --out sound/vv.h5 --drop
    Make again what the source has, leave out the rest:
        sar-h5 repair vv.h5 --out sound/vv.h5 --source products/ --drop
    """  # noqa: D301 - the escape is the character that tells click to keep lines
    # Job systems ask with SIGTERM; what Ctrl-C cleans up is cleaned up then too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    summary = repair(file, out, source=source or None, drop=drop, overwrite=overwrite, jobs=jobs, progress=None)
    click.echo(json.dumps(summary.to_dict(), indent=2) if as_json else summary.to_text())
