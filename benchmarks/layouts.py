"""``python -m benchmarks.layouts``: sizes and reading times of layouts and codecs, as JSON and Markdown."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click

from benchmarks.layout_files import Choice, Scenes, find_bounds, make_file
from benchmarks.layout_measures import (
    chunk_bytes_per_pixel,
    code_entropy,
    count_patches,
    ratio_without_edges,
    time_reads,
)
from benchmarks.layout_table import markdown
from benchmarks.machine import describe_machine, describe_versions
from sar_h5.sources.simulator import SimulatedScene, simulate_product

PRESETS = (Choice("", "fast"), Choice("", "small"))
CODECS = tuple(
    Choice("", codec, clevel, shuffle)
    for codec, clevel in (("lz4", 5), ("lz4hc", 9), ("zstd", 1), ("zstd", 3), ("zstd", 5), ("zstd", 8), ("zstd", 9))
    for shuffle in ("byte", "bit")
)
GIVEN_BOUNDS = (14.77, 24.54)
"""Bounds in dB that shards in use were scaled with: 257 values."""

SLOWEST = (("zstd", 8), ("zstd", 9))
"""Blosc makes levels 15 and 22 of them, the last at a megabyte a second: only for a quarter of the pixels, blocks."""


@dataclass(frozen=True)
class Measured:
    """One file.

    Attributes:
        scenes: what it holds.
        layout: "naive", "patches" or "blocks".
        choice: codec as it was asked for.
        codec: as it was chosen, in words.
        nbytes: size of the file.
        ratio: size of the patches as float32 over it.
        bytes_per_pixel: in chunks, each time that a pixel is stored.
        ratio_without_edges: what the ratio comes to in the inside of large scenes, chunks alone.
        read_us: processor time of a patch read in shuffled order from memory, in one thread.
        convert_seconds, convert_cpu_seconds: of writing it.
    """

    scenes: str
    layout: str
    choice: str
    codec: str
    nbytes: int
    ratio: float
    bytes_per_pixel: float
    ratio_without_edges: float
    read_us: float
    convert_seconds: float
    convert_cpu_seconds: float


def choices(*, presets_only: bool) -> Iterator[Choice]:
    """Yield every way to write a file."""
    yield Choice("naive")
    for layout in ("patches", "blocks"):
        for one in PRESETS if presets_only else PRESETS + CODECS:
            if layout == "blocks" or (one.codec, one.clevel) not in SLOWEST:
                yield Choice(layout, one.codec, one.clevel, one.shuffle)


def measure(scenes: Scenes, work: Path, rounds: int, *, presets_only: bool = False) -> dict[str, Any]:
    """Write one set of scenes in every way, and measure the files.

    Returns:
        Bounds, entropies, number of patches, and a list of files, as plain data.
    """
    bounds = find_bounds(scenes)
    every = {f"{choice.layout} {choice.name}": choice for choice in choices(presets_only=presets_only)}
    made = {name: make_file(scenes, bounds, choice, work / name.replace(" ", "-")) for name, choice in every.items()}
    times = time_reads({name: (one.path, every[name].layout) for name, one in made.items()}, rounds)
    patches = count_patches(made["blocks fast"].path, "blocks")
    files = []
    for name, one in made.items():
        layout, nbytes = every[name].layout, one.path.stat().st_size
        per_pixel = chunk_bytes_per_pixel(one.path, layout)
        files.append(
            Measured(
                scenes.title,
                layout,
                every[name].name,
                one.codec,
                nbytes,
                patches * 256 * 256 * 4 / nbytes,
                per_pixel,
                ratio_without_edges(per_pixel, layout),
                times[name],
                one.seconds,
                one.cpu_seconds,
            )
        )
    return {
        "title": scenes.title,
        "vmin": bounds[0],
        "vmax": bounds[1],
        "patches": patches,
        "codes": code_entropy(made["blocks fast"].path),
        "files": [asdict(file) for file in files],
    }


def all_scenes(products: Path, real: Path | None) -> Iterator[Scenes]:
    """Yield what is measured: simulated scenes by their own percentiles and by given bounds, and a real scene."""
    for polarization in ("vv", "vh"):
        yield Scenes(f"{polarization.upper()} simulated", products, polarization)
        title = f"{polarization.upper()} simulated, {GIVEN_BOUNDS[0]} to {GIVEN_BOUNDS[1]} dB"
        yield Scenes(title, products, polarization, *GIVEN_BOUNDS)
        if real is not None:
            yield Scenes(f"{polarization.upper()} real, decimated", real, polarization)


@click.command()
@click.option("--work", type=click.Path(path_type=Path), required=True, help="Where scenes and temporary files go.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="JSON file for the results.")
@click.option("--table", type=click.Path(path_type=Path), help="Markdown file.")
@click.option("--real", type=click.Path(path_type=Path, exists=True), help="A real product to measure as well.")
@click.option("--side", default=2944, show_default=True, help="Rows and columns of each simulated scene, in pixels.")
@click.option("--scenes", default=1, show_default=True, help="How many scenes are simulated.")
@click.option("--rounds", default=20, show_default=True, help="How often reading is measured.")
@click.option("--presets-only", is_flag=True, help='Leave out all codecs but "fast" and "small".')
def main(
    work: Path,
    out: Path,
    table: Path | None,
    real: Path | None,
    side: int,
    scenes: int,
    rounds: int,
    *,
    presets_only: bool,
) -> None:
    """Compare layouts and codecs on patches of 256 pixels every 128, none dropped, at native resolution."""
    products = work / f"products-{side}-{scenes}"
    if not products.is_dir():
        partial = products.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        for seed in range(1, scenes + 1):
            # Without borders: every pixel holds data.
            simulate_product(partial, SimulatedScene(side, side, border_px=0, seed=seed, orbit=36200 + seed))
        partial.rename(products)
    results: dict[str, Any] = {
        "machine": describe_machine(),
        "versions": describe_versions(),
        "side": side,
        "scenes": scenes,
        "rounds": rounds,
        "sets": [],
    }
    for one in all_scenes(products, real):
        click.echo(one.title, err=True)
        with TemporaryDirectory(dir=work) as temporary:
            results["sets"].append(measure(one, Path(temporary), rounds, presets_only=presets_only))
        out.write_text(json.dumps(results, indent=1), encoding="utf-8")
    if table is not None:
        table.write_text(markdown(results), encoding="utf-8")


if __name__ == "__main__":
    main()
