"""What is measured of files in different layouts: bytes per pixel, the time a patch takes, the entropy of codes."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import h5py
import numpy as np
import numpy.typing as npt

from benchmarks.data import PATCH_SIZE
from benchmarks.layout_files import NAIVE_DATASET, STRIDE
from sar_h5 import SARH5Dataset

BATCH_SIZE = 64
BATCHES = 6
"""In a row, of each file in each round; the first of them warms up and does not count."""

SHARED = (PATCH_SIZE // STRIDE) ** 2
"""How many patches a pixel lies in, edges of scenes apart."""

NEIGHBOURS = tuple((row, col) for row in (-2, -1, 0) for col in range(-2, 3) if (row, col) < (0, 0))
CONTEXTS = 24

Read = Callable[[npt.NDArray[np.int64]], object]


def chunk_bytes_per_pixel(path: Path, layout: str) -> float:
    """Return the bytes that a pixel takes in chunks, each time that it is stored; index and checksums not counted."""
    with h5py.File(path) as file:
        chunks = file[{"naive": NAIVE_DATASET, "patches": "patches", "blocks": "blocks"}[layout]]
        return float(chunks.id.get_storage_size() / math.prod(chunks.shape))


def ratio_without_edges(bytes_per_pixel: float, layout: str) -> float:
    """Return float32 patches over what is stored in the inside of a scene, where every pixel is in four patches."""
    return 4 * (SHARED if layout == "blocks" else 1) / bytes_per_pixel


def count_patches(path: Path, layout: str) -> int:
    """Return the number of patches in a file."""
    with h5py.File(path) as file:
        return len(file[NAIVE_DATASET if layout == "naive" else "index/row"])


def time_reads(files: Mapping[str, tuple[Path, str]], rounds: int, seed: int = 0) -> dict[str, float]:
    """Measure shuffled reading from memory: processor time of a patch in one thread, in microseconds.

    Files of the package are served as float32 batches of 64 with augmentation; a naive file is read with
    ``read_direct``, and no more. Patches of a batch share no pixels, which is how it is in a shuffled epoch of many;
    batches of small scenes are smaller.

    Args:
        files: path and layout by name.
        rounds: how often each is measured, in another order each time.
        seed: of the orders.

    Returns:
        Medians over all batches.
    """
    generator = np.random.default_rng(seed)
    apart = _patches_apart(next(path for path, layout in files.values() if layout != "naive"))
    readers = {name: _reader(path, layout) for name, (path, layout) in files.items()}
    found: dict[str, list[float]] = {name: [] for name in files}
    for _ in range(rounds):
        for name in generator.permutation(list(files)).tolist():
            for batch in range(BATCHES):
                some = apart[generator.integers(len(apart))]
                numbers = generator.choice(some, min(BATCH_SIZE, len(some)), replace=False)
                start = time.process_time()
                readers[name](numbers)
                if batch:
                    found[name].append((time.process_time() - start) / len(numbers) * 1e6)
    return {name: statistics.median(times) for name, times in found.items()}


def _patches_apart(path: Path) -> list[npt.NDArray[np.int64]]:
    """Return four sets of patches that cover a file, and of which no two share pixels, as in batches of a large one."""
    with h5py.File(path) as file:
        rows, cols = (file[f"index/{name}"][:] // STRIDE % 2 for name in ("row", "col"))
    return [np.flatnonzero((rows == row) & (cols == col)) for row in (0, 1) for col in (0, 1)]


def _reader(path: Path, layout: str) -> Read:
    if layout != "naive":
        dataset = SARH5Dataset(path, augment=True, threads=1)
        return lambda numbers: dataset.__getitems__(numbers.tolist())
    stored = h5py.File(path, "r", rdcc_nbytes=0)[NAIVE_DATASET]
    batch = np.empty((BATCH_SIZE, PATCH_SIZE, PATCH_SIZE), np.float32)

    def read(numbers: npt.NDArray[np.int64]) -> None:
        for place, number in enumerate(numbers.tolist()):
            stored.read_direct(batch, np.s_[number], np.s_[place])

    return read


def code_entropy(path: Path) -> dict[str, float]:
    """Return what bounds compression of a file in layout "blocks", in bits per pixel.

    Returns:
        ``levels``: distinct codes. ``bits``: zero-order entropy, below which no code that treats pixels alike and
        one by one can come. ``bits_in_context``: the same given the mean of twelve neighbours that come before, in
        one of 24 classes: about what a coder that models its surroundings could reach.
    """
    with h5py.File(path) as file:
        codes = file["blocks"][:]
    counts = np.bincount(codes.ravel())
    around = sum(
        codes[:, 2 + row : codes.shape[1] + row, 2 + col : codes.shape[2] - 2 + col].astype(np.float32)
        for row, col in NEIGHBOURS
    )
    inner = codes[:, 2:, 2:-2].ravel()
    mean = np.asarray(around, np.float32).ravel()
    edges = np.quantile(mean[:: max(1, mean.size // 100_000)], np.linspace(0, 1, CONTEXTS + 1)[1:-1])
    classes = np.searchsorted(edges, mean)
    joint = np.bincount(classes * len(counts) + inner, minlength=CONTEXTS * len(counts)).reshape(CONTEXTS, -1)
    weights = joint.sum(axis=1) / inner.size
    return {
        "levels": int(np.count_nonzero(counts)),
        "bits": _bits(counts),
        "bits_in_context": float(sum(weight * _bits(one) for weight, one in zip(weights, joint, strict=True))),
    }


def _bits(counts: npt.NDArray[np.int64]) -> float:
    shares = counts[counts > 0] / max(counts.sum(), 1)
    return float(-(shares * np.log2(shares)).sum())
