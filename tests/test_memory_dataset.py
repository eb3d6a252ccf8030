"""``SARPatchDataset`` takes arrays and tensors as they are."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sar_h5 import SARPatchDataset
from sar_h5.errors import FormatError, SettingError


def make_patches() -> np.ndarray:
    return np.random.default_rng(0).random((4, 2, 8, 8), dtype=np.float32)


def test_tensors_of_any_kind_are_taken_without_a_copy_where_they_can_be() -> None:
    patches = make_patches()
    for given in (torch.from_numpy(patches), torch.from_numpy(patches).requires_grad_()):
        found = SARPatchDataset(given)
        assert np.shares_memory(found._store._patches, patches)
        assert torch.equal(found[1], torch.from_numpy(patches[1]))
    half = torch.from_numpy(patches).bfloat16()
    assert torch.equal(SARPatchDataset(half)[2], half[2].float())


def test_both_channels_get_the_same_symmetry() -> None:
    patches = make_patches()
    patches[:, 1] = patches[:, 0]
    augmented = SARPatchDataset(patches, augment=True, seed=1)
    assert all(torch.equal(sample[0], sample[1]) for sample in augmented)
    assert any(not np.array_equal(sample.numpy(), patch) for sample, patch in zip(augmented, patches, strict=True))


def test_places_that_are_given_come_with_the_samples() -> None:
    transform = np.array([[10.0, 0, 1000, 0, -10, 5000]])
    found = SARPatchDataset(
        make_patches(), index={"row": [0, 8, 0, 8], "col": [0, 0, 8, 8]}, scenes={"transform": transform}, sample="dict"
    )
    assert found[3]["bounds"].tolist() == [1080, 4840, 1160, 4920]
    assert torch.isnan(SARPatchDataset(make_patches(), sample="dict")[0]["bounds"]).all()


def test_what_are_no_patches_is_refused() -> None:
    with pytest.raises(SettingError, match=r"an array or a tensor, found list; np\.stack"):
        SARPatchDataset([np.zeros((8, 8), np.float32)])  # type: ignore[arg-type]
    with pytest.raises(FormatError, match="patch 0 holds values outside"):
        SARPatchDataset(make_patches() + 1)
    with pytest.raises(SettingError, match="square patches; those of patches in memory are 8 x 4"):
        SARPatchDataset(make_patches()[..., :4], augment=True)


def test_it_has_the_attributes_of_other_datasets_as_far_as_an_array_tells_them() -> None:
    dataset = SARPatchDataset(make_patches())
    assert (dataset.path, dataset.patch_size) == ("patches in memory", 8)
    assert (dataset.vmin, dataset.vmax, dataset.polarization, dataset.stride) == (None,) * 4
    assert SARPatchDataset(make_patches()[:, :, :5]).patch_size is None
