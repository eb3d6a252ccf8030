"""``python -m benchmarks.planning_constants``: the constants of ``forecasts.planning``, measured on simulated products.

Sizes come from compressing patches as a conversion does. Times are CPU seconds of whole runs in fresh processes, which
other work on the machine disturbs least; memory is the peak of such a process beyond its imports.
"""

from __future__ import annotations

import itertools
import json
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
import h5py
import numpy as np

from benchmarks.machine import describe_machine
from sar_h5 import convert, load_sar_image, preprocess_sar_complete, verify
from sar_h5.compression import choose_codec
from sar_h5.encoding import DnEncoder
from sar_h5.radiometry import Bounds
from sar_h5.schema import LAYOUTS
from sar_h5.sources.simulator import SimulatedScene, simulate_product

POLARIZATIONS = ("vv", "vh")
PATCH_SIZES = (64, 128, 256, 512)
ENCODINGS = ("palette", "dn", "float32")
CODECS: dict[str, dict[str, Any]] = {
    "fast": {"codec": "fast"},
    "small": {"codec": "small"},
    "none": {"codec": "lz4", "clevel": 0},
}
_SIDE = 2048
_SCENES = 3
_MANY = 400_000
_SAMPLED = 64


def measure_sizes(products: Path, polarization: str) -> dict[str, Any]:
    """Return stored bytes per pixel, by encoding and codec a list by patch size; bounds and numbers of codes."""
    pixels = load_sar_image(min(products.glob(f"*.SAFE/measurement/*-{polarization}-*.tiff")))
    _, how = preprocess_sar_complete(pixels)
    bounds = Bounds(how["vmin"], how["vmax"])
    result: dict[str, Any] = {"vmin": bounds.vmin, "vmax": bounds.vmax}
    for encoding in ENCODINGS:
        encoder = DnEncoder(encoding, bounds, "range")  # type: ignore[arg-type]  # a literal by another name
        stored = encoder.encode(pixels.astype(np.uint16), None).stored
        result[f"{encoding} codes"] = 0 if encoder.storage.lut is None else len(encoder.storage.lut)
        for name, options in CODECS.items():
            result[f"{encoding} {name}"] = [_bytes_per_pixel(stored, size, **options) for size in PATCH_SIZES]
    return result


def _bytes_per_pixel(stored: np.ndarray, size: int, codec: str, clevel: int | None = None) -> float:
    corners = [(row, col) for row in range(0, _SIDE, size) for col in range(0, _SIDE, size)][:_SAMPLED]
    patches = [np.ascontiguousarray(stored[row : row + size, col : col + size]) for row, col in corners]
    chosen = choose_codec(codec, patches, clevel)
    return round(sum(len(chosen.compress(patch)) for patch in patches) / len(patches) / size**2, 3)


def convert_task(source: str, out: str, codec: str, patch_size: str, layout: str = "patches") -> dict[str, float]:
    """Convert; shards keep their patch size ("0"), products overlap by half and drop nothing."""
    import rasterio  # noqa: F401 - counted as an import, not as the conversion's memory

    side = int(patch_size)
    grid: dict[str, Any] = {"patch_size": side, "stride": side // 2, "min_valid": 0} if side else {}
    return _measured(lambda: convert(source, out, layout=layout, **CODECS[codec], **grid))


def verify_task(path: str) -> dict[str, float]:
    """Verify a file."""
    return _measured(lambda: verify(path))


def epoch_task(path: str, workers: str) -> dict[str, float]:
    """Serve two epochs in shuffled, augmented batches of 64; the first, which compiles, is not timed."""
    import torch

    from sar_h5 import SARH5Dataset

    before = _status_nbytes("VmRSS")
    dataset = SARH5Dataset(path, augment=True, threads=1)
    processes = int(workers)
    loader: Any = torch.utils.data.DataLoader(
        dataset, batch_size=64, shuffle=True, num_workers=processes, persistent_workers=processes > 0
    )
    for _ in loader:
        pass
    cpu = _cpu_seconds()
    own = 0.0
    for _ in loader:
        own = own or max(
            (_private_nbytes(worker.pid) / 1e6 for worker in torch.multiprocessing.active_children()), default=0
        )
    return {
        "cpu_seconds": _cpu_seconds() - cpu,
        "imports_mb": before / 1e6,
        "peak_mb": (_status_nbytes("VmHWM") - before) / 1e6,
        "worker_mb": own,
    }


TASKS: dict[str, Callable[..., dict[str, float]]] = {
    "convert": convert_task,
    "verify": verify_task,
    "epoch": epoch_task,
}


def measure_runs(products: Path, work: Path) -> Iterator[tuple[str, dict[str, float]]]:
    """Yield what conversions, verifications and epochs took, by name."""
    convert(products, work / "first", stride=128, min_valid=0)
    shards = {name: _write_shards(work / f"shards-{name}", work / "first" / f"{name}.h5") for name in POLARIZATIONS}
    for name in POLARIZATIONS:  # compiles the loops
        _run("convert", shards[name], work / f"warm-{name}", "fast", 0)
    for name in POLARIZATIONS:
        for layout, codec in itertools.product(LAYOUTS, CODECS):
            path = work / f"{name}-{codec}-{layout}" / f"{name}.h5"
            case = f"{name} {codec} {layout}"
            yield f"{case} convert shards", _run("convert", shards[name], path.parent, codec, 0, layout)
            yield f"{case} verify", _run("verify", path) | _describe(path)
            yield f"{case} epoch", _run("epoch", path, 0)
    for layout, codec in itertools.product(LAYOUTS, CODECS):
        out = work / f"products-{codec}-{layout}"
        yield f"vv and vh {codec} {layout} convert products", _run("convert", products, out, codec, 256, layout)
    many = _write_many(work / "many")
    path = work / "many-h5" / "vh.h5"
    yield f"{_MANY} patches of 8 px, convert", _run("convert", many, path.parent, "fast", 0)
    yield f"{_MANY} patches of 8 px, verify", _run("verify", path) | _describe(path)
    yield f"{_MANY} patches of 8 px, epoch", _run("epoch", path, 0)
    yield f"{_MANY} patches of 8 px, epoch, 2 workers", _run("epoch", path, 2)


def _run(task: str, *arguments: object) -> dict[str, float]:
    """Run a task in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.planning_constants", "task", task, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603 - this module
    measured: dict[str, float] = json.loads(done.stdout)
    return measured


def _measured(work: Callable[[], object]) -> dict[str, float]:
    before, cpu = _status_nbytes("VmRSS"), _cpu_seconds()
    work()
    peak = (_status_nbytes("VmHWM") - before) / 1e6
    return {"cpu_seconds": _cpu_seconds() - cpu, "imports_mb": before / 1e6, "peak_mb": peak}


def _cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _status_nbytes(field: str) -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith(field))) * 1024


def _private_nbytes(process: int | None) -> int:
    lines = Path(f"/proc/{process}/smaps_rollup").read_text(encoding="ascii").splitlines()
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Private_"))


def _write_shards(directory: Path, path: Path) -> Path:
    directory.mkdir()
    with h5py.File(path) as f:
        values = f["lut"][:][f["patches"][:]]
        bounds = {"vmin": float(f.attrs["vmin"]), "vmax": float(f.attrs["vmax"])}
    np.save(directory / f"p-{path.stem}-1.npy", values)
    metadata = bounds | {"stride": 128}
    np.save(directory / "metadata.npy", np.array(metadata, dtype=object), allow_pickle=True)
    return directory


def _write_many(directory: Path) -> Path:
    directory.mkdir()
    levels = np.linspace(0, 1, 200, dtype=np.float32)
    np.save(directory / "p-vh-1.npy", levels[np.random.default_rng(0).integers(0, len(levels), (_MANY, 8, 8))])
    np.save(directory / "metadata.npy", np.array({"vmin": 5.0, "vmax": 20.0}, dtype=object), allow_pickle=True)
    return directory


def _describe(path: Path) -> dict[str, float]:
    with h5py.File(path) as f:
        stored, count = f["blocks" if "blocks" in f else "patches"], len(f["index/row"])
        megapixels = count * int(f.attrs["patch_size"]) ** 2 / 1e6
        overhead = (path.stat().st_size - stored.id.get_storage_size()) / count
    return {"megapixels": megapixels, "overhead_nbytes": overhead}


@click.group(invoke_without_command=True)
@click.option("--work", type=click.Path(path_type=Path), help="Where temporary files go.")
@click.pass_context
def main(context: click.Context, work: Path | None) -> None:
    """Measure, and print as JSON, a line for each result."""
    if context.invoked_subcommand:
        return
    click.echo(json.dumps(describe_machine()))
    with TemporaryDirectory(dir=work) as temporary:
        products = Path(temporary, "products")
        for seed in range(1, _SCENES + 1):
            simulate_product(products, SimulatedScene(_SIDE, _SIDE, border_px=0, seed=seed, orbit=36200 + seed))
        for polarization in POLARIZATIONS:
            click.echo(json.dumps({polarization: measure_sizes(products, polarization)}))
        for name, run in measure_runs(products, Path(temporary)):
            click.echo(json.dumps({name: {key: round(value, 3) for key, value in run.items()}}))


@main.command("task")
@click.argument("name", type=click.Choice(list(TASKS)))
@click.argument("arguments", nargs=-1)
def run_task(name: str, arguments: tuple[str, ...]) -> None:
    """Run one task in this process."""
    click.echo(json.dumps(TASKS[name](*arguments)))


if __name__ == "__main__":
    main()
