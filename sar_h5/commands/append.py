"""``sar-h5 append``."""

from __future__ import annotations

import json
import signal
import warnings

import click

from sar_h5.derivation.appending import append
from sar_h5.settings import BAD_SOURCE_POLICIES, BadSourcePolicy
from sar_h5.splits.leakage import LeakageWarning


@click.command("append")
@click.argument("file", type=click.Path())
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE...")
@click.option("--skip-existing", is_flag=True, help="Pass over scenes that FILE has already, instead of refusing them.")
@click.option(
    "--on-bad-source",
    type=click.Choice(BAD_SOURCE_POLICIES),
    default="fail",
    show_default=True,
    help="Name every broken source and write nothing, or go on without them.",
)
@click.option("--jobs", type=int, help="Threads that compress and check.  [default: as many as there are cores to use]")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
def command(
    file: str,
    sources: tuple[str, ...],
    skip_existing: bool,
    on_bad_source: BadSourcePolicy,
    jobs: int | None,
    as_json: bool,
) -> None:
    """Add scenes to FILE: products, GeoTIFFs, shards, or other files of this package.

    They are converted as FILE says (patch size, stride, bounds, quality filter, encoding, codec) and added behind its
    scenes. FILE is replaced at the end, in one go: it takes its size once more on the disk meanwhile, and however the
    run ends it is as it was, or complete. Whoever has it open goes on with the old one.

    \b
    The scenes of a new month:
        sar-h5 append h5/vv.h5 products/2021-05/
    Whatever is new below a directory:
        sar-h5 append h5/vv.h5 products/ --skip-existing
    """  # noqa: D301 - the escape is the character that tells click to keep lines
    # Job systems ask with SIGTERM; what Ctrl-C cleans up is cleaned up then too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LeakageWarning)  # the summary has them
        summary = append(
            file, sources, skip_existing=skip_existing, on_bad_source=on_bad_source, jobs=jobs, progress=None
        )
    click.echo(json.dumps(summary.to_dict(), indent=2) if as_json else summary.to_text())
    for warning in summary.warnings:
        click.echo(f"sar-h5: warning: {warning}", err=True)
