"""``python -m benchmarks.report``: the JSON of a run as a Markdown table and a picture."""

from __future__ import annotations

import json
from pathlib import Path

import click

from benchmarks.table import markdown


@click.command()
@click.argument("results", type=click.Path(path_type=Path, exists=True))
@click.option("--table", type=click.Path(path_type=Path), help="Markdown file; standard output where not given.")
@click.option("--picture", type=click.Path(path_type=Path), help="PNG, SVG or PDF; needs matplotlib.")
@click.option("--state", default="warm", show_default=True, help="What the picture shows: warm, cold or limited.")
def main(results: Path, table: Path | None, picture: Path | None, state: str) -> None:
    """Turn RESULTS into a table, and into a picture where one is asked for."""
    found = json.loads(results.read_text(encoding="utf-8"))
    text = markdown(found)
    if table is None:
        click.echo(text)
    else:
        table.write_text(text, encoding="utf-8")
    if picture is not None:
        # Here, because tables need no matplotlib.
        from benchmarks.picture import draw

        draw(found, picture, state)


if __name__ == "__main__":
    main()
