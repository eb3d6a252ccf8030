"""``sar-h5 info``."""

from __future__ import annotations

import json

import click

from sar_h5.info import read_info


@click.command("info")
@click.argument("file", type=click.Path())
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON, with all scenes.")
def command(file: str, as_json: bool) -> None:
    """Show what FILE holds, in a screenful: patches, bounds, encoding, size, scenes, splits. No patch is decoded.

    \b
    For people:
        sar-h5 info h5/vv.h5
    For programs, with all scenes:
        sar-h5 info h5/vv.h5 --json
    """  # noqa: D301 - the escape is the character that tells click to keep lines
    info = read_info(file)
    click.echo(json.dumps(info.to_dict(), indent=2) if as_json else info.to_text())
