"""``verify="always"``: no patch whose stored bytes have changed is ever served, on any way that leads to a sample."""

from __future__ import annotations

import os
import pickle
import shutil
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

import sar_h5.bulk_reads
from sar_h5 import SARH5Dataset, convert
from sar_h5.errors import CorruptPatchError, FormatError, SarH5Error, SettingError
from sar_h5.native import find_native_reads
from tests.conftest import make_shards
from tests.patch_files import chunk_place, overwrite, raw_chunks

COUNT, SIZE = 12, 32
WAYS: dict[str, dict[str, Any]] = {
    "values": {},
    "threads": {"threads": 3},
    "codes": {"output": "codes"},
    "cache": {"cache_nbytes": 10**6},
    "augmented": {"augment": True},
}


@pytest.fixture(scope="module", params=["palette", "float32"])
def sound(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with patches of all kinds: compressed, copied into their frame, and left unfiltered by HDF5."""
    directory = tmp_path_factory.mktemp(request.param)
    make_shards(directory, counts=(COUNT,), size=SIZE)
    convert(directory, directory / "h5", encoding=request.param)
    path = directory / "h5" / "vv.h5"
    with h5py.File(path, "r+") as f:
        patch = f["patches"][5].tobytes()
        f["patches"].id.write_direct_chunk((5, 0, 0), patch, filter_mask=1)
        f["index/checksum"][5] = zlib.crc32(patch)
    assert raw_chunks(path)[5]
    return path


def flip(path: Path, number: int, seed: int = 0) -> None:
    """Flip one bit of a patch's pixels, beyond the header of its chunk."""
    generator = np.random.default_rng(seed)
    offset, size = chunk_place(path, number)
    place = offset + int(generator.integers(16, size))
    byte = path.read_bytes()[place] ^ 1 << int(generator.integers(8))
    overwrite(path, place, bytes([byte]))


def image(sample: Any) -> torch.Tensor:
    return sample["codes"] if isinstance(sample, dict) else sample


def without_native(monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    native = find_native_reads()
    if way == "no checksums" and native is not None:
        monkeypatch.setattr(sar_h5.bulk_reads, "find_native_reads", lambda: replace(native, crc32=0))
    elif way == "nothing":
        monkeypatch.setattr(sar_h5.bulk_reads, "find_native_reads", lambda: None)


@pytest.mark.parametrize("native", ["all", "no checksums", "nothing"])
@pytest.mark.parametrize("way", WAYS)
def test_sound_patches_are_served_as_ever_and_a_flipped_bit_never(
    sound: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str, native: str
) -> None:
    if way == "codes" and "float32" in str(sound):
        way = "threads"  # values have no codes
    without_native(monkeypatch, native)
    plain, checked = SARH5Dataset(sound, **WAYS[way]), SARH5Dataset(sound, verify="always", **WAYS[way])
    for a, b in zip(plain.__getitems__(list(range(COUNT))), checked.__getitems__(list(range(COUNT))), strict=True):
        assert torch.equal(image(a), image(b))
    damaged = Path(shutil.copy(sound, tmp_path / "damaged.h5"))
    for number in (2, 5):
        flip(damaged, number)
    checked = SARH5Dataset(damaged, verify="always", **WAYS[way])
    for number in (2, 5):
        for read in (checked.__getitem__, lambda index: checked.__getitems__([0, index, 1])):
            with pytest.raises(CorruptPatchError, match=r"expected checksum [0-9a-f]{8}, found [0-9a-f]{8}") as caught:
                read(number)
            assert (caught.value.path, caught.value.patch) == (str(damaged), number)
            assert "scene" in str(caught.value)
    assert torch.equal(image(checked[3]), image(plain[3]))


def test_what_a_flipped_bit_does_is_not_noticed_otherwise(sound: Path, tmp_path: Path) -> None:
    damaged = Path(shutil.copy(sound, tmp_path / "damaged.h5"))
    flip(damaged, 5)
    assert not torch.equal(SARH5Dataset(damaged)[5], SARH5Dataset(sound)[5])


def test_of_many_flipped_bits_none_is_served(sound: Path, tmp_path: Path) -> None:
    whole = SARH5Dataset(sound).__getitems__(list(range(COUNT)))
    generator = np.random.default_rng(3)
    for seed in range(60):
        damaged, number = Path(shutil.copy(sound, tmp_path / "damaged.h5")), int(generator.integers(COUNT))
        flip(damaged, number, seed)
        patches = SARH5Dataset(damaged, verify="always", on_bad_sample="skip")
        served = patches.__getitems__(list(range(COUNT)))
        assert patches.bad_samples == {number: 1}
        assert torch.equal(torch.stack(list(served)), torch.stack([*whole[:number], *whole[number + 1 :]]))


def test_a_changed_byte_outside_the_patches_gives_an_error_of_ours_or_the_right_samples(
    sound: Path, tmp_path: Path
) -> None:
    content, whole = sound.read_bytes(), torch.stack(list(SARH5Dataset(sound)))
    is_patch = np.zeros(len(content), bool)
    for number in range(COUNT):
        offset, size = chunk_place(sound, number)
        is_patch[offset : offset + size] = True
    generator, refused = np.random.default_rng(4), 0
    for place in generator.choice(np.flatnonzero(~is_patch), 80, replace=False).tolist():
        changed = bytearray(content)
        changed[place] ^= int(generator.integers(1, 256))
        (tmp_path / "changed.h5").write_bytes(changed)
        try:
            assert torch.equal(torch.stack(list(SARH5Dataset(tmp_path / "changed.h5", verify="always"))), whole)
        except SarH5Error:
            refused += 1
    assert refused > 10


@pytest.mark.parametrize("method", ["fork", "spawn"] if os.name == "posix" else ["spawn"])
def test_workers_and_copies_check_too(sound: Path, tmp_path: Path, method: str) -> None:
    damaged = Path(shutil.copy(sound, tmp_path / "damaged.h5"))
    flip(damaged, 7)
    patches = SARH5Dataset(damaged, verify="always", on_bad_sample="substitute", seed=1)
    loader = DataLoader(patches, COUNT, num_workers=1, multiprocessing_context=method, timeout=120)
    (batch,) = loader
    assert patches.bad_samples == {7: 1}
    assert any(torch.equal(batch[7], sample) for sample in SARH5Dataset(sound))
    with pytest.raises(CorruptPatchError, match="expected checksum"):
        pickle.loads(pickle.dumps(SARH5Dataset(damaged, verify="always")))[7]


def test_joined_files_are_checked_each(products: Path, tmp_path: Path) -> None:
    convert(products, tmp_path, patch_size=64, stride=64)
    paths = [tmp_path / "vv.h5", tmp_path / "vh.h5"]
    flip(paths[1], 4)
    patches = SARH5Dataset(paths, verify="always")
    bad = int(np.flatnonzero(patches.index["patch_vh"] == 4)[0])
    with pytest.raises(CorruptPatchError, match=r"vh.h5: patch 4 cannot be read: expected checksum"):
        patches[bad]
    assert patches[bad - 1].shape == (2, 64, 64)


def test_what_cannot_be_checked_is_refused(sound: Path, tmp_path: Path) -> None:
    def changed(change: Any) -> Path:
        path = Path(shutil.copy(sound, tmp_path / "changed.h5"))
        with h5py.File(path, "r+") as f:
            change(f)
        return path

    def without(f: h5py.File) -> None:
        del f["index/checksum"]

    def shorten(f: h5py.File) -> None:
        values = f["index/checksum"][:-1]
        without(f)
        f["index/checksum"] = values

    def rechunk(f: h5py.File) -> None:
        data, attributes = f["patches"][:], dict(f["patches"].attrs)
        del f["patches"]
        f.create_dataset("patches", data=data, chunks=(2, SIZE, SIZE)).attrs.update(attributes)

    with pytest.raises(SettingError, match=r"verify.*always.*index/checksum"):
        SARH5Dataset(changed(without), verify="always")
    with pytest.raises(FormatError, match="expected 12 checksums in /index/checksum, found 11"):
        SARH5Dataset(changed(shorten), verify="always")
    with pytest.raises(SettingError, match="one chunk"):
        SARH5Dataset(changed(rechunk), verify="always")
    with h5py.File(tmp_path / "other.h5", "w") as f:
        f["x"] = np.zeros((3, 8, 8), np.float32)
    with pytest.raises(SettingError, match="this one has none"):
        SARH5Dataset(tmp_path / "other.h5", verify="always")
    with pytest.raises(SettingError, match="verify"):
        SARH5Dataset(sound, verify="sometimes")  # type: ignore[arg-type]
