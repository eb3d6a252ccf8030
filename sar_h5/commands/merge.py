"""``sar-h5 merge``."""

from __future__ import annotations

import json
import signal
import warnings
from pathlib import Path

import click

from sar_h5.derivation.merging import merge
from sar_h5.splits.leakage import LeakageWarning


@click.command("merge")
@click.argument("files", nargs=-1, required=True, metavar="FILE FILE...", type=click.Path())
@click.option("--out", required=True, type=click.Path(), help="The new file; FILEs themselves stay as they are.")
@click.option("--vmin", type=float, help="New bound in dB that becomes 0; for files of --encoding dn.")
@click.option("--vmax", type=float, help="New bound in dB that becomes 1.")
@click.option("--bounds", type=click.Path(path_type=Path), help="File with both: .npy, pickle or JSON.")
@click.option("--overwrite", is_flag=True, help="Replace an existing --out.")
@click.option("--jobs", type=int, help="Threads that read and check.  [default: as many as there are cores to use]")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
def command(
    files: tuple[str, ...],
    out: str,
    vmin: float | None,
    vmax: float | None,
    bounds: Path | None,
    overwrite: bool,
    jobs: int | None,
    as_json: bool,
) -> None:
    """Put the patches of several FILEs of one kind into a new one.

    Polarization, patch size, stride, encoding, quality filter and bounds must be the same; every difference is named.
    Parts of one scene are put together again, a patch may be in one file only. Splits of one name are joined and
    measured again for leaks.

    \b
    Years that were converted one by one, with the same --bounds:
        sar-h5 merge 2019/vv.h5 2020/vv.h5 2021/vv.h5 --out vv.h5
    Files of digital numbers (--encoding dn) with bounds of their own:
        sar-h5 merge 2019/dn.h5 2020/dn.h5 --out vv.h5 --vmin 14.77 --vmax 24.54
    """  # noqa: D301 - the escape is the character that tells click to keep lines
    # Job systems ask with SIGTERM; what Ctrl-C cleans up is cleaned up then too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LeakageWarning)  # the summary has them
        summary = merge(files, out, vmin=vmin, vmax=vmax, bounds=bounds, overwrite=overwrite, jobs=jobs, progress=None)
    click.echo(json.dumps(summary.to_dict(), indent=2) if as_json else summary.to_text())
    for warning in summary.warnings:
        click.echo(f"sar-h5: warning: {warning}", err=True)
