"""The command line: which commands there are, and how errors reach the user. Each command lives in ``commands``."""

from __future__ import annotations

import sys
from importlib import import_module

import click

from sar_h5.errors import SarH5Error
from sar_h5.version import VERSION

COMMANDS = {
    "append": "Add scenes to a file.",
    "bench": "Measure how fast a file can be served here, and find the setting to use.",
    "convert": "Convert products or shards into one HDF5 file per polarization.",
    "demo": "Run the main job on simulated products.",
    "export": "Export a file's patches as shards or GeoTIFFs, or its index as a table.",
    "extract": "Write some patches of a file into a new one.",
    "info": "Show what a file holds.",
    "merge": "Put files of one kind together.",
    "plan": "Estimate disk, memory and time for a number of patches.",
    "preview": "Draw pictures of a file: patches, histogram, footprints, augmentation.",
    "repack": "Write a file anew in the other layout, or with another codec.",
    "repair": "Make broken patches of a file again, or drop them, in a new file.",
    "scan": "Look at sources before converting: what is broken, and what it will take.",
    "split": "Split a file into train, val and test without leakage.",
    "verify": "Check a file from end to end.",
}
"""Each command with its line of help; the modules are imported when called, so that help itself is instant."""


class CommandGroup(click.Group):
    """Imports a command's module when it is called, so that help is instant and converting needs no torch."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's
        """Write the list of commands without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the names of all commands."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        """Return a command by name, or None."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f"sar_h5.commands.{cmd_name}").command
        return command


@click.group(cls=CommandGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(VERSION, prog_name="sar-h5")
def group() -> None:
    """Sentinel-1 patches for training: one HDF5 file per polarization.

    \b
    A first look, on simulated products:   sar-h5 demo
    What converting will take:             sar-h5 scan SOURCE...
    From products or shards to files:      sar-h5 convert SOURCE... --out DIR
    What a file holds:                     sar-h5 info DIR/vv.h5
    What it looks like:                    sar-h5 preview DIR/vv.h5
    Is it sound?                           sar-h5 verify DIR/vv.h5
    Mend it, in a copy:                    sar-h5 repair DIR/vv.h5 --out sound.h5 --source SOURCE
    Further scenes for it:                 sar-h5 append DIR/vv.h5 SOURCE
    A part of it, and parts as one:        sar-h5 extract DIR/vv.h5 --out part.h5 --split train
                                           sar-h5 merge part.h5 other.h5 --out vv.h5
    In the other layout:                   sar-h5 repack DIR/vv.h5 --out small.h5 --layout blocks
    Train, val and test apart:             sar-h5 split DIR/vv.h5 DIR/vh.h5
    What is known of each patch:           sar-h5 export DIR/vv.h5 --index index.csv
    Patches for other programs:            sar-h5 export DIR/vv.h5 --geotiff patches
    How fast is it here?                   sar-h5 bench DIR/vv.h5

    Exit codes: 0 done; 1 done with problems, or refused, with the reason on standard error; 2 wrong usage.
    """  # noqa: D301 - the escape is the character that tells click to keep lines


def main() -> None:
    """Run the command line; errors of this package become one message and exit code 1."""
    try:
        group.main(prog_name="sar-h5", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt) as error:
        notes = getattr(error.__cause__ or error, "__notes__", None)
        kept = " ".join(notes or ["unfinished results were removed, nothing half-made is left"])
        _refuse(f"interrupted; {kept[:1].lower()}{kept[1:]}")
    except BrokenPipeError:
        # The reader of standard output has gone; Python would complain once more while flushing at exit.
        sys.stdout = None
        sys.exit(1)
    except SarH5Error as error:
        _refuse("\n".join([str(error), *getattr(error, "__notes__", [])]))


def _refuse(message: str) -> None:
    click.echo(f"sar-h5: {message}", err=True)
    sys.exit(1)
