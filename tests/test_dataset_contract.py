"""What every dataset of patches keeps to, wherever its patches come from."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from sar_h5 import LazyPatchDataset, SARH5Dataset, SARImageDataset, SARPatchDataset
from sar_h5.errors import PatchIndexError, SettingError
from sar_h5.patch_dataset import PatchDataset
from sar_h5.symmetry import apply_symmetry, draw_symmetry
from tests.block_files import write_both
from tests.conftest import make_dn, make_shards
from tests.patch_files import make_codes, make_lut, write_file
from tests.raster_files import write_raster

Make = Callable[..., PatchDataset[Any]]
STARTED = "fork" if hasattr(os, "fork") else "spawn"


@pytest.fixture(scope="module")
def makers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Make]:
    """Functions that open a dataset of at least 10 patches of 16 x 16, with more arguments."""
    directory = tmp_path_factory.mktemp("contract")
    (directory / "shards").mkdir()
    shards = make_shards(directory / "shards", counts=(7, 5), size=16)
    np.save(directory / "shards" / "shuffle_idx.npy", np.random.default_rng(0).permutation(12))
    write_raster(directory / "scene-vv.tif", make_dn(3, (40, 50)), blockysize=1)
    file = write_file(directory / "vv.h5", make_codes((11, 16, 16), 256, "u1"), make_lut(256))
    patches = np.concatenate(shards)
    blocks = write_both(directory)[1]
    options = {"vmin": 14.77, "vmax": 24.54, "patch_size": 16, "stride": 10, "sample": "tensor"}
    return {
        "file": lambda **more: SARH5Dataset(file, **more),
        "blocks": lambda **more: SARH5Dataset(blocks, **more),
        "memory": lambda **more: SARPatchDataset(patches, **more),
        "shards": lambda **more: LazyPatchDataset(directory / "shards", **more),
        "scenes": lambda **more: SARImageDataset(directory / "scene-vv.tif", **(options | more)),
    }


@pytest.fixture(params=["file", "blocks", "memory", "shards", "scenes"])
def make(request: pytest.FixtureRequest, makers: dict[str, Make]) -> Make:
    return makers[request.param]


def test_samples_are_float32_in_their_range_by_any_integer(make: Make) -> None:
    patches = make()
    assert len(patches) >= 10
    sample = patches[3]
    assert sample.shape == (1, 16, 16)
    assert sample.dtype == torch.float32
    assert 0 <= sample.min() <= sample.max() <= 1
    assert torch.equal(patches[np.int32(3)], sample)
    assert torch.equal(patches[3 - len(patches)], sample)
    assert torch.equal(patches[torch.tensor(3)], sample)
    for outside in (len(patches), -len(patches) - 1):
        with pytest.raises(PatchIndexError, match="out of range"):
            patches[outside]
    sample[...] = 7  # it is the user's own
    assert patches[3].max() <= 1


def test_batches_are_their_samples(make: Make) -> None:
    patches = make(threads=3)
    indices = [5, 0, -1, 5, 9]
    assert torch.equal(torch.stack(list(patches.__getitems__(indices))), torch.stack([patches[i] for i in indices]))
    assert list(patches.__getitems__([])) == []


def test_workers_serve_the_same_in_every_epoch(make: Make) -> None:
    check_workers(make, STARTED)


def test_workers_that_are_started_fresh_do_so_too(makers: dict[str, Make]) -> None:
    check_workers(makers["scenes"], "spawn")  # the tests of each store have a spawned process too


def check_workers(make: Make, method: str) -> None:
    patches = make(augment=True, seed=5)
    loader = DataLoader(patches, 4, num_workers=2, multiprocessing_context=method, persistent_workers=True, timeout=60)
    for epoch in (0, 1):
        patches.set_epoch(epoch)
        found = torch.cat(list(loader))
        assert torch.equal(found, torch.stack([patches[index] for index in range(len(patches))]))


def test_the_symmetry_follows_from_seed_epoch_and_patch(make: Make) -> None:
    plain, augmented = make(), make(augment=True, seed=3)
    augmented.set_epoch(2)
    for number in range(len(plain)):
        expected = apply_symmetry(plain[number][0].numpy(), draw_symmetry(3, 2, number))
        assert np.array_equal(augmented[number][0].numpy(), expected)


def test_a_dict_sample_has_the_place_and_collates(make: Make) -> None:
    patches = make(sample="dict", indices=[4, 8])
    batch = next(iter(DataLoader(patches, 2)))
    assert set(batch) == {"image", "bounds", "transform", "index", "scene", "row", "col"}
    assert batch["image"].shape == (2, 1, 16, 16)
    assert batch["index"].tolist() == [4, 8]
    for name in ("scene", "row", "col"):
        assert batch[name].tolist() == patches.index[name].tolist()
    assert batch["bounds"].shape == (2, 4)
    assert len(patches.scenes["name"]) > int(batch["scene"].max())


def test_indices_and_transform_are_honoured(make: Make) -> None:
    patches = make()
    chosen = make(indices=slice(1, 9, 3), transform=lambda sample: sample.sum())
    assert len(chosen) == 3
    assert torch.equal(chosen[-1], patches[7].sum())
    assert chosen.index["patch"].tolist() == [1, 4, 7]
    with pytest.raises(PatchIndexError):
        make(indices=[1000])
    with pytest.raises(SettingError, match='sample "tensor" or "dict"'):
        make(sample="array")
    with pytest.raises(SettingError, match="at least 1 thread"):
        make(threads=0)


def test_a_dataset_can_be_pickled_closed_and_shown(make: Make) -> None:
    patches = make()
    last = patches[-1]
    copy = pickle.loads(pickle.dumps(patches))
    assert torch.equal(copy[-1], last)
    assert copy.fingerprint == patches.fingerprint != make(indices=[0]).fingerprint
    patches.close()
    assert torch.equal(patches[-1], last)
    assert repr(patches).startswith(f"{type(patches).__name__}('")
    assert f"{len(patches)} patches of 16 x 16" in repr(patches)


def test_bad_samples_of_shards_are_dealt_with(tmp_path: Path) -> None:
    make_shards(tmp_path, counts=(4, 4), size=8)
    patches = {policy: LazyPatchDataset(tmp_path, on_bad_sample=policy) for policy in ("skip", "substitute")}
    sorted(tmp_path.glob("s1a*.npy"))[1].write_bytes(b"")
    assert len(patches["skip"].__getitems__([0, 5, 1])) == 2
    assert len(patches["substitute"].__getitems__([0, 5, 1])) == 3
    assert patches["skip"].bad_samples == {5: 1}
