"""Tensors that PyTorch's loaders can tell from others, and users cannot."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch


class TaggedTensor(torch.Tensor):
    """An ordinary tensor but for its type, which says how to collate or send it; what is computed from it is plain."""

    # As torch.nn.Parameter does it; torch's own annotations of the two differ.
    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    def plain(self) -> torch.Tensor:
        """Return it as a plain tensor that shares its memory."""
        return self.detach().requires_grad_(self.requires_grad)

    def __deepcopy__(self, memo: Any) -> torch.Tensor:
        """Copy as a plain tensor."""
        return copy.deepcopy(self.plain(), memo)

    def __reduce_ex__(self, protocol: Any) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        """Pickle by value, as a plain tensor."""
        reduced: tuple[Callable[..., Any], tuple[Any, ...]] = self.plain().__reduce_ex__(protocol)  # type: ignore[no-untyped-call]  # torch leaves it without types
        return reduced
