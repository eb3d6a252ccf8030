"""Lightning's data module to derive from, or a plain class in its place where Lightning is not installed."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

NAMES = ("lightning.pytorch", "pytorch_lightning")
"""Lightning, and its other name; a trainer of the one knows no data modules of the other."""


class PlainDataModule:
    """What a loop of one's own needs of Lightning's data module: something to derive from."""

    trainer: Any = None


def find_base() -> type[Any]:
    """Return the class to derive a data module from."""
    for name in NAMES:
        try:
            base: type[Any] = import_module(name).LightningDataModule
        except ModuleNotFoundError:
            continue
        return base
    return PlainDataModule


if TYPE_CHECKING:
    from lightning.pytorch import LightningDataModule as DataModuleBase
else:
    DataModuleBase = find_base()

__all__ = ["DataModuleBase"]
