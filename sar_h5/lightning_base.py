"""Lightning's data module to derive from, or a plain class with the same hooks where Lightning is not installed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lightning.pytorch import LightningDataModule as DataModuleBase
else:
    try:
        from lightning.pytorch import LightningDataModule as DataModuleBase
    except ModuleNotFoundError:
        try:
            from pytorch_lightning import LightningDataModule as DataModuleBase  # its other name
        except ModuleNotFoundError:

            class DataModuleBase:
                """What a loop of one's own needs of Lightning's data module: nothing but to be derived from."""

                trainer: Any = None


__all__ = ["DataModuleBase"]
