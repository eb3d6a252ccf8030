"""``sar-h5 repack``."""

from __future__ import annotations

import json
import signal

import click

from sar_h5.compression import COMPRESSORS, PRESETS, SHUFFLES
from sar_h5.derivation.repacking import repack
from sar_h5.schema import LAYOUTS


@click.command("repack")
@click.argument("file", type=click.Path())
@click.option("--out", required=True, type=click.Path(), help="The new file; FILE itself stays as it is.")
@click.option(
    "--layout",
    type=click.Choice(LAYOUTS),
    help="A chunk for each patch, or blocks that overlapping patches share.  [default: as FILE]",
)
@click.option(
    "--codec",
    type=click.Choice([*PRESETS, *COMPRESSORS]),
    help="A preset, or a Blosc compressor.  [default: as FILE]",
)
@click.option("--clevel", type=int, help="Compression level 0 to 9.")
@click.option("--shuffle", type=click.Choice(list(SHUFFLES)), help="Blosc's shuffle.  [default: by size]")
@click.option("--overwrite", is_flag=True, help="Replace an existing --out.")
@click.option("--jobs", type=int, help="Threads that read and compress.  [default: as many as there are cores to use]")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
def command(
    file: str,
    out: str,
    layout: str | None,
    codec: str | None,
    clevel: int | None,
    shuffle: str | None,
    overwrite: bool,
    jobs: int | None,
    as_json: bool,
) -> None:
    """Write FILE anew, in the other layout or with another codec.

    The patches stay the same, bit for bit, and with them the content digest, which is checked; splits, columns, history
    and all else come along.

    \b
    Patches that overlap, each pixel once (about a quarter of the size at 50 % overlap):
        sar-h5 repack vv.h5 --out vv-blocks.h5 --layout blocks
    And back:
        sar-h5 repack vv-blocks.h5 --out vv.h5 --layout patches
    As small as can be, for an archive:
        sar-h5 repack vv.h5 --out archive.h5 --layout blocks --codec small
    """  # noqa: D301 - the escape is the character that tells click to keep lines
    # Job systems ask with SIGTERM; what Ctrl-C cleans up is cleaned up then too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    summary = repack(
        file,
        out,
        layout=layout,
        codec=codec,
        clevel=clevel,
        shuffle=shuffle,
        overwrite=overwrite,
        jobs=jobs,
        progress=None,
    )
    click.echo(json.dumps(summary.to_dict(), indent=2) if as_json else summary.to_text())
