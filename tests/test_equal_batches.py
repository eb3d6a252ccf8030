"""Every way to a batch gives bit for bit what plain h5py, the table and NumPy's turns give."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, default_collate

import sar_h5.bulk_reads
from sar_h5 import BackgroundLoader, SARH5Dataset
from tests.block_files import overlapping_codes, to_blocks
from tests.patch_files import make_codes, make_lut, raw_chunks, read_plain, write_file

FORK = "fork" if os.name == "posix" else None
SEED, EPOCH = 5, 3

# name: (patches, side, levels of the table or 0 for float32 values, stored dtype)
FILES = {
    "uint8 with raw chunks": (11, 64, 256, "u1"),
    "uint16": (7, 96, 300, "<u2"),
    "dn": (5, 250, 65536, "<u2"),
    "float32": (9, 32, 0, "<f4"),
    "one patch": (1, 512, 200, "u1"),
    "pixels": (9, 1, 256, "u1"),
    "seven": (12, 7, 65536, "<u2"),
    "table of one": (6, 16, 1, "u1"),
}

# The same in layout "blocks", by the side of a block; patches share half of their blocks with the next ones.
BLOCK_FILES = {
    "blocks of uint8": (11, 64, 256, "u1", 32),
    "blocks of uint16": (7, 96, 300, "<u2", 16),
    "blocks of float32": (9, 32, 0, "<f4", 16),
    "blocks that are patches": (5, 48, 200, "u1", 48),
}
ALL_FILES = FILES | BLOCK_FILES


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One file of each kind."""
    directory = tmp_path_factory.mktemp("kinds")
    paths = {}
    for name, (count, size, levels, dtype) in FILES.items():
        codes = make_codes((count, size, size), levels or 1000, dtype)
        lut = make_lut(levels) if levels else None
        paths[name] = write_file(directory / f"{name}.h5", codes if levels else codes / np.float32(1000), lut)
    for name, (count, size, levels, dtype, side) in BLOCK_FILES.items():
        codes = overlapping_codes(count, size, levels or 1000, dtype)
        lut = make_lut(levels) if levels else None
        plain = write_file(directory / "plain.h5", codes if levels else codes / np.float32(1000), lut)
        paths[name] = to_blocks(plain, directory / f"{name}.h5", side)
    return paths


def join(batches: Iterable[Any]) -> Any:
    """One batch of several."""
    batches = list(batches)
    if isinstance(batches[0], dict):
        return {name: torch.cat([batch[name] for batch in batches]) for name in batches[0]}
    return torch.cat(batches)


def loader(dataset: SARH5Dataset, workers: int = 0) -> DataLoader[Any]:
    return DataLoader(
        dataset,
        batch_size=4,
        num_workers=workers,
        multiprocessing_context=FORK if workers else None,
        timeout=60 if workers else 0,
    )


WAYS: dict[str, Callable[[SARH5Dataset], Any]] = {
    "samples": lambda dataset: join(default_collate([dataset[i]]) for i in range(len(dataset))),
    "getitems": lambda dataset: default_collate(dataset.__getitems__(range(len(dataset)))),
    "loader": lambda dataset: join(loader(dataset)),
    "workers": lambda dataset: join(loader(dataset, 2)),
    "background": lambda dataset: join(BackgroundLoader(loader(dataset))),
    "background to cpu": lambda dataset: join(BackgroundLoader(loader(dataset), device="cpu", batches=1)),
}


def values_of(dataset: SARH5Dataset, made: Any, output: str) -> np.ndarray:
    if output == "codes":
        made = dataset.decoder()(made)
    elif isinstance(made, dict):
        made = made["image"]
    assert type(made) is torch.Tensor
    assert made.dtype == torch.float32
    return made.numpy()  # type: ignore[no-any-return]


def check(path: Path, way: str, *, augment: bool, output: str = "values", **options: Any) -> None:
    dataset = SARH5Dataset(path, augment=augment, seed=SEED, output=output, **options)  # type: ignore[arg-type]
    dataset.set_epoch(EPOCH)
    found = values_of(dataset, WAYS[way](dataset), output)
    wanted = read_plain(path, augment=augment, seed=SEED, epoch=EPOCH)
    assert found.shape == wanted.shape
    assert found.tobytes() == wanted.tobytes()


@pytest.mark.parametrize("augment", [False, True])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ALL_FILES)
def test_values_are_those_of_plain_h5py(files: dict[str, Path], name: str, way: str, augment: bool) -> None:
    check(files[name], way, augment=augment)


@pytest.mark.parametrize("augment", [False, True])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", [name for name, (_, _, levels, *_) in ALL_FILES.items() if levels])
def test_codes_become_the_same_values_in_the_decoder(
    files: dict[str, Path], name: str, way: str, augment: bool
) -> None:
    check(files[name], way, augment=augment, output="codes")


@pytest.mark.parametrize("threads", [1, 2, 5, 64])
@pytest.mark.parametrize("output", ["values", "codes"])
@pytest.mark.parametrize("way", ["samples", "getitems", "workers", "background"])
def test_any_number_of_threads_gives_the_same(files: dict[str, Path], way: str, output: str, threads: int) -> None:
    for name in ("uint8 with raw chunks", "dn", "one patch"):
        check(files[name], way, augment=True, output=output, threads=threads)


@pytest.mark.parametrize("output", ["values", "codes"])
@pytest.mark.parametrize("way", WAYS)
def test_dict_samples_hold_the_same_values_and_their_places(files: dict[str, Path], way: str, output: str) -> None:
    path = files["uint16"]
    check(path, way, augment=True, output=output, sample="dict")
    dataset = SARH5Dataset(path, output=output, sample="dict", indices=[6, 1, 4])  # type: ignore[arg-type]
    made = WAYS[way](dataset)
    assert {type(value) for value in made.values()} == {torch.Tensor}
    assert made["index"].tolist() == [6, 1, 4]
    assert made["scene"].tolist() == [0, 1, 0]
    assert made["row"].tolist() == [18, 3, 12]
    assert made["col"].tolist() == [42, 7, 28]
    assert made["transform"].tolist() == [
        [10, 0, 399_960 + 420, 0, -10, 4_200_000 - 180],
        [1, 0, 7, 0, 1, 3],
        [10, 0, 399_960 + 280, 0, -10, 4_200_000 - 120],
    ]
    assert made["bounds"][1].tolist() == [7, 3, 7 + 96, 3 + 96]
    assert made["bounds"].dtype == made["transform"].dtype == torch.float64
    assert made["index"].dtype == made["scene"].dtype == made["row"].dtype == made["col"].dtype == torch.int64
    if output == "codes":
        assert made["codes"].dtype == torch.uint16
        assert made["symmetry"].dtype == torch.uint8
        assert made["symmetry"].tolist() == [0, 0, 0]


@pytest.mark.parametrize("output", ["values", "codes"])
@pytest.mark.parametrize("way", WAYS)
def test_without_native_reads_all_is_the_same(
    files: dict[str, Path], way: str, output: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sar_h5.bulk_reads, "find_native_reads", lambda: None)
    for name in ("uint8 with raw chunks", "dn", "seven"):
        check(files[name], way, augment=True, output=output, threads=3)
    if output == "values":
        check(files["float32"], way, augment=True)


def test_the_files_have_what_these_tests_are_about(files: dict[str, Path]) -> None:
    assert raw_chunks(files["uint8 with raw chunks"]) == [False, *[True] * 10]
    with h5py.File(files["dn"]) as file:
        assert (file["patches"][:] >= 32768).any()


# --- files of others -------------------------------------------------------------------------------------------------

OTHERS: dict[str, tuple[str, dict[str, Any]]] = {
    "gzip": ("u1", {"chunks": (1, 24, 24), "compression": "gzip"}),
    "gzip with shuffle and checksum": (
        "<u2",
        {"chunks": (1, 24, 24), "compression": "gzip", "shuffle": True, "fletcher32": True},
    ),
    "blosc with checksum": ("<u2", {"chunks": (1, 24, 24), "fletcher32": True, **hdf5plugin.Blosc("lz4", 5, 1)}),
    "lzf": ("<f4", {"chunks": (2, 12, 24), "compression": "lzf"}),
    "blosc2": ("<u2", {"chunks": (1, 24, 24), **hdf5plugin.Blosc2("lz4")}),
    "blosc zstd": ("<f4", {"chunks": (1, 24, 24), **hdf5plugin.Blosc("zstd", 3, 2)}),
    "uncompressed chunks": ("<u2", {"chunks": (1, 24, 24)}),
    "contiguous": ("<f4", {}),
    "big-endian": (">f4", {"chunks": (1, 24, 24), **hdf5plugin.Blosc("lz4", 5, 1)}),
    "big-endian contiguous": (">u2", {}),
    "int32": ("<i4", {"chunks": (1, 24, 24), **hdf5plugin.Blosc("lz4", 5, 1)}),
    "int8 contiguous": ("i1", {}),
    "float64": ("<f8", {"chunks": (1, 24, 24)}),
    "float16": ("<f2", {"chunks": (3, 24, 24), "compression": "gzip"}),
}


@pytest.mark.parametrize("name", OTHERS)
def test_files_of_others_give_their_numbers_as_float32(tmp_path: Path, name: str) -> None:
    dtype, arguments = OTHERS[name]
    data = np.random.default_rng(1).normal(size=(7, 24, 24)) * 100
    data = (np.abs(data) if "u" in dtype else data).astype(dtype)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("patches", data=data, **arguments)
    for way in WAYS:
        check(tmp_path / "a.h5", way, augment=True, threads=2)
        check(tmp_path / "a.h5", way, augment=False)


@pytest.mark.parametrize("dtype", ["u1", "<u2", "<f4", ">f4", "<f8"])
@pytest.mark.parametrize("shape", [(5, 24, 40), (5, 17, 3), (5, 1, 9)])
def test_patches_that_are_not_square_stay_upright(tmp_path: Path, dtype: str, shape: tuple[int, int, int]) -> None:
    data = np.random.default_rng(2).integers(0, 256, shape).astype(dtype)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("patches", data=data, chunks=(1, *shape[1:]), **hdf5plugin.Blosc("lz4", 5, 1))
    for way in ("samples", "getitems", "background"):
        check(tmp_path / "a.h5", way, augment=False)
