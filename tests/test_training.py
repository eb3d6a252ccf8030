"""It trains: a small autoencoder lowers its reconstruction loss on patches of a real scene."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from sar_h5 import SARH5Dataset, convert
from tests.conftest import REAL_SCENE


@pytest.fixture(params=["real", "simulated"])
def scene(request: pytest.FixtureRequest) -> Path:
    """The real scene, and a simulated one."""
    if request.param == "real":
        data: Path = request.getfixturevalue("real_data")
        return data / REAL_SCENE
    return request.getfixturevalue("products")  # type: ignore[no-any-return]


def make_autoencoder() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 8, 5, stride=2, padding=2),
        nn.ReLU(),
        nn.Conv2d(8, 8, 5, stride=2, padding=2),
        nn.ReLU(),
        nn.ConvTranspose2d(8, 8, 4, stride=2, padding=1),
        nn.ReLU(),
        nn.ConvTranspose2d(8, 1, 4, stride=2, padding=1),
        nn.Sigmoid(),
    )


def test_an_autoencoder_lowers_its_loss(scene: Path, tmp_path: Path) -> None:
    convert(scene, tmp_path, patch_size=64, stride=64, polarization="vv")
    dataset = SARH5Dataset(tmp_path / "vv.h5", augment=True, seed=0)
    loader = DataLoader(dataset, batch_size=8, shuffle=True, generator=torch.Generator().manual_seed(0), num_workers=2)
    model = make_autoencoder()
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    losses = []
    for epoch in range(6):
        dataset.set_epoch(epoch)
        errors = []
        for batch in loader:
            loss = nn.functional.mse_loss(model(batch), batch)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            errors.append(loss.item())
        losses.append(float(np.mean(errors)))
    pixels = torch.cat(list(DataLoader(SARH5Dataset(tmp_path / "vv.h5"), batch_size=64)))
    assert losses[-1] < 0.75 * losses[0]
    assert losses[-1] < float(pixels.var())  # better than any constant image, so it has learnt structure
