"""Codecs: frames that HDF5 reads, broken frames refused, and choices that sizes alone decide."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import h5py
import hdf5plugin
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numcodecs import blosc

from sar_h5.compression import COMPRESSORS, SHUFFLES, Codec, Compressor, candidates, choose_codec, decompress
from sar_h5.errors import SettingError
from sar_h5.schema import BLOSC_FILTER
from tests.conftest import make_dn

Array = npt.NDArray[Any]

ALL_CODECS = [Codec(name, 5, shuffle) for name in COMPRESSORS for shuffle in SHUFFLES]


def noise(nbytes: int = 4096) -> Array:
    return np.random.default_rng(0).integers(0, 256, nbytes, dtype=np.uint8)


def chunks() -> list[Array]:
    """What a chunk may be: speckle in one and two bytes, floats, noise, nothing but zeros, a single pixel."""
    dn = make_dn(1, (64, 64))
    return [
        dn,
        (dn // 4).astype(np.uint8),
        np.random.default_rng(1).random((64, 64), dtype=np.float32),
        noise().reshape(64, 64),
        np.zeros((64, 64), dtype=np.uint16),
        np.ones((1, 1), dtype=np.uint8),
    ]


@pytest.mark.parametrize("codec", ALL_CODECS, ids=str)
@pytest.mark.parametrize("number", range(6))
def test_frames_decode_with_numcodecs_and_with_ours(codec: Codec, number: int) -> None:
    chunk = chunks()[number]
    frame = codec.compress(chunk)
    assert blosc.decompress(frame) == chunk.tobytes()
    assert decompress(frame, chunk.nbytes) == chunk.tobytes()
    assert len(frame) <= chunk.nbytes + 16
    assert frame[3] == chunk.itemsize


@pytest.mark.parametrize("clevel", [0, 1, 9])
@pytest.mark.parametrize("codec", ALL_CODECS, ids=str)
def test_frames_written_as_they_are_decode_through_hdf5(tmp_path: Path, codec: Codec, clevel: int) -> None:
    codec = Codec(codec.name, clevel, codec.shuffle)
    for number, chunk in enumerate(chunks()):
        path = tmp_path / f"{number}.h5"
        shape = (1, *chunk.shape)
        with h5py.File(path, "w") as file:
            dataset = file.create_dataset("x", shape, chunk.dtype, chunks=shape, **codec.dataset_arguments())
            dataset.id.write_direct_chunk((0, 0, 0), codec.compress(chunk))
            assert dataset.id.get_create_plist().get_filter(0)[0] == BLOSC_FILTER
        with h5py.File(path) as file:
            assert np.array_equal(file["x"][0], chunk)


def test_chunks_that_hdf5_compressed_decode_with_ours(tmp_path: Path) -> None:
    chunk = chunks()[0] // 16  # compressible by all: HDF5 stores the others raw, with their bit in the filter mask
    shape = (1, *chunk.shape)
    for number, codec in enumerate(ALL_CODECS):
        with h5py.File(tmp_path / f"{number}.h5", "w") as file:
            dataset = file.create_dataset("x", data=chunk[np.newaxis], chunks=shape, **codec.dataset_arguments())
            mask, frame = dataset.id.read_direct_chunk((0, 0, 0))
        assert mask == 0
        assert decompress(frame, chunk.nbytes) == chunk.tobytes()


def test_the_filter_says_which_codec_it_is(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        arguments = Codec("zstd", 3, "bit").dataset_arguments()
        dataset = file.create_dataset("x", (1, 8, 8), "u2", chunks=(1, 8, 8), **arguments)
        _, _, values, _ = dataset.id.get_create_plist().get_filter(0)
    # The HDF5 filter's client data: level, shuffle, compressor stand at 4, 5, 6 (blosc_filter.c in hdf5-blosc).
    assert values[4:7] == (3, blosc.BITSHUFFLE, 5)


def test_incompressible_chunks_come_out_16_bytes_larger() -> None:
    chunk = noise()
    for codec in ALL_CODECS:
        assert len(codec.compress(chunk)) == chunk.nbytes + 16


def test_compressing_is_reproducible() -> None:
    for codec in ALL_CODECS:
        assert codec.compress(chunks()[0]) == codec.compress(chunks()[0].copy())


# Broken frames


@pytest.mark.parametrize("cut", [0, 1, 15, 16, 17, -1])
def test_truncated_frames_are_refused(cut: int) -> None:
    chunk = chunks()[0]
    with pytest.raises(ValueError, match="expected a Blosc frame of 8192 bytes uncompressed"):
        decompress(Codec().compress(chunk)[:cut], chunk.nbytes)


def test_frames_with_something_behind_them_are_refused() -> None:
    chunk = chunks()[0]
    with pytest.raises(ValueError, match="expected a Blosc frame"):
        decompress(Codec().compress(chunk) + b"\0", chunk.nbytes)


@pytest.mark.parametrize("wrong", [-1, 1, 8192])
def test_frames_of_another_size_are_refused(wrong: int) -> None:
    chunk = chunks()[0]
    with pytest.raises(ValueError, match=f"expected a Blosc frame of {8192 + wrong} bytes"):
        decompress(Codec().compress(chunk), chunk.nbytes + wrong)


@given(garbage=st.binary(max_size=200))
def test_garbage_is_refused(garbage: bytes) -> None:
    with pytest.raises(ValueError, match="expected a Blosc frame"):
        decompress(garbage, 8192)


@given(garbage=st.binary(min_size=40, max_size=400), flags=st.integers(0, 255), kind=st.integers(1, 8))
def test_garbage_with_a_plausible_header_is_refused_or_has_the_right_size(
    garbage: bytes, flags: int, kind: int
) -> None:
    # A CRC-32 per chunk finds what a plausible frame hides; this is about never crashing or returning too little.
    sizes = [number.to_bytes(4, "little") for number in (8192, 8192, 16 + len(garbage))]
    frame = bytes([2, 1, flags, kind]) + b"".join(sizes) + garbage
    try:
        assert len(decompress(frame, 8192)) == 8192
    except ValueError as error:
        assert "blosc" in str(error)  # noqa: PT017  # most frames raise, but not all


def test_a_frame_of_an_unknown_version_is_refused() -> None:
    frame = bytearray(Codec().compress(chunks()[0]))
    frame[0] = 99
    with pytest.raises(ValueError, match="error during blosc decompression"):
        decompress(bytes(frame), 8192)


# Settings and choice


def test_codecs_say_in_words_what_they_are() -> None:
    assert str(Codec()) == "lz4 level 5, byte shuffle"
    assert str(Codec("zstd", 3, "bit")) == "zstd level 3, bitshuffle"
    assert str(Codec("zlib", 9, "none")) == "zlib level 9, no shuffle"
    assert get_args(Compressor) == COMPRESSORS


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "gzip"}, "expected codec blosclz, lz4, lz4hc, zlib, zstd; found 'gzip'"),
        ({"name": "LZ4"}, "expected codec .* found 'LZ4'"),
        ({"shuffle": "bits"}, "expected shuffle none, byte, bit; found 'bits'"),
        ({"clevel": -1}, "expected a compression level from 0 to 9; found -1"),
        ({"clevel": 10}, "expected a compression level from 0 to 9; found 10"),
    ],
)
def test_unknown_codecs_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        Codec(**arguments)


def test_presets_are_lz4_and_zstd_and_any_compressor_can_be_named() -> None:
    assert candidates("fast") == (Codec("lz4", 5, "byte"), Codec("lz4", 5, "bit"))
    assert candidates("small") == (Codec("zstd", 3, "byte"), Codec("zstd", 3, "bit"))
    assert candidates("small", blocks=True) == (Codec("zstd", 8, "byte"), Codec("zstd", 8, "bit"))
    assert candidates("fast", blocks=True) == candidates("fast")
    for name in COMPRESSORS:
        assert candidates(name, blocks=True) == candidates(name)
        assert candidates(name) == (Codec(name, 5, "byte"), Codec(name, 5, "bit"))
    with pytest.raises(SettingError, match=r"expected codec .* found 'slow'"):
        candidates("slow")


class Sizes:
    """Stands in for ``Codec.compress``: frames of the sizes that a test wants."""

    def __init__(self, byte: int, bit: int) -> None:
        self._nbytes = {"byte": byte, "bit": bit}

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Codec, "compress", lambda codec, _: bytes(self._nbytes[codec.shuffle]))


@pytest.mark.parametrize(
    ("preset", "dtype", "byte", "bit", "shuffle"),
    [
        ("fast", "u2", 550, 500, "byte"),  # just 10 % larger
        ("fast", "u2", 551, 500, "bit"),
        ("fast", "u2", 400, 500, "byte"),
        ("fast", "u1", 600, 500, "byte"),  # just 20 % larger
        ("fast", "u1", 601, 500, "bit"),
        ("fast", "f4", 600, 500, "byte"),
        ("fast", "f4", 601, 500, "bit"),
        ("small", "u2", 501, 500, "bit"),
        ("small", "u1", 500, 500, "byte"),
        ("small", "u2", 499, 500, "byte"),
        ("lz4", "u1", 501, 500, "bit"),  # named: no margin
        ("zlib", "u2", 500, 501, "byte"),
    ],
)
def test_the_shuffle_follows_from_the_sizes(
    monkeypatch: pytest.MonkeyPatch, preset: str, dtype: str, byte: int, bit: int, shuffle: str
) -> None:
    Sizes(byte, bit).install(monkeypatch)
    chosen = choose_codec(preset, [np.zeros(1, dtype)] * 3)
    assert chosen == next(codec for codec in candidates(preset) if codec.shuffle == shuffle)


def test_the_sizes_of_all_chunks_count_together(monkeypatch: pytest.MonkeyPatch) -> None:
    nbytes = {("byte", 0): 100, ("bit", 0): 10, ("byte", 1): 100, ("bit", 1): 175}
    monkeypatch.setattr(Codec, "compress", lambda codec, chunk: bytes(nbytes[codec.shuffle, int(chunk[0])]))
    assert choose_codec("fast", [np.array([0]), np.array([1])]).shuffle == "byte"
    assert choose_codec("small", [np.array([0]), np.array([1])]).shuffle == "bit"


@pytest.mark.parametrize("preset", ["fast", "small", *COMPRESSORS])
def test_the_choice_on_real_frames_is_the_one_that_its_rule_gives(preset: str) -> None:
    for sample in chunks():
        margin = {1: 1.2, 2: 1.1, 4: 1.2}[sample.dtype.itemsize] if preset == "fast" else 1
        byte, bit = candidates(preset)
        larger = len(byte.compress(sample)) > margin * len(bit.compress(sample))
        assert choose_codec(preset, [sample]) == (bit if larger else byte)


def test_a_level_and_a_shuffle_can_be_named() -> None:
    sample = chunks()[:1]
    assert choose_codec("fast", sample, clevel=9).clevel == 9
    for shuffle in SHUFFLES:
        assert choose_codec("small", sample, shuffle=shuffle) == Codec("zstd", 3, shuffle)
        assert choose_codec("zlib", sample, 0, shuffle) == Codec("zlib", 0, shuffle)
    with pytest.raises(SettingError, match="expected a compression level"):
        choose_codec("fast", sample, clevel=11)
    with pytest.raises(SettingError, match="expected shuffle"):
        choose_codec("fast", sample, shuffle="x")


def test_small_blocks_are_compressed_harder_unless_a_level_is_named() -> None:
    amplitudes = np.sqrt(np.random.default_rng(0).standard_gamma(4.4, (4, 128, 128))) * 120
    speckle = list((amplitudes.clip(29, 285) - 29).astype("u2"))  # 257 levels, many pixels clipped
    patches, blocks = choose_codec("small", speckle), choose_codec("small", speckle, blocks=True)
    assert (patches.clevel, blocks.clevel) == (3, 8)
    nbytes = [sum(len(codec.compress(chunk)) for chunk in speckle) for codec in (patches, blocks)]
    assert nbytes[1] < 0.995 * nbytes[0]
    assert choose_codec("small", speckle, 3, blocks=True) == patches
    assert choose_codec("fast", speckle, blocks=True) == choose_codec("fast", speckle)


def test_without_a_sample_the_choice_is_byte_shuffle() -> None:
    assert choose_codec("fast", []) == Codec("lz4", 5, "byte")


def test_datasets_are_created_where_the_environment_names_the_plugins_as_h5dump_needs_it(tmp_path: Path) -> None:
    program = (
        "import sys, h5py; from sar_h5.compression import Codec\n"
        "with h5py.File(sys.argv[1], 'w') as f:\n"
        "    f.create_dataset('x', (2, 8, 8), 'u2', chunks=(1, 8, 8), **Codec().dataset_arguments())[:] = 7\n"
    )
    environment = os.environ | {"HDF5_PLUGIN_PATH": hdf5plugin.PLUGIN_PATH}
    done = subprocess.run(
        [sys.executable, "-c", program, tmp_path / "x.h5"], env=environment, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    with h5py.File(tmp_path / "x.h5") as file:
        assert file["x"][:].sum() == 2 * 8 * 8 * 7
