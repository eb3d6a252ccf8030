"""A batch that was made as one, seen as the list of samples that PyTorch's collate functions expect.

``DataLoader`` hands what ``__getitems__`` returns to its collate function. The default one finds out from the first
sample that the batch is ready and passes it on without a copy; one of the user's own finds ordinary samples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from multiprocessing.reduction import ForkingPickler
from typing import Any, overload

import torch
from torch.multiprocessing.reductions import reduce_tensor
from torch.utils.data._utils.collate import collate, default_collate_fn_map

from sar_h5.tagged_tensor import TaggedTensor

Collated = torch.Tensor | dict[str, torch.Tensor]


class SampleTensor(TaggedTensor):
    """A sample of a batch: a view of it."""


class SampleDict(dict[str, torch.Tensor]):
    """A sample of a batch of dicts: a dict but for its type."""

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Pickle as a plain dict."""
        return dict, (dict(self),)


Sample = SampleTensor | SampleDict


class Batch(Sequence[Sample]):
    """A ready batch as a sequence of its samples.

    Args:
        collated: tensors whose first axis is that of the samples.
    """

    def __init__(self, collated: Collated) -> None:
        self.collated = collated

    def __len__(self) -> int:
        return len(self.collated if isinstance(self.collated, torch.Tensor) else next(iter(self.collated.values())))

    @overload
    def __getitem__(self, index: int) -> Sample: ...
    @overload
    def __getitem__(self, index: slice) -> list[Sample]: ...
    def __getitem__(self, index: int | slice) -> Sample | list[Sample]:
        if isinstance(index, slice):
            return [self[position] for position in range(*index.indices(len(self)))]
        if isinstance(self.collated, torch.Tensor):
            return self.collated[index].as_subclass(SampleTensor)
        return SampleDict({name: values[index] for name, values in self.collated.items()})

    def __iter__(self) -> Iterator[Sample]:
        return (self[position] for position in range(len(self)))

    @classmethod
    def __torch_function__(
        cls,
        function: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Let ``torch.stack(batch)`` work, as many a collate function has it; PyTorch takes a list or tuple only."""
        listed = [value.plain() if isinstance(value, Batch) else value for value in args]
        named = {name: value.plain() if isinstance(value, Batch) else value for name, value in (kwargs or {}).items()}
        return function(*listed, **named)

    def plain(self) -> list[Collated]:
        """Return the samples as plain tensors or dicts."""
        return [_plain(sample) for sample in self]


def _plain(sample: Sample) -> Collated:
    return dict(sample) if isinstance(sample, SampleDict) else sample.plain()


def _collate(samples: Sequence[Sample], *, collate_fn_map: dict[Any, Callable[..., Any]] | None = None) -> Any:
    """Pass a ready batch on; samples that came otherwise (a list of some of them) are stacked as usual."""
    if isinstance(samples, Batch):
        return samples.collated
    return collate([_plain(sample) for sample in samples], collate_fn_map=collate_fn_map)


def _reduce(sample: SampleTensor) -> Any:
    return reduce_tensor(sample.plain())  # type: ignore[no-untyped-call]  # torch leaves it without types


# The extension that the documentation of torch.utils.data.default_collate describes for types of one's own.
default_collate_fn_map.update({SampleTensor: _collate, SampleDict: _collate})
ForkingPickler.register(SampleTensor, _reduce)
