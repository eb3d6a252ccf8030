"""``verify`` of files in layout "blocks": sound as the other layout is, and every departure named."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
import numpy as np
import pytest
import torch

from sar_h5 import SARDataModule, SceneSplit, convert, split_file, verify
from sar_h5.bulk_reads import BulkReads
from sar_h5.info import read_info
from sar_h5.schema import LIBVER
from sar_h5.splits.leakage import LeakageWarning
from sar_h5.verify_report import Problem
from tests.block_files import block_place, blocks_of, break_block, set_blocks, to_blocks

SIZE, SIDE = 64, 32


@pytest.fixture(scope="module")
def files(products: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Overlapping patches in both layouts."""
    out = tmp_path_factory.mktemp("h5")
    convert(products, out, patch_size=SIZE, stride=SIDE, polarization="vv", min_valid=0.5)
    return out / "vv.h5", to_blocks(out / "vv.h5", out / "blocks.h5", SIDE)


@pytest.fixture
def copy(files: tuple[Path, Path], tmp_path: Path) -> Path:
    return Path(shutil.copy(files[1], tmp_path / "copy.h5"))


def problems_of(path: Path, **options: Any) -> dict[str, Problem]:
    problems = verify(path, **options).problems
    assert len({problem.place for problem in problems}) == len(problems)
    return {problem.place: problem for problem in problems}


@pytest.mark.parametrize("encoding", ["palette", "dn", "float32"])
def test_a_sound_file_is_sound_and_has_the_digest_of_the_other_layout(
    products: Path, tmp_path: Path, encoding: str
) -> None:
    convert(products, tmp_path, patch_size=SIZE, stride=SIDE, encoding=encoding, polarization="vv", valid_by="pixels")
    blocks = to_blocks(tmp_path / "vv.h5", tmp_path / "blocks.h5", SIDE, **hdf5plugin.Blosc("zstd", 3, 2))
    report = verify(blocks, jobs=2)
    assert report.problems == ()  # the digest, which was copied, among them
    assert report.patches == verify(tmp_path / "vv.h5").patches
    assert verify(blocks, products, sample=7).problems == ()


def test_the_source_is_compared(files: tuple[Path, Path], copy: Path, products: Path) -> None:
    assert verify(files[1], products).problems == ()
    own, other = blocks_of(copy, 5), blocks_of(copy, 90)
    set_blocks(copy, 5, [*own[:3], other[3]])
    found = problems_of(copy, source=products)
    assert found["/index/blocks[5]"].kind == "corrupt"
    assert set(found) == {"/index/blocks[5]"}


def test_each_block_is_read_once(files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    reads: Counter[int] = Counter()
    stored = BulkReads.stored

    def note(self: BulkReads, numbers: np.ndarray, out: np.ndarray) -> int:
        reads.update(numbers.tolist())
        return stored(self, numbers, out)

    monkeypatch.setattr(BulkReads, "stored", note)
    assert verify(files[1], jobs=1).ok
    with h5py.File(files[1]) as f:
        assert reads == Counter(range(len(f["blocks"])))


def test_info_tells_how_many_blocks_there_are(files: tuple[Path, Path]) -> None:
    plain, blocks = (read_info(path) for path in files)
    with h5py.File(files[1]) as f:
        count = len(f["blocks"])
    assert (plain.blocks, blocks.blocks, blocks.patches) == (0, count, plain.patches)
    assert f"  layout     {count:,} blocks of 32 x 32, which patches share\n" in blocks.to_text()
    assert "  layout " not in plain.to_text()
    assert (blocks.to_dict()["layout"], blocks.to_dict()["blocks"]) == ("blocks", count)


def test_splits_and_a_data_module_take_the_file_as_any_other(files: tuple[Path, Path], copy: Path) -> None:
    both = [Path(shutil.copy(files[0], copy.with_name("plain.h5"))), copy]
    for path in both:
        with pytest.warns(LeakageWarning):
            split_file(path, SceneSplit((0.5, 0.5, 0.0)))
    assert verify(copy).problems == ()
    batches = []
    for path in both:
        module = SARDataModule(path, batch_size=16, num_workers=0, seed=3)
        module.setup("fit")
        batches.append(torch.cat(list(module.train_dataloader())))
    assert len(batches[0]) > 32
    assert torch.equal(*batches)


@pytest.mark.parametrize("jobs", [1, 3])
def test_a_damaged_block_is_named_at_each_patch_that_it_makes_up(copy: Path, jobs: int) -> None:
    numbers = {7: 3, 40: 0}
    broken = {blocks_of(copy, number)[place] for number, place in numbers.items()}
    for block in broken:
        break_block(copy, block)
    with h5py.File(copy) as f:
        grid = f["index/blocks"][:].reshape(len(f["index/blocks"]), -1)
    wanted = np.flatnonzero(np.isin(grid, list(broken)).any(axis=1)).tolist()
    found = problems_of(copy, jobs=jobs)
    assert list(found) == [f"/index/blocks[{number}]" for number in wanted]
    assert set(numbers) < set(wanted)
    for problem in found.values():
        assert problem.kind == "corrupt"
        assert any(f"block {block}: expected checksum" in problem.message for block in broken)


def test_a_flipped_bit_anywhere_in_a_block_is_found(files: tuple[Path, Path], copy: Path) -> None:
    content = files[1].read_bytes()
    generator = np.random.default_rng(0)
    for number in (0, 9, 33):
        offset, size = block_place(copy, number)
        for place in (0, 3, 8, 15, size // 2, size - 1):
            flipped = bytearray(content)
            flipped[offset + place] ^= 1 << int(generator.integers(8))
            copy.write_bytes(flipped)
            found = problems_of(copy)
            assert found
            assert all(f"block {number}: " in problem.message for problem in found.values())


def edit(change: Callable[[h5py.File], object]) -> Callable[[Path], None]:
    def apply(path: Path) -> None:
        with h5py.File(path, "r+", libver=LIBVER) as f:
            change(f)

    return apply


def replaced(name: str, change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path], None]:
    def apply(f: h5py.File) -> None:
        values = change(f[name][:])
        del f[name]
        f[name] = values

    return edit(apply)


def add_block(f: h5py.File) -> None:
    blocks, attributes = f["blocks"][:], dict(f["blocks"].attrs)
    del f["blocks"]
    more = np.concatenate([blocks, np.zeros((1, SIDE, SIDE), blocks.dtype)])
    f.create_dataset("blocks", data=more, chunks=(1, SIDE, SIDE), **hdf5plugin.Blosc("lz4", 5, 1))
    f["blocks"].attrs.update(attributes)


def rechunk(f: h5py.File) -> None:
    blocks, attributes = f["blocks"][:], dict(f["blocks"].attrs)
    del f["blocks"]
    f.create_dataset("blocks", data=blocks, chunks=(2, SIDE, SIDE), **hdf5plugin.Blosc("lz4", 5, 1))
    f["blocks"].attrs.update(attributes)


DEPARTURES: dict[str, tuple[Callable[[Path], None], str, str, str]] = {
    "no grid": (edit(lambda f: f["index"].pop("blocks")), "/index/blocks", "missing", "expected a dataset"),
    "grid of another type": (
        replaced("index/blocks", lambda grid: grid.astype("<i4")), "/index/blocks", "wrong type", "expected <u4 of shape",
    ),
    "grid of another shape": (
        replaced("index/blocks", lambda grid: grid[:, :, :1]), "/index/blocks", "wrong type", "(N, 2, 2), found uint32",
    ),
    "short grid": (replaced("index/blocks", lambda grid: grid[:-1]), "/index/scene", "wrong type", "rows, found"),
    "a block that is not there": (
        lambda path: set_blocks(path, 3, [0, 1, 2, 4_000_000]), "/index/blocks[3]", "corrupt", "found 4000000",
    ),
    "blocks in another order": (
        lambda path: set_blocks(path, 3, blocks_of(path, 3)[::-1]), "/index/blocks[3]", "corrupt", "not those that",
    ),
    "patch checksum": (
        edit(lambda f: f["index/checksum"].__setitem__(2, 17)), "/index/blocks[2]", "corrupt", "not those that",
    ),
    "no block checksums": (edit(lambda f: f.pop("block_checksum")), "/block_checksum", "missing", "expected a dataset"),
    "few block checksums": (replaced("block_checksum", lambda all_: all_[1:]), "/block_checksum", "wrong type", "rows"),
    "no blocks": (edit(lambda f: f.pop("blocks")), "/blocks", "missing", "expected a dataset"),
    "other chunks": (edit(rechunk), "/blocks", "wrong type", "expected chunks (1, 32, 32), found (2, 32, 32)"),
    "a block more": (edit(add_block), "/block_checksum", "wrong type", "rows, found"),
    "attribute differs": (
        edit(lambda f: f["blocks"].attrs.update(block_size=16)), "/blocks@", "wrong value", "differ from those of the root",
    ),
    "attribute missing": (edit(lambda f: f["blocks"].attrs.pop("vmax")), "/blocks@vmax", "missing", "an attribute"),
    "patches announced": (
        edit(lambda f: f.attrs.update(layout="patches")), "/@", "wrong value", "block size in layout blocks only",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", DEPARTURES)
def test_every_departure_is_named(copy: Path, name: str) -> None:
    change, place, kind, message = DEPARTURES[name]
    change(copy)
    problem = problems_of(copy)[place]
    assert (problem.kind, message in problem.message) == (kind, True), str(problem)


def test_blocks_that_no_patch_is_made_of_are_told(copy: Path) -> None:
    edit(add_block)(copy)
    with h5py.File(copy, "r+", libver=LIBVER) as f:
        checksums, count = f["block_checksum"][:], len(f["blocks"])
        del f["block_checksum"]
        f["block_checksum"] = np.append(checksums, np.uint32(0))
    (problem,) = (problem for place, problem in problems_of(copy).items() if place == "/blocks")
    assert problem.message.endswith(f"found 1 that none is: {count - 1}")


def test_a_sample_checks_its_own_patches_and_the_structure_of_all(copy: Path) -> None:
    break_block(copy, blocks_of(copy, 50)[0])
    set_blocks(copy, 3, [0, 0, 0, 0])
    assert set(problems_of(copy, sample=1)) == {"/index/blocks[3]"}
