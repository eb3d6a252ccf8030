"""``sar-h5 scan``."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from sar_h5.forecasts.source_scan import scan
from sar_h5.schema import ENCODINGS, LAYOUTS
from sar_h5.settings import CODECS, DEFAULT_CACHE_NBYTES, VALID_MEASURES, ValidMeasure
from sar_h5.sources.naming import POLARIZATIONS
from sar_h5.units import Units


@click.command("scan")
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE...")
@click.option("--deep", is_flag=True, help="Read every value, not only headers, sizes and a few places of each file.")
@click.option(
    "--out", default=".", show_default=True, type=click.Path(path_type=Path), help="Where results are to go: its disk."
)
@click.option("--patch-size", type=int, help="Side of a patch in pixels.  [default: 256; shards keep theirs]")
@click.option("--stride", type=int, help="Distance of neighbouring patches in pixels.  [default: 128]")
@click.option(
    "--min-valid", type=float, help="Least valid fraction to keep a patch.  [default: 0.9; shards keep all patches]"
)
@click.option(
    "--valid-by", type=click.Choice(VALID_MEASURES), default="range", show_default=True, help="What counts as valid."
)
@click.option(
    "--percentiles", type=(float, float), default=(1, 99), show_default=True, help="Percentiles that become 0 and 1."
)
@click.option("--vmin", type=float, help="Bound in dB that becomes 0, instead of a percentile.")
@click.option("--vmax", type=float, help="Bound in dB that becomes 1, instead of a percentile.")
@click.option("--bounds", type=click.Path(path_type=Path), help="File with vmin and vmax: .npy, pickle or JSON.")
@click.option(
    "--polarization",
    type=click.Choice(POLARIZATIONS, case_sensitive=False),
    multiple=True,
    help="Look only at this one (repeatable); also names it for files that do not tell.",
)
@click.option(
    "--units",
    type=click.Choice(["auto", *(unit.value for unit in Units)]),
    default="auto",
    show_default=True,
    help="What float rasters hold.",
)
@click.option(
    "--encoding",
    type=click.Choice(["auto", *ENCODINGS]),
    default="auto",
    show_default=True,
    help="How values will be stored.",
)
@click.option("--codec", type=click.Choice(CODECS), default="fast", show_default=True, help="How they are compressed.")
@click.option("--clevel", type=int, help="Compression level 0 to 9.")
@click.option("--shuffle", type=click.Choice(["byte", "bit", "none"]), help="Blosc's shuffle.  [default: by size]")
@click.option(
    "--layout", type=click.Choice(LAYOUTS), default="patches", show_default=True, help="How patches will be stored."
)
@click.option("--jobs", type=int, help="Threads.  [default: as many as there are cores to use]")
@click.option(
    "--cache-mb",
    type=int,
    default=DEFAULT_CACHE_NBYTES // 1_000_000,
    show_default=True,
    help="Memory for pixels of products that are needed twice, in MB.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def command(
    sources: tuple[str, ...],
    deep: bool,
    out: Path,
    patch_size: int | None,
    stride: int | None,
    min_valid: float | None,
    valid_by: ValidMeasure,
    percentiles: tuple[float, float],
    vmin: float | None,
    vmax: float | None,
    bounds: Path | None,
    polarization: tuple[str, ...],
    units: str,
    encoding: str,
    codec: str,
    clevel: int | None,
    shuffle: str | None,
    layout: str,
    jobs: int | None,
    cache_mb: int,
    as_json: bool,
) -> None:
    """Look at sources before converting them: what is there, what is broken, and what converting will take.

    SOURCE and the options are those of sar-h5 convert. Nothing is written. Patches, disk, memory and time are told from
    headers and samples; the disk is that of --out. Exit code 1 where something is broken, missing, or does not fit.

    \b
    In seconds, whatever the size:
        sar-h5 scan patches/ --out h5/
    Every value, in threads:
        sar-h5 scan patches/ --deep
    """  # noqa: D301 - the escape is the character that tells click to keep lines
    report = scan(
        sources,
        out=out,
        deep=deep,
        patch_size=patch_size,
        stride=stride,
        min_valid=min_valid,
        valid_by=valid_by,
        percentiles=percentiles,
        vmin=vmin,
        vmax=vmax,
        bounds=bounds,
        polarization=polarization,
        units=units,
        encoding=encoding,
        codec=codec,
        clevel=clevel,
        shuffle=shuffle,
        layout=layout,
        jobs=jobs,
        cache_nbytes=cache_mb * 1_000_000,
    )
    click.echo(json.dumps(report.to_dict(), indent=2) if as_json else report.to_text())
    if not report.ok:
        count = len(report.broken)
        broken = f"{count:,} source{'s are' if count != 1 else ' is'} broken" if count else ""
        problems = "; ".join(filter(None, [broken, *report.problems]))
        click.echo(f"sar-h5: this cannot be converted as it is: {problems}", err=True)
        sys.exit(1)
