"""``sar-h5 split``."""

from __future__ import annotations

import json
import warnings

import click

from sar_h5.errors import SettingError
from sar_h5.schema import DEFAULT_SPLIT
from sar_h5.splits.files import split_file
from sar_h5.splits.leakage import LeakageWarning
from sar_h5.splits.methods import DEFAULT_FRACTIONS, METHODS, BlockSplit, PatchSplit, SplitMethod


@click.command("split")
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path())
@click.option(
    "--by",
    type=click.Choice(list(METHODS)),
    default="scene",
    show_default=True,
    help="What stays together: scenes, days (UTC), blocks of ground with a guard band between them, or nothing but "
    "patches, which is for those that do not overlap.",
)
@click.option(
    "--fractions",
    type=(float, float, float),
    default=DEFAULT_FRACTIONS,
    show_default=True,
    help="Parts of train, val and test; 0 leaves one out.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Another one gives another draw.")
@click.option("--name", default=DEFAULT_SPLIT, show_default=True, help="Under which the splits are stored.")
@click.option(
    "--block", type=int, help="By block: sides in pixels.  [default: 8 patches, less for few or small scenes]"
)
@click.option("--guard", type=int, help="By block: width of the guard band in pixels.  [default: a quarter of a patch]")
@click.option("--force", is_flag=True, help="By patch: split patches that overlap as well, and leak pixels.")
@click.option("--overwrite", is_flag=True, help="Replace splits of that name.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def command(
    files: tuple[str, ...],
    by: str,
    fractions: tuple[float, float, float],
    seed: int,
    name: str,
    block: int | None,
    guard: int | None,
    force: bool,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Split the patches of FILE into train, val and test without leakage, and store that in the file.

    No pixel is in two splits. Files of the same scenes (vv.h5, vh.h5) are split alike with the same options, at once or
    one by one; where they do not hold the same scenes, give them at once. `SARH5Dataset(FILE, split="train")` reads it.

    \b
    By scene, 80, 10 and 10 percent:
        sar-h5 split vv.h5 vh.h5
    By day, train and val only:
        sar-h5 split vv.h5 --by date --fractions 0.9 0.1 0
    By blocks of 1024 pixels with 128 pixels between them:
        sar-h5 split vv.h5 --by block --block 1024 --guard 128 --name blocks
    """  # noqa: D301 - the escape is the character that tells click to keep lines
    method = _make_method(by, fractions, seed, block, guard, force=force)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LeakageWarning)  # the report has them
        report = split_file(files, method, name=name, overwrite=overwrite)
    click.echo(json.dumps(report.to_dict(), indent=2) if as_json else report.to_text())
    for warning in report.warnings:
        click.echo(f"sar-h5: warning: {warning}", err=True)


def _make_method(
    by: str, fractions: tuple[float, ...], seed: int, block: int | None, guard: int | None, *, force: bool
) -> SplitMethod:
    if by != "block" and (block is not None or guard is not None):
        raise SettingError(f"--block and --guard are for --by block; found --by {by}")
    if by != "patch" and force:
        raise SettingError(f"--force is for --by patch, which alone can leak pixels; found --by {by}")
    if by == "block":
        return BlockSplit(fractions, seed, block, guard)
    if by == "patch":
        return PatchSplit(fractions, seed, force)
    return METHODS[by](fractions, seed)
