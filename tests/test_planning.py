"""The measured constants: complete, in order, and true of a file that is made here."""

from __future__ import annotations

from pathlib import Path

import pytest

from sar_h5 import convert
from sar_h5.errors import SettingError
from sar_h5.forecasts import planning
from sar_h5.schema import ENCODINGS, LAYOUTS
from sar_h5.shared_blocks.grid import ExpectedBlocks
from sar_h5.sources.simulator import SimulatedScene, simulate_product


def test_every_encoding_and_codec_was_measured_and_compression_never_costs() -> None:
    for by_encoding in planning.STORED_BYTES_PER_PIXEL.values():
        assert set(by_encoding) == set(ENCODINGS)
        for by_codec in by_encoding.values():
            assert tuple(by_codec) == planning.MEASURED_CODECS
            assert by_codec["small"] <= by_codec["fast"] <= by_codec["none"]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("codec", ["fast", "small"])
def test_the_size_of_a_simulated_file_is_foretold(tmp_path: Path, codec: str, layout: str) -> None:
    simulate_product(tmp_path / "in", SimulatedScene(512, 1024, border_px=0, seed=5))
    for file in convert(tmp_path / "in", tmp_path / "h5", codec=codec, stride=64, min_valid=0, layout=layout):
        blocks = None if file.blocks is None else ExpectedBlocks(file.blocks.block_size, file.blocks.count)
        patches, rest = planning.file_nbytes(file.patches, 256, codec, file.encoding, file.polarization, blocks)
        assert file.nbytes == pytest.approx(patches + rest, rel=0.12)


def test_memory_grows_with_what_is_held_and_not_with_the_pixels_of_shards() -> None:
    few = planning.conversion_memory(1_000, 256, threads=2)
    many = planning.conversion_memory(720_953, 256, threads=2)
    assert few < many < 2 * few
    narrow = planning.conversion_memory(1_000, 256, threads=2, raster_width=1_000, raster_itemsize=2)
    wide = planning.conversion_memory(1_000, 256, threads=2, raster_width=25_000, raster_itemsize=2)
    floats = planning.conversion_memory(1_000, 256, threads=2, raster_width=25_000, raster_itemsize=4)
    cached = planning.conversion_memory(
        1_000, 256, threads=2, raster_width=25_000, raster_itemsize=2, cached_nbytes=10**8
    )
    assert few < narrow < wide < floats
    assert cached == wide + 10**8


def test_a_codec_that_was_not_measured_is_refused() -> None:
    with pytest.raises(SettingError, match=r"expected a codec that was measured, fast, small, none; found 'zlib'"):
        planning.check_codec("zlib")


def test_time_grows_with_pixels_and_with_patches() -> None:
    once = planning.cpu_seconds(100, 256, "epoch", 0.001)
    assert planning.cpu_seconds(200, 256, "epoch", 0.001) == pytest.approx(2 * once)
    assert once < planning.cpu_seconds(400, 128, "epoch", 0.001) < 1.5 * once
