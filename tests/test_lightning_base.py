"""A data module is one of Lightning's where Lightning is installed, under either of its names."""

from __future__ import annotations

import subprocess
import sys

import pytest

from sar_h5 import lightning_base
from sar_h5.lightning_base import PlainDataModule, find_base


def test_it_is_lightning_s_own_where_that_is_installed() -> None:
    from lightning.pytorch import LightningDataModule

    assert find_base() is LightningDataModule
    assert lightning_base.DataModuleBase is LightningDataModule


def test_its_other_name_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    from pytorch_lightning import LightningDataModule

    monkeypatch.setitem(sys.modules, "lightning.pytorch", None)
    assert find_base() is LightningDataModule


def test_a_plain_class_takes_its_place_where_it_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in lightning_base.NAMES:
        monkeypatch.setitem(sys.modules, name, None)
    assert find_base() is PlainDataModule
    assert PlainDataModule().trainer is None


def test_a_data_module_needs_no_lightning() -> None:
    code = (
        "import sys; sys.modules['lightning'] = sys.modules['pytorch_lightning'] = None\n"
        "from sar_h5 import SARDataModule; from sar_h5.lightning_base import PlainDataModule\n"
        "print(issubclass(SARDataModule, PlainDataModule), SARDataModule('vv.h5').trainer)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "None"]
