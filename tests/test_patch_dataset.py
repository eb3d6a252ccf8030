"""The base of all datasets over a store that is no file, and the fingerprint that tells datasets apart."""

from __future__ import annotations

import pickle
import re
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from sar_h5 import SARH5Dataset
from sar_h5.contents import Columns
from sar_h5.errors import CorruptPatchError, FormatError, SettingError
from sar_h5.patch_dataset import PatchDataset, check_choice
from sar_h5.symmetry import apply_symmetry, draw_symmetry
from tests.patch_files import make_codes, make_lut, write_file


class MemoryStore:
    """A store of patches in memory, three channels each; some cannot be read."""

    path = "memory"

    def __init__(self, patches: np.ndarray, bad: tuple[int, ...] = ()) -> None:
        self.patches, self.bad = patches, bad

    @property
    def shape(self) -> tuple[int, int, int, int]:
        count, channels, height, width = self.patches.shape
        return count, channels, height, width

    def values(
        self, numbers: np.ndarray, out: np.ndarray, symmetries: np.ndarray | None = None, threads: int = 1
    ) -> None:
        assert threads >= 1
        turns = np.zeros(len(numbers), int) if symmetries is None else symmetries
        for place, (number, turn) in enumerate(zip(numbers.tolist(), turns.tolist(), strict=True)):
            if number in self.bad:
                raise CorruptPatchError.at(self.path, number, "gone", advice="look elsewhere")
            out[place] = [apply_symmetry(channel, turn) for channel in self.patches[number]]

    def index(self) -> Columns:
        raise FormatError("nothing tells")

    scenes = index

    def identity(self) -> str:
        return f"{self.patches.tobytes().hex()}"

    def close(self) -> None:
        """Nothing is open."""


@pytest.fixture
def patches() -> np.ndarray:
    return np.random.default_rng(0).random((10, 3, 8, 8), dtype=np.float32)


def test_any_store_makes_a_dataset(patches: np.ndarray) -> None:
    dataset = PatchDataset(MemoryStore(patches))
    assert (len(dataset), dataset[3].shape) == (10, (3, 8, 8))
    assert repr(dataset) == "PatchDataset('memory', 10 patches of 3 x 8 x 8)"
    for workers in (0, 2):
        batches = list(DataLoader(dataset, batch_size=4, num_workers=workers, timeout=60 if workers else 0))
        assert torch.cat(batches).numpy().tobytes() == patches.tobytes()
        assert all(batch.is_contiguous() for batch in batches)
    assert torch.equal(pickle.loads(pickle.dumps(dataset))[9], dataset[9])


def test_all_channels_turn_together(patches: np.ndarray) -> None:
    dataset = PatchDataset(MemoryStore(patches), augment=True, seed=4, patches=np.array([7, 2]))
    dataset.set_epoch(3)
    for sample, number in zip(dataset, (7, 2), strict=False):  # type: ignore[call-overload]
        wanted = np.stack([apply_symmetry(channel, draw_symmetry(4, 3, number)) for channel in patches[number]])
        np.testing.assert_array_equal(sample.numpy(), wanted)


def test_policies_work_where_nothing_tells_of_places(patches: np.ndarray) -> None:
    store = MemoryStore(patches, bad=(4, 6))
    with pytest.raises(CorruptPatchError, match=r"memory: patch 4 cannot be read: gone \(sample 1\); look elsewhere$"):
        PatchDataset(store, patches=np.array([1, 4]))[1]
    dataset = PatchDataset(store, on_bad_sample="skip", patches=np.array([6, 1, 4, 3]))
    found = torch.cat(list(DataLoader(dataset, batch_size=4)))
    assert found.numpy().tobytes() == patches[[1, 3]].tobytes()
    assert dataset.bad_samples == {4: 1, 6: 1}


def test_a_patch_that_can_be_read_after_all_is_served(patches: np.ndarray) -> None:
    class Moody(MemoryStore):
        def values(self, *arguments: Any, **options: Any) -> None:
            bad, self.bad = self.bad, ()  # as storage over a network that fails now and then
            MemoryStore(self.patches, bad).values(*arguments, **options)

    for policy in ("raise", "skip", "substitute"):
        dataset = PatchDataset(Moody(patches, bad=(2,)), on_bad_sample=policy)
        assert torch.cat(list(DataLoader(dataset, batch_size=5))).numpy().tobytes() == patches.tobytes()
        assert dataset.bad_samples == {}


def test_errors_of_the_store_as_a_whole_are_no_bad_samples(patches: np.ndarray) -> None:
    class Gone(MemoryStore):
        def values(self, *_: Any, **__: Any) -> None:
            raise FormatError("the file has been replaced")

    dataset = PatchDataset(Gone(patches), on_bad_sample="skip")
    with pytest.raises(FormatError, match="replaced"):
        dataset.__getitems__([0, 1])
    assert dataset.bad_samples == {}


def test_arguments_that_cannot_be_honoured_are_refused(patches: np.ndarray) -> None:
    for options, message in (
        ({"sample": "numpy"}, '"tensor" or "dict"; found \'numpy\''),
        ({"on_bad_sample": "skipp"}, '"raise", "skip" or "substitute"; found \'skipp\''),
        ({"threads": 0}, "at least 1 thread; found threads=0"),
    ):
        with pytest.raises(SettingError, match=re.escape(message)):
            PatchDataset(MemoryStore(patches), **options)  # type: ignore[arg-type]
    with pytest.raises(SettingError, match="those of memory are 8 x 4"):
        PatchDataset(MemoryStore(patches[..., :4]), augment=True)
    with pytest.raises(SettingError, match=r'^expected fruit "apple", "pear" or "plum"; found 3$'):
        check_choice("fruit", 3, ("apple", "pear", "plum"))  # type: ignore[arg-type]


def test_what_index_returns_is_the_callers_own(tmp_path: Path) -> None:
    path = write_file(tmp_path / "a.h5", make_codes((6, 8, 8), 50, "u1"), make_lut(50))
    for options in ({}, {"indices": [4, 2]}):
        dataset = SARH5Dataset(path, **options)  # type: ignore[arg-type]
        before, wanted = dataset[0], {name: values.tolist() for name, values in dataset.index.items()}
        for values in dataset.index.values():
            values[:] = 5
        assert {name: values.tolist() for name, values in dataset.index.items()} == wanted
        assert torch.equal(dataset[0], before)


# --- the fingerprint -------------------------------------------------------------------------------------------------


def write_ours(path: Path, digest: str) -> Path:
    write_file(path, make_codes((6, 8, 8), 50, "u1"), make_lut(50))
    with h5py.File(path, "r+") as file:
        file.attrs["content_digest"] = digest
    return path


def test_the_fingerprint_goes_with_the_content_not_the_path(tmp_path: Path) -> None:
    path, other = write_ours(tmp_path / "a.h5", "1"), write_ours(tmp_path / "b.h5", "2")
    (tmp_path / "moved").mkdir()
    moved = tmp_path / "moved" / "vv.h5"
    moved.write_bytes(path.read_bytes())
    fingerprint = SARH5Dataset(path).fingerprint
    assert re.fullmatch("[0-9a-f]{64}", fingerprint)
    assert SARH5Dataset(moved, augment=True, threads=2, cache_nbytes=9999).fingerprint == fingerprint
    assert pickle.loads(pickle.dumps(SARH5Dataset(moved))).fingerprint == fingerprint
    assert SARH5Dataset(path, indices=slice(None)).fingerprint == fingerprint  # the same samples
    indices: list[Any] = [[0, 1, 2], [2, 1, 0], [0, 1, 2, 2], slice(None, None, -1), []]
    others = [SARH5Dataset(path, indices=chosen) for chosen in indices] + [SARH5Dataset(other)]
    assert len({fingerprint, *(each.fingerprint for each in others)}) == len(others) + 1


def test_the_fingerprint_of_joined_files_tells_their_order_the_join_and_the_fill(tmp_path: Path) -> None:
    first, second = write_ours(tmp_path / "a.h5", "1"), write_ours(tmp_path / "b.h5", "2")
    complete = {
        SARH5Dataset([first, second], how=how, fill=fill).fingerprint for how in ("inner", "outer") for fill in (0, 1)
    }
    assert len(complete) == 1  # nothing is missing: all four give the same samples
    with h5py.File(second, "r+") as file:
        file["index/row"][0] = 77
        file.attrs["content_digest"] = "3"
    options: list[dict[str, Any]] = [
        {},
        {"how": "outer"},
        {"how": "outer", "fill": -1.0},
        {"how": "outer", "fill": float("nan")},
    ]
    found = [
        SARH5Dataset(paths, **each).fingerprint for paths in ([first, second], [second, first]) for each in options
    ]
    assert len({*complete, *found}) == 9


@pytest.mark.parametrize("chunks", [None, (1, 8, 8)])
def test_files_of_others_are_told_apart_by_their_patches(tmp_path: Path, chunks: Any) -> None:
    def write(name: str, count: int = 40, change: int | None = None) -> str:
        data = np.random.default_rng(1).random((count, 8, 8))
        if change is not None:
            data[change] += 1
        with h5py.File(tmp_path / name, "w") as file:
            file.create_dataset("x", data=data, chunks=chunks)
        return SARH5Dataset(tmp_path / name).fingerprint

    assert write("a.h5") == write("b.h5")
    assert len({write("a.h5"), write("c.h5", change=0), write("d.h5", change=39), write("e.h5", count=41)}) == 4
    assert write("f.h5", count=1) != write("g.h5", count=1, change=0)
