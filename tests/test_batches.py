"""A ready batch is passed on without a copy by the default collate function, and is a list of samples to any other."""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Sequence
from multiprocessing.reduction import ForkingPickler
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import default_collate, default_convert

from sar_h5.batches import Batch, SampleDict, SampleTensor

TENSOR = torch.arange(24, dtype=torch.float32).view(3, 1, 2, 4)
DICT = {"image": TENSOR, "row": torch.tensor([5, 6, 7])}


def save_and_load(value: Any) -> Any:
    file = io.BytesIO()
    torch.save(value, file)
    file.seek(0)
    return torch.load(file, weights_only=False)  # a dict of another type is more than torch takes for weights


COPIES = {
    "pickle": lambda value: pickle.loads(pickle.dumps(value)),
    "old pickle": lambda value: pickle.loads(pickle.dumps(value, protocol=2)),
    "forking pickler": lambda value: ForkingPickler.loads(ForkingPickler.dumps(value)),
    "deepcopy": copy.deepcopy,
    "copy": copy.copy,
    "torch.save": save_and_load,
}


def test_the_default_collate_function_passes_it_on_without_a_copy() -> None:
    assert default_collate(Batch(TENSOR)) is TENSOR
    assert default_collate(Batch(DICT)) is DICT


def test_it_is_a_sequence_of_samples() -> None:
    batch = Batch(TENSOR)
    assert isinstance(batch, Sequence)
    assert len(batch) == len(list(batch)) == len(Batch(DICT)) == 3
    for number, sample in enumerate(batch):
        assert isinstance(sample, torch.Tensor)
        assert torch.equal(sample, TENSOR[number])
        assert torch.equal(batch[number], TENSOR[number])
    assert torch.equal(batch[-1], TENSOR[2])
    with pytest.raises(IndexError):
        batch[3]
    assert [sample["row"].item() for sample in Batch(DICT)] == [5, 6, 7]


def test_torch_stacks_it_as_it_does_a_list() -> None:
    batch = Batch(TENSOR)
    stacked = torch.stack(batch)  # type: ignore[arg-type]  # of torch's own functions, this one asks for a list or tuple
    assert type(stacked) is torch.Tensor
    assert torch.equal(stacked, TENSOR)
    assert stacked.data_ptr() != TENSOR.data_ptr()
    assert torch.equal(torch.stack(tensors=batch, dim=1), TENSOR.transpose(0, 1))  # type: ignore[arg-type]  # as above
    assert torch.equal(torch.cat(batch), TENSOR.view(3, 2, 4))  # type: ignore[arg-type]  # as above
    with pytest.raises(TypeError, match="expected Tensor as element 0"):
        torch.stack(Batch(DICT))  # type: ignore[arg-type]  # as above


def test_slices_are_lists_of_samples() -> None:
    assert [sample[0, 0, 0].item() for sample in Batch(TENSOR)[1:]] == [8, 16]
    assert [sample[0, 0, 0].item() for sample in Batch(TENSOR)[::-2]] == [16, 0]
    assert [sample["row"].item() for sample in Batch(DICT)[:2]] == [5, 6]
    assert Batch(TENSOR)[3:] == []


@pytest.mark.parametrize("some", [list, tuple, lambda batch: [batch[2], batch[0]], lambda batch: batch[1:]])
def test_some_of_the_samples_are_stacked_as_usual(some: Any) -> None:
    chosen = some(Batch(TENSOR))
    stacked = default_collate(chosen)
    assert type(stacked) is torch.Tensor
    assert torch.equal(stacked, torch.stack([sample.plain() for sample in chosen]))
    assert stacked.data_ptr() != TENSOR.data_ptr()
    chosen = some(Batch(DICT))
    stacked = default_collate(chosen)
    assert type(stacked) is dict
    assert torch.equal(stacked["row"], torch.stack([sample["row"] for sample in chosen]))
    assert {type(value) for value in stacked.values()} == {torch.Tensor}


def test_samples_beside_something_else_are_collated_with_it() -> None:
    pairs = [(sample, number) for number, sample in enumerate(Batch(TENSOR))]
    images, numbers = default_collate(pairs)
    assert type(images) is torch.Tensor
    assert torch.equal(images, TENSOR)
    assert numbers.tolist() == [0, 1, 2]
    named = default_collate([{"x": sample} for sample in Batch(DICT)])
    assert torch.equal(named["x"]["image"], TENSOR)


def test_plain_samples_are_views_without_a_trace_of_the_package() -> None:
    samples = Batch(TENSOR).plain()
    assert {type(sample) for sample in samples} == {torch.Tensor}
    assert [sample.data_ptr() for sample in samples] == [row.data_ptr() for row in TENSOR]
    for sample in Batch(DICT).plain():
        assert type(sample) is dict
        assert {type(value) for value in sample.values()} == {torch.Tensor}


@pytest.mark.parametrize("name", COPIES)
def test_a_sample_that_is_copied_is_a_plain_one(name: str) -> None:
    sample = Batch(TENSOR)[1]
    assert type(sample) is SampleTensor
    copied = COPIES[name](sample)
    assert type(copied) is torch.Tensor
    assert torch.equal(copied, TENSOR[1])
    sample = Batch(DICT)[1]
    assert type(sample) is SampleDict
    copied = COPIES[name](sample)
    assert type(copied) is dict
    assert type(copied["image"]) is torch.Tensor
    assert torch.equal(copied["image"], TENSOR[1])
    assert copied["row"] == 6


def test_a_deep_copy_is_memory_of_its_own() -> None:
    sample = Batch(TENSOR.clone())[1]
    copied = copy.deepcopy({"a": sample, "b": sample})
    copied["a"].zero_()
    assert copied["a"] is not sample
    assert torch.equal(sample.plain(), TENSOR[1])
    assert not copied["b"].any()  # the same object in both places, as it was


def test_what_is_computed_from_a_sample_is_plain() -> None:
    sample = Batch(TENSOR.clone())[1]
    for result in (
        sample + 1,
        sample * sample,
        sample[0],
        sample.view(-1),
        sample.clone(),
        sample.to(torch.float64),
        torch.stack([sample, sample]),
        torch.cat([sample]),
        torch.flip(sample, (0,)),
        torch.nn.functional.relu(sample),
        sample.detach(),
    ):
        assert type(result) is torch.Tensor
    assert np.asarray(sample).tolist() == TENSOR[1].tolist()
    assert isinstance(repr(sample), str)
    assert torch.equal(default_convert(sample), TENSOR[1])


def test_a_sample_that_needs_gradients_keeps_that() -> None:
    sample = Batch(TENSOR.clone())[0].requires_grad_()
    assert sample.plain().requires_grad
    assert not Batch(TENSOR)[0].plain().requires_grad


def test_other_tensors_are_collated_as_before() -> None:
    parameter = torch.nn.Parameter(torch.ones(2))
    assert default_collate([torch.ones(2), torch.zeros(2)]).tolist() == [[1, 1], [0, 0]]
    assert default_collate([parameter, parameter]).shape == (2, 2)
    assert default_collate([{"a": 1}, {"a": 2}])["a"].tolist() == [1, 2]
