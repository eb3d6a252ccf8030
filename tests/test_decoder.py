"""Codes to values by torch operations, bit for bit what NumPy gives."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from sar_h5 import PatchDecoder, SARH5Dataset
from sar_h5.errors import SettingError
from sar_h5.symmetry import SYMMETRIES, apply_symmetry
from tests.patch_files import make_codes, make_lut, read_plain, write_file


def make_batch(codes: np.ndarray, symmetries: np.ndarray) -> dict[str, torch.Tensor]:
    return {"codes": torch.from_numpy(codes[:, None].copy()), "symmetry": torch.from_numpy(symmetries)}


@pytest.mark.parametrize("size", [1, 2, 7, 64])
@pytest.mark.parametrize(("dtype", "levels"), [("u1", 256), ("u1", 100), ("<u2", 300), ("<u2", 65536)])
def test_every_symmetry_gives_what_numpy_gives(size: int, dtype: str, levels: int) -> None:
    lut = make_lut(levels)
    codes = np.random.default_rng(0).integers(0, levels, (3 * SYMMETRIES, size, size)).astype(dtype)
    codes.flat[-1] = levels - 1
    symmetries = np.random.default_rng(1).permutation(np.repeat(np.arange(SYMMETRIES, dtype=np.uint8), 3))
    decoder = PatchDecoder(lut)
    batch = make_batch(codes, symmetries)
    found = decoder(batch)
    wanted = np.stack([apply_symmetry(lut[patch], number) for patch, number in zip(codes, symmetries, strict=True)])
    assert found.dtype == torch.float32
    assert found.is_contiguous()
    assert found.shape == (len(codes), 1, size, size)
    assert found.numpy().tobytes() == wanted[:, None].tobytes()
    assert batch["codes"].numpy().tobytes() == codes.tobytes()  # left as they were
    one = decoder({name: values[-1:] for name, values in batch.items()})
    assert one.numpy().tobytes() == wanted[-1].tobytes()


def test_patches_that_are_not_square_stay_upright() -> None:
    lut = make_lut(256)
    codes = np.random.default_rng(0).integers(0, 256, (2, 3, 5)).astype(np.uint8)
    found = PatchDecoder(lut)(make_batch(codes, np.zeros(2, np.uint8)))
    assert found.numpy().tobytes() == lut[codes][:, None].tobytes()


@pytest.mark.parametrize("dtype", ["u1", "<u2"])
def test_a_code_outside_the_table_is_an_error_on_the_cpu(dtype: str) -> None:
    codes = np.full((1, 2, 2), 200).astype(dtype)
    with pytest.raises((IndexError, RuntimeError), match="out of range"):
        PatchDecoder(make_lut(200))(make_batch(codes, np.zeros(1, np.uint8)))


def test_it_is_a_module_without_parameters_that_moves_and_saves_nothing() -> None:
    decoder = PatchDecoder(make_lut(10))
    assert list(decoder.parameters()) == []
    assert decoder.state_dict() == {}
    model = torch.nn.Sequential(decoder, torch.nn.Flatten())
    assert model.to("meta")[0].lut.device.type == "meta"
    assert {name for name, buffer in decoder.named_buffers() if buffer.device.type == "meta"} == {
        "lut",
        "_starts",
        "_steps",
    }


def test_its_table_is_a_copy() -> None:
    lut = make_lut(4)
    decoder = PatchDecoder(lut)
    lut[:] = 9
    assert decoder.lut.tolist() == make_lut(4).tolist()


def test_a_file_of_values_has_nothing_to_decode(tmp_path: Path) -> None:
    path = write_file(tmp_path / "a.h5", np.random.default_rng(0).random((3, 8, 8), dtype=np.float32))
    with pytest.raises(SettingError, match='output="codes" needs codes with a table'):
        SARH5Dataset(path, output="codes")
    with pytest.raises(SettingError, match="holds values, not codes"):
        SARH5Dataset(path).decoder()
    with pytest.raises(SettingError, match='"values" or "codes"; found \'code\''):
        SARH5Dataset(path, output="code")  # type: ignore[arg-type]


def test_a_transform_gets_the_codes(tmp_path: Path) -> None:
    path = write_file(tmp_path / "a.h5", make_codes((3, 8, 8), 200, "u1"), make_lut(200))
    dataset = SARH5Dataset(path, output="codes", transform=lambda sample: sorted(sample))
    assert dataset[0] == ["codes", "symmetry"]
    assert dataset.__getitems__([0, 1]) == [["codes", "symmetry"]] * 2


def batches(path: Path) -> Iterator[dict[str, torch.Tensor]]:
    yield from DataLoader(SARH5Dataset(path, output="codes", augment=True, seed=1), batch_size=2)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_cuda_device_gives_the_same(tmp_path: Path) -> None:
    path = write_file(tmp_path / "a.h5", make_codes((16, 33, 33), 65536, "<u2"), make_lut(65536))
    decoder = SARH5Dataset(path).decoder().to("cuda")
    moved = [{name: values.to("cuda") for name, values in batch.items()} for batch in batches(path)]
    found = torch.cat([decoder(batch) for batch in moved]).cpu().numpy()
    assert found.tobytes() == read_plain(path, augment=True, seed=1).tobytes()
