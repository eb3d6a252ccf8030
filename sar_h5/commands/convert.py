"""``sar-h5 convert``."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import click

from sar_h5.conversion import convert
from sar_h5.schema import ENCODINGS, LAYOUTS
from sar_h5.settings import (
    BAD_SOURCE_POLICIES,
    CODECS,
    DEFAULT_CACHE_NBYTES,
    VALID_MEASURES,
    BadSourcePolicy,
    ValidMeasure,
)
from sar_h5.sources.naming import POLARIZATIONS
from sar_h5.units import Units


@click.command("convert")
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE...")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Directory for vv.h5, vh.h5, ...")
@click.option("--patch-size", type=int, help="Side of a patch in pixels.  [default: 256; shards keep theirs]")
@click.option("--stride", type=int, help="Distance of neighbouring patches in pixels.  [default: 128]")
@click.option(
    "--min-valid", type=float, help="Least valid fraction to keep a patch.  [default: 0.9; shards keep all patches]"
)
@click.option(
    "--valid-by",
    type=click.Choice(VALID_MEASURES),
    default="range",
    show_default=True,
    help="What counts as valid: pixels strictly inside (0.01, 0.99) after scaling, or pixels that hold data.",
)
@click.option(
    "--percentiles",
    type=(float, float),
    default=(1, 99),
    show_default=True,
    help="Percentiles of all valid pixels of all scenes that become 0 and 1.",
)
@click.option("--vmin", type=float, help="Bound in dB that becomes 0, instead of a percentile.")
@click.option("--vmax", type=float, help="Bound in dB that becomes 1, instead of a percentile.")
@click.option("--bounds", type=click.Path(path_type=Path), help="File with vmin and vmax: .npy, pickle or JSON.")
@click.option(
    "--bounds-from",
    multiple=True,
    metavar="SCENES",
    help="Compute percentiles on these scenes only (repeatable): the name of a scene, a text file with a name in each "
    "line, or an HDF5 file with splits, for its scenes of training.",
)
@click.option(
    "--polarization",
    type=click.Choice(POLARIZATIONS, case_sensitive=False),
    multiple=True,
    help="Convert only this one (repeatable); also names it for files that do not tell.",
)
@click.option(
    "--units",
    type=click.Choice(["auto", *(unit.value for unit in Units)]),
    default="auto",
    show_default=True,
    help="What float rasters hold; auto asks where there is doubt.",
)
@click.option(
    "--encoding",
    type=click.Choice(["auto", *ENCODINGS]),
    default="auto",
    show_default=True,
    help="How values are stored, all lossless: codes of a palette (auto: where it fits), digital numbers, floats.",
)
@click.option(
    "--codec", type=click.Choice(CODECS), default="fast", show_default=True, help="A preset, or a Blosc compressor."
)
@click.option("--clevel", type=int, help="Compression level 0 to 9.")
@click.option("--shuffle", type=click.Choice(["byte", "bit", "none"]), help="Blosc's shuffle.  [default: by size]")
@click.option(
    "--layout",
    type=click.Choice(LAYOUTS),
    default="patches",
    show_default=True,
    help="A chunk for each patch, or blocks that overlapping patches share: about a quarter of the size.",
)
@click.option("--overwrite", is_flag=True, help="Replace existing files.")
@click.option(
    "--resume",
    is_flag=True,
    help="Go on with what an earlier run of the same command has left, and keep what this one leaves unfinished.",
)
@click.option(
    "--on-bad-source",
    type=click.Choice(BAD_SOURCE_POLICIES),
    default="fail",
    show_default=True,
    help="Name every broken source and write nothing, or go on without them.",
)
@click.option("--jobs", type=int, help="Threads that compress and hash.  [default: as many as there are cores to use]")
@click.option(
    "--cache-mb",
    type=int,
    default=DEFAULT_CACHE_NBYTES // 1_000_000,
    show_default=True,
    help="Memory for pixels of products that are needed twice, in MB; others are read twice.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
def command(
    sources: tuple[str, ...],
    out: Path,
    patch_size: int | None,
    stride: int | None,
    min_valid: float | None,
    valid_by: ValidMeasure,
    percentiles: tuple[float, float],
    vmin: float | None,
    vmax: float | None,
    bounds: Path | None,
    bounds_from: tuple[str, ...],
    polarization: tuple[str, ...],
    units: str,
    encoding: str,
    codec: str,
    clevel: int | None,
    shuffle: str | None,
    layout: str,
    overwrite: bool,
    resume: bool,
    on_bad_source: BadSourcePolicy,
    jobs: int | None,
    cache_mb: int,
    as_json: bool,
) -> None:
    """Convert Sentinel-1 products, GeoTIFFs or .npy shards into one HDF5 file per polarization in --out.

    SOURCE is a directory of products or of shards, a .SAFE directory, a zipped .SAFE, a GeoTIFF or a shard; any
    number of them. Values read back equal the reference pipeline (products) or the shards, bit for bit. Files appear
    under their final names only when all of them are complete.

    \b
    Products, all polarizations, bounds from the data:
        sar-h5 convert products/ --out h5/
    Shards with their metadata.npy and global_bounds.npy:
        sar-h5 convert patches/ --out h5/
    Shards without, one polarization, smaller files:
        sar-h5 convert patches/ --out h5/ --polarization vv --vmin 14.77 --vmax 24.54 --codec small
    A long run, and the same again after a power cut or a full disk:
        sar-h5 convert products/ --out h5/ --resume
    Once more, with bounds from the scenes of training alone:
        sar-h5 split h5/vv.h5 && sar-h5 convert products/ --out h5b/ --bounds-from h5/vv.h5
    """  # noqa: D301 - the escape is the character that tells click to keep lines
    # Job systems ask with SIGTERM; what Ctrl-C cleans up is cleaned up then too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    summary = convert(
        sources,
        out,
        patch_size=patch_size,
        stride=stride,
        min_valid=min_valid,
        valid_by=valid_by,
        percentiles=percentiles,
        vmin=vmin,
        vmax=vmax,
        bounds=bounds,
        bounds_from=bounds_from,
        polarization=polarization,
        units=units,
        encoding=encoding,
        codec=codec,
        clevel=clevel,
        shuffle=shuffle,
        layout=layout,
        overwrite=overwrite,
        resume=resume,
        on_bad_source=on_bad_source,
        jobs=jobs,
        cache_nbytes=cache_mb * 1_000_000,
    )
    click.echo(json.dumps(summary.to_dict(), indent=2) if as_json else summary.to_text())
