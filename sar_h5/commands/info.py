"""``sar-h5 info``."""

from __future__ import annotations

import json

import click

from sar_h5.info import read_info


@click.command("info")
@click.argument("file", type=click.Path())
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON, with all scenes.")
def command(file: str, as_json: bool) -> None:
    """Show what FILE holds, in a screenful: patches, bounds, encoding, size, scenes. No patch is decoded."""
    info = read_info(file)
    click.echo(json.dumps(info.to_dict(), indent=2) if as_json else info.to_text())
