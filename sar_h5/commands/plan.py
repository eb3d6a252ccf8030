"""``sar-h5 plan``."""

from __future__ import annotations

import json

import click

from sar_h5.forecasts.patch_plan import USUAL_BATCH_SIZE, plan, plan_common_sizes, table_to_text
from sar_h5.forecasts.planning import LIKE_POLARIZATION, MEASURED_CODECS
from sar_h5.schema import ENCODINGS, LAYOUTS, Layout


@click.command("plan")
@click.option("--patches", type=int, help="How many patches.  [default: a table of common numbers]")
@click.option("--patch-size", type=int, default=256, show_default=True, help="Side of a patch in pixels.")
@click.option("--codec", type=click.Choice(MEASURED_CODECS), help="Compression.  [default: fast; the table has all]")
@click.option(
    "--encoding", type=click.Choice(ENCODINGS), default="palette", show_default=True, help="How values are stored."
)
@click.option(
    "--polarization",
    type=click.Choice(list(LIKE_POLARIZATION), case_sensitive=False),
    default="vv",
    show_default=True,
    help="Of the images; cross-polarized ones are smaller.",
)
@click.option(
    "--layout", type=click.Choice(LAYOUTS), default="patches", show_default=True, help="How patches are stored."
)
@click.option("--stride", type=int, help="Distance of neighbouring patches, for blocks.  [default: half of their size]")
@click.option("--batch-size", type=int, default=USUAL_BATCH_SIZE, show_default=True, help="Patches in a batch.")
@click.option("--cores", type=int, help="Cores that share the work.  [default: those of this machine]")
@click.option("--json", "as_json", is_flag=True, help="Print the plan as JSON.")
def command(
    patches: int | None,
    patch_size: int,
    codec: str | None,
    encoding: str,
    polarization: str,
    layout: Layout,
    stride: int | None,
    batch_size: int,
    cores: int | None,
    as_json: bool,
) -> None:
    """Estimate what patches take in disk, memory and time, without any data.

    By constants measured on simulated scenes; the command scan measures a source, and bench a machine.

    \b
    A table of common numbers, sizes and codecs:
        sar-h5 plan
    Your own:
        sar-h5 plan --patches 720953 --patch-size 256 --codec small --polarization vv
    """  # noqa: D301 - the escape is the character that tells click to keep lines
    if patches is None:
        plans = plan_common_sizes(codec=codec, encoding=encoding, polarization=polarization, layout=layout, cores=cores)
        click.echo(json.dumps([one.to_dict() for one in plans], indent=2) if as_json else table_to_text(plans))
        return
    planned = plan(
        patches,
        patch_size=patch_size,
        codec="fast" if codec is None else codec,
        encoding=encoding,
        polarization=polarization,
        layout=layout,
        stride=stride,
        batch_size=batch_size,
        cores=cores,
    )
    click.echo(json.dumps(planned.to_dict(), indent=2) if as_json else planned.to_text())
