"""The codec: its settings, how HDF5 is told of it, and one chunk compressed or decompressed.

Chunks carry filter 32001 (Blosc), whose payload is a Blosc-1 frame. ``numcodecs`` makes and reads such frames without
the GIL and without HDF5, so chunks are compressed outside the library and written as they are.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import hdf5plugin
import numpy.typing as npt
from numcodecs import blosc

from sar_h5.errors import SettingError

Compressor = Literal["blosclz", "lz4", "lz4hc", "zlib", "zstd"]
COMPRESSORS: tuple[Compressor, ...] = get_args(Compressor)
SHUFFLES: Mapping[str, int] = {"none": blosc.NOSHUFFLE, "byte": blosc.SHUFFLE, "bit": blosc.BITSHUFFLE}
PRESETS = ("fast", "small")
MOST_OVERHEAD_NBYTES = 16
"""How many bytes longer than a chunk its frame is at most."""

FAST_MARGIN = 1.2
FAST_MARGIN_OF_TWO_BYTES = 1.1
"""The "fast" preset takes bitshuffle where byte shuffle comes out larger by more than this, about where lz4 begins to
decode faster with it. Measured for codes of two bytes: 53 microseconds per patch against 70 at 393 levels (byte shuffle
18 % larger), 78 against 44 at 295 (5 %). Codes of one byte are mostly stored as they are and decode in 4 to 11
microseconds, against 57 with bitshuffle, which is hardly ever 20 % smaller."""

SMALL_LEVEL, SMALL_LEVEL_OF_BLOCKS = 3, 8
"""Levels of zstd for the "small" preset. Blosc makes 15 of zstd's own levels of 8, at which zstd seeks the shortest
result; decoding takes as long as at 3. Measured with blocks of 128 pixels a side: codes of two bytes become 1.4 to 8 %
smaller (257 levels: float32 / 17.2 for 15.9), in 0.7 to 4.4 ms a block for 0.1 to 0.4; codes of one byte hardly change
(0.6 ms for 0.1). Level 9 takes three times as long for 0 to 0.5 % more. Layout "patches" has four times the pixels to
compress."""


@dataclass(frozen=True)
class Codec:
    """A Blosc compressor with its level and shuffle, checked when made.

    Attributes:
        name: "blosclz", "lz4", "lz4hc", "zlib" or "zstd".
        clevel: compression level, 0 (store) to 9.
        shuffle: "none", "byte" or "bit".

    Raises:
        SettingError: where one of them is not one of these.
    """

    name: Compressor = "lz4"
    clevel: int = 5
    shuffle: str = "byte"

    def __post_init__(self) -> None:
        for what, value, known in (
            ("codec", self.name, COMPRESSORS),
            ("shuffle", self.shuffle, tuple(SHUFFLES)),
        ):
            if value not in known:
                raise SettingError(f"expected {what} {', '.join(known)}; found {value!r}")
        if not 0 <= self.clevel <= 9:
            raise SettingError(f"expected a compression level from 0 to 9; found {self.clevel}")

    def __str__(self) -> str:
        shuffle = {"none": "no", "byte": "byte ", "bit": "bit"}[self.shuffle]
        return f"{self.name} level {self.clevel}, {shuffle}{'' if shuffle != 'no' else ' '}shuffle"

    def dataset_arguments(self) -> dict[str, Any]:
        """Return what ``h5py`` needs to declare the filter: keyword arguments of ``create_dataset``."""
        # Where HDF5_PLUGIN_PATH is set, as h5dump needs it, HDF5 finds the filter there, and hdf5plugin, when imported,
        # leaves it at that; but what is found so does not know the HDF5 within h5py and cannot make datasets.
        with contextlib.suppress(RuntimeError):  # a dataset that is open uses it: then it is there
            hdf5plugin.register("blosc", force=True)
        return dict(hdf5plugin.Blosc(cname=self.name, clevel=self.clevel, shuffle=SHUFFLES[self.shuffle]))

    def compress(self, chunk: npt.NDArray[Any]) -> bytes:
        """Compress one C-contiguous chunk into a Blosc-1 frame; incompressible chunks come out 16 bytes larger."""
        frame: bytes = blosc.compress(chunk, self.name.encode(), self.clevel, SHUFFLES[self.shuffle])
        return frame


def decompress(frame: bytes, nbytes: int) -> bytes:
    """Decompress a Blosc-1 frame.

    Args:
        frame: the stored bytes of a chunk.
        nbytes: what must come out.

    Raises:
        ValueError: where the frame is not one, or announces another size.
    """
    if (
        len(frame) < 16
        or int.from_bytes(frame[4:8], "little") != nbytes
        or int.from_bytes(frame[12:16], "little") != len(frame)
    ):
        raise ValueError(f"expected a Blosc frame of {nbytes} bytes uncompressed")
    try:
        data: bytes = blosc.decompress(frame)
    except RuntimeError as error:
        raise ValueError(str(error)) from error
    return data


def candidates(preset: str, *, blocks: bool = False) -> tuple[Codec, Codec]:
    """Return the codecs that a preset or a named compressor chooses between: with byte shuffle and bitshuffle.

    Args:
        preset: "fast", "small", or a compressor's name.
        blocks: whether it is for layout "blocks", which has a quarter of the pixels to compress.
    """
    named = {"fast": Codec("lz4", 5), "small": Codec("zstd", SMALL_LEVEL_OF_BLOCKS if blocks else SMALL_LEVEL)}
    codec = named[preset] if preset in named else Codec(preset)  # type: ignore[arg-type]  # checked by Codec
    return codec, replace(codec, shuffle="bit")


def choose_codec(
    preset: str,
    sample: Sequence[npt.NDArray[Any]],
    clevel: int | None = None,
    shuffle: str | None = None,
    *,
    blocks: bool = False,
) -> Codec:
    """Choose the codec for a file from what it makes of sample chunks.

    By size alone, so that the choice is reproducible.

    Args:
        preset: "fast", "small", or a compressor's name.
        sample: chunks as they will be stored.
        clevel: level, or None for the preset's.
        shuffle: "none", "byte" or "bit", or None to choose.
        blocks: whether chunks are blocks, which patches share.

    Returns:
        For "fast" lz4 with byte shuffle unless that comes out more than 20 % larger than with bitshuffle, 10 % where
        codes take two bytes; for "small" zstd with the smaller of the two; for a named compressor the smaller of the
        two.

    Raises:
        SettingError: where a name is unknown.
    """
    byte, bit = candidates(preset, blocks=blocks)
    if clevel is not None:
        byte, bit = replace(byte, clevel=clevel), replace(bit, clevel=clevel)
    if shuffle is not None:
        return replace(byte, shuffle=shuffle)
    byte_nbytes, bit_nbytes = (sum(len(codec.compress(chunk)) for chunk in sample) for codec in (byte, bit))
    return bit if byte_nbytes > _margin(preset, sample) * bit_nbytes else byte


def _margin(preset: str, sample: Sequence[npt.NDArray[Any]]) -> float:
    if preset != "fast":
        return 1.0
    return FAST_MARGIN_OF_TWO_BYTES if sample and sample[0].dtype.itemsize == 2 else FAST_MARGIN
