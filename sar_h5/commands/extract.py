"""``sar-h5 extract``."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import click

from sar_h5.derivation.extraction import extract


@click.command("extract")
@click.argument("file", type=click.Path())
@click.option("--out", required=True, type=click.Path(), help="The new file; FILE itself stays as it is.")
@click.option("--split", metavar="SPLIT", help="Only patches of train, val or test; NAME:train of splits called NAME.")
@click.option("--where", help="Only patches for which this condition on the columns holds.")
@click.option("--scene", "scenes", multiple=True, metavar="NAME", help="Only patches of this scene (repeatable).")
@click.option("--manifest", type=click.Path(path_type=Path), help="CSV with a row per scene, for --where.")
@click.option("--vmin", type=float, help="New bound in dB that becomes 0; for files of --encoding dn.")
@click.option("--vmax", type=float, help="New bound in dB that becomes 1.")
@click.option("--bounds", type=click.Path(path_type=Path), help="File with both: .npy, pickle or JSON.")
@click.option("--overwrite", is_flag=True, help="Replace an existing --out.")
@click.option("--jobs", type=int, help="Threads that read and check.  [default: as many as there are cores to use]")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
def command(
    file: str,
    out: str,
    split: str | None,
    where: str | None,
    scenes: tuple[str, ...],
    manifest: Path | None,
    vmin: float | None,
    vmax: float | None,
    bounds: Path | None,
    overwrite: bool,
    jobs: int | None,
    as_json: bool,
) -> None:
    """Write some patches of FILE into a new file; all conditions must hold.

    Chunks are copied as they are stored, each checked on the way; splits, columns and history come along. `merge` puts
    parts together again. Conditions are those of `sar-h5 export`, whose table shows the columns.

    \b
    What training needs, to take elsewhere:
        sar-h5 extract vv.h5 --out train.h5 --split train
    The best patches of one satellite:
        sar-h5 extract vv.h5 --out s1a.h5 --where "platform == 'S1A' and valid_fraction > 0.95"
    By columns of your own:
        sar-h5 extract vv.h5 --out ice.h5 --manifest scenes.csv --where "season == 'winter'"
    All of a file of digital numbers, with other bounds:
        sar-h5 extract dn.h5 --out vv.h5 --vmin 12 --vmax 26
    """  # noqa: D301 - the escape is the character that tells click to keep lines
    # Job systems ask with SIGTERM; what Ctrl-C cleans up is cleaned up then too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    summary = extract(
        file,
        out,
        where=where,
        split=split,
        scenes=scenes,
        manifest=manifest,
        vmin=vmin,
        vmax=vmax,
        bounds=bounds,
        overwrite=overwrite,
        jobs=jobs,
        progress=None,
    )
    click.echo(json.dumps(summary.to_dict(), indent=2) if as_json else summary.to_text())
