"""``Packer``: chunks, checksums and hashes of a batch, the same however it was made."""

from __future__ import annotations

import dataclasses
import hashlib
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from sar_h5.compression import Codec, decompress
from sar_h5.cutting import PatchBatch
from sar_h5.encoding import Storage, float_storage, palette_storage
from sar_h5.errors import SourceError
from sar_h5.packing import PackedBatch, Packer
from sar_h5.palette import Palette

LUT = np.linspace(0, 1, 300, dtype=np.float32)
VALUES = palette_storage(Palette(LUT), from_dn=False)
NUMBERS = palette_storage(Palette(LUT), from_dn=True)


def make_batch(seed: int, count: int, storage: Storage, size: int = 32) -> PatchBatch:
    codes = np.random.default_rng(seed).integers(0, len(LUT), (count, size, size)).astype(np.uint16)
    rows = np.arange(count, dtype=np.int32)
    return PatchBatch(codes if storage.lut is not None else LUT[codes], rows, rows + 1, np.ones(count, np.float32))


def contents(packed: PackedBatch) -> list[bytes]:
    return list(packed.contents)


@pytest.mark.parametrize("codec", [Codec(), Codec("zstd", 3, "bit"), Codec("lz4", 0, "none")])
@pytest.mark.parametrize("storage", [VALUES, NUMBERS, float_storage()])
@pytest.mark.parametrize("count", [0, 1, 7])
def test_frames_decode_to_the_patches_and_have_their_checksums(storage: Storage, codec: Codec, count: int) -> None:
    batch = make_batch(0, count, storage)
    packed = Packer(storage, codec).pack(batch)
    assert [
        decompress(frame.tobytes(), patch.nbytes) for frame, patch in zip(packed.frames, batch.patches, strict=True)
    ] == [patch.tobytes() for patch in batch.patches]
    assert list(packed.checksums) == [zlib.crc32(frame.tobytes()) for frame in packed.frames]
    for name in ("rows", "cols", "valid_fraction"):
        assert np.array_equal(getattr(packed, name), getattr(batch, name))


def test_codes_of_digital_numbers_count_as_they_are_and_others_by_their_values() -> None:
    batch = make_batch(1, 3, VALUES)
    by_code = [hashlib.sha256(patch.tobytes()).digest() for patch in batch.patches]
    by_value = [hashlib.sha256(LUT[patch].tobytes()).digest() for patch in batch.patches]
    assert contents(Packer(NUMBERS, Codec()).pack(batch)) == by_code
    assert contents(Packer(VALUES, Codec()).pack(batch)) == by_value
    given = dataclasses.replace(batch, values=LUT[batch.patches])
    assert contents(Packer(VALUES, Codec()).pack(given)) == by_value
    assert contents(Packer(float_storage(), Codec()).pack(make_batch(1, 3, float_storage()))) == by_value


def test_incompressible_patches_fit_in_the_memory_for_frames() -> None:
    noise = np.random.default_rng(0).integers(0, 1 << 32, (5, 64, 64), dtype=np.uint32).view(np.float32)
    rows = np.zeros(5, np.int32)
    for name in ("lz4", "zstd", "zlib", "blosclz", "lz4hc"):
        for shuffle in ("none", "byte", "bit"):
            packed = Packer(float_storage(), Codec(name, 5, shuffle)).pack(
                PatchBatch(noise, rows, rows, rows.astype(np.float32))
            )
            assert [decompress(frame.tobytes(), 64 * 64 * 4) for frame in packed.frames] == [
                patch.tobytes() for patch in noise
            ]


@pytest.mark.parametrize("view", [np.asfortranarray, lambda a: np.repeat(a, 2, axis=2)[:, :, ::2]])
def test_patches_may_lie_in_memory_in_any_way(view: object) -> None:
    batch = make_batch(2, 4, NUMBERS)
    other = dataclasses.replace(batch, patches=view(batch.patches))  # type: ignore[operator]
    packer = Packer(NUMBERS, Codec())
    one, two = packer.pack(batch), packer.pack(other)
    assert [frame.tobytes() for frame in one.frames] == [frame.tobytes() for frame in two.frames]
    assert contents(one) == contents(two)


def test_threads_share_a_packer() -> None:
    packer = Packer(VALUES, Codec())
    batches = [make_batch(seed, 5, VALUES) for seed in range(40)]
    with ThreadPoolExecutor(8) as pool:
        packed = list(pool.map(packer.pack, batches))
    for one, batch in zip(packed, batches, strict=True):
        alone = Packer(VALUES, Codec()).pack(batch)
        assert [frame.tobytes() for frame in one.frames] == [frame.tobytes() for frame in alone.frames]
        assert (list(one.checksums), contents(one)) == (list(alone.checksums), contents(alone))


def test_what_making_a_batch_raises_comes_out() -> None:
    class Broken:
        nbytes = 5

        def make(self) -> PatchBatch:
            raise SourceError("broken")

    with pytest.raises(SourceError, match="broken"):
        Packer(VALUES, Codec()).pack(Broken())
