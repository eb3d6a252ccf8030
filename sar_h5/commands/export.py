"""``sar-h5 export``."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import click

from sar_h5.tables.index_export import export_index


@click.command("export")
@click.argument("file", type=click.Path())
@click.option("--index", type=click.Path(path_type=Path), help="Table to write: index.parquet or index.csv.")
@click.option("--manifest", type=click.Path(path_type=Path), help="CSV with a row per scene, joined by its name.")
@click.option("--where", help="Condition on the columns; only patches for which it holds are exported.")
@click.option("--overwrite", is_flag=True, help="Replace an existing result.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
def command(
    file: str, index: Path | None, manifest: Path | None, where: str | None, overwrite: bool, as_json: bool
) -> None:
    """Export from FILE: its index as a table with one row per patch (number, scene, row, col, valid fraction, time...).

    A manifest is a CSV of your own with a column scene (or name) and any others; each patch gets the row of its scene.
    A condition compares columns with numbers or text in quotes (== != < <= > >=, in [...]), joined by and, or, not.

    \b
    All patches:
        sar-h5 export h5/vv.h5 --index index.parquet
    The best patches of one satellite, since 2021:
        sar-h5 export h5/vv.h5 --index s1a.csv \\
            --where "platform == 'S1A' and valid_fraction > 0.95 and start_time >= '2021'"
    With columns of your own:
        sar-h5 export h5/vv.h5 --index ice.parquet --manifest scenes.csv --where "season == 'winter'"
    """  # noqa: D301 - the escape is the character that tells click to keep lines
    if index is None:
        raise click.UsageError("nothing to export was named; give --index index.parquet or --index index.csv")
    # Job systems ask with SIGTERM; what Ctrl-C cleans up is cleaned up then too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    summary = export_index(file, index, manifest=manifest, where=where, overwrite=overwrite)
    click.echo(json.dumps(summary.to_dict(), indent=2) if as_json else summary.to_text())
