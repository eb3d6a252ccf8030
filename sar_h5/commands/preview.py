"""``sar-h5 preview``."""

from __future__ import annotations

from pathlib import Path

import click

from sar_h5.preview import ALL, KINDS, preview
from sar_h5.schema import DEFAULT_SPLIT


@click.command("preview")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path(),
    help="Directory for <FILE>_<kind>.png, or a name that ends in .png, .pdf or .svg.  [default: current directory]",
)
@click.option(
    "--kind",
    "kinds",
    type=click.Choice([*KINDS, ALL]),
    multiple=True,
    default=["sheet"],
    show_default=True,
    help="Which picture (repeatable); all leaves out what FILE lacks the data for, and says so.",
)
@click.option("--patches", type=int, default=16, show_default=True, help="How many patches the sheet shows.")
@click.option("--seed", type=int, default=0, show_default=True, help="Another seed shows other patches.")
@click.option("--split", default=DEFAULT_SPLIT, show_default=True, help="Which splits of FILE color the footprints.")
@click.option("--overwrite", is_flag=True, help="Replace existing pictures.")
def command(
    file: Path, out: Path, kinds: tuple[str, ...], patches: int, seed: int, split: str, overwrite: bool
) -> None:
    """Draw pictures of FILE: what its patches look like, what the bounds cut off, where its scenes lie.

    \b
    sheet         patches from all over FILE, each with its scene and place
    histogram     how often each level occurs, the bounds, and the share clipped at each
    footprints    a map of scenes and patches, colored by split
    augmentation  one patch under the eight symmetries of the square

    Prints the path of each picture. Needs matplotlib: pip install 'sar_h5[pictures]'.

    \b
    A sheet of 16 patches, ./vv_sheet.png:
        sar-h5 preview h5/vv.h5
    Everything, into a directory:
        sar-h5 preview h5/vv.h5 --kind all --out pictures/
    The map for a paper:
        sar-h5 preview h5/vv.h5 --kind footprints --out map.pdf
    """  # noqa: D301 - the escape is the character that tells click to keep lines
    written = preview(
        file, out, kinds=kinds, patches=patches, seed=seed, split=split, overwrite=overwrite,
        note=lambda line: click.echo(f"sar-h5: {line}", err=True),
    )  # fmt: skip
    for path in written:
        click.echo(str(path))
