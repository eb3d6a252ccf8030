"""``sar-h5 export``."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import TypedDict

import click

from sar_h5.exports.export_summary import ExportSummary
from sar_h5.exports.geotiff_export import export_geotiffs
from sar_h5.exports.shard_export import export_shards
from sar_h5.schema import DEFAULT_SPLIT, SPLIT_CODES
from sar_h5.sources.patch_tags import PIXELS, Pixels
from sar_h5.tables.index_export import IndexSummary, export_index


@click.command("export")
@click.argument("file", type=click.Path())
@click.option("--index", type=click.Path(path_type=Path), help="Table to write: index.parquet or index.csv.")
@click.option("--shards", type=click.Path(path_type=Path), help="Directory to make, of a .npy of values per scene.")
@click.option("--geotiff", type=click.Path(path_type=Path), help="Directory to make, of a GeoTIFF per patch.")
@click.option(
    "--pixels",
    type=click.Choice(PIXELS),
    help="What GeoTIFFs hold: values in [0, 1], or digital numbers where the file has them.  [default: values]",
)
@click.option("--manifest", type=click.Path(path_type=Path), help="CSV with a row per scene, joined by its name.")
@click.option("--where", help="Condition on the columns; only patches for which it holds are exported.")
@click.option("--split", type=click.Choice(list(SPLIT_CODES)), help="Only the patches of this split.")
@click.option("--split-name", default=DEFAULT_SPLIT, show_default=True, help="Which of the file's ways of splitting.")
@click.option("--scene", multiple=True, help="Only the patches of the scene of this name (repeatable).")
@click.option("--jobs", type=int, help="Threads.  [default: as many as there are cores to use]")
@click.option("--overwrite", is_flag=True, help="Replace an existing result; of directories only earlier exports.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
def command(
    file: str,
    index: Path | None,
    shards: Path | None,
    geotiff: Path | None,
    pixels: Pixels | None,
    manifest: Path | None,
    where: str | None,
    split: str | None,
    split_name: str,
    scene: tuple[str, ...],
    jobs: int | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Export from FILE one of: its index as a table, its patches as .npy shards, or its patches as GeoTIFFs.

    The index has a row per patch (number, scene, row, col, valid fraction, time...). Shards and GeoTIFFs hold the
    patches bit for bit, with all that the file says of them, so that they can be converted into an equal file. The
    checksum of each patch is looked at when it is read; a directory appears when it is complete.

    A manifest is a CSV of your own with a column scene (or name) and any others; each patch gets the row of its scene.
    A condition compares columns with numbers or text in quotes (== != < <= > >=, in [...]), joined by and, or, not.

    \b
    A table of all patches:
        sar-h5 export h5/vv.h5 --index index.parquet
    The best patches of one satellite, since 2021:
        sar-h5 export h5/vv.h5 --index s1a.csv \\
            --where "platform == 'S1A' and valid_fraction > 0.95 and start_time >= '2021'"
    With columns of your own:
        sar-h5 export h5/vv.h5 --index ice.parquet --manifest scenes.csv --where "season == 'winter'"
    Shards for programs that read .npy, of the patches to validate with:
        sar-h5 export h5/vv.h5 --shards val-shards --split val
    GeoTIFFs of one scene, to look at in QGIS:
        sar-h5 export h5/vv.h5 --geotiff patches --scene S1A_IW_GRDH_1SDV_20210119T031653_...
    And back:
        sar-h5 convert val-shards --out h5-val
    """  # noqa: D301 - the escape is the character that tells click to keep lines
    named = [option for option, value in (("--index", index), ("--shards", shards), ("--geotiff", geotiff)) if value]
    if not named:
        raise click.UsageError(
            "nothing to export was named; give --index index.parquet or --index index.csv, --shards DIR, or "
            "--geotiff DIR"
        )
    if len(named) > 1:
        raise click.UsageError(f"{' and '.join(named)} are several exports; make one after the other")
    if pixels is not None and geotiff is None:
        raise click.UsageError("--pixels is for --geotiff")
    # Job systems ask with SIGTERM; what Ctrl-C cleans up is cleaned up then too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    chosen: _Chosen = {
        "where": where,
        "manifest": manifest,
        "split": split,
        "split_name": split_name,
        "scene": scene,
        "overwrite": overwrite,
    }
    summary: IndexSummary | ExportSummary
    if geotiff is not None:
        summary = export_geotiffs(file, geotiff, pixels=pixels or "values", jobs=jobs, **chosen)
    elif shards is not None:
        summary = export_shards(file, shards, jobs=jobs, **chosen)
    elif index is not None:
        summary = export_index(file, index, **chosen)
    click.echo(json.dumps(summary.to_dict(), indent=2) if as_json else summary.to_text())


class _Chosen(TypedDict):
    """What all exports take."""

    where: str | None
    manifest: Path | None
    split: str | None
    split_name: str
    scene: tuple[str, ...]
    overwrite: bool
