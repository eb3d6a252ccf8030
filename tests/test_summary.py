"""What a conversion says about itself, to people and to programs."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from sar_h5.errors import BadSource
from sar_h5.summary import ConversionSummary, FileSummary

VV = FileSummary(
    path="out/vv.h5",
    polarization="vv",
    scenes=2,
    patches=12_345,
    dropped=655,
    min_valid=0.9,
    valid_measure="range",
    patch_size=256,
    stride=128,
    vmin=14.77,
    vmax=24.54,
    bounds_origin="given",
    encoding="palette",
    levels=258,
    codec="lz4 level 5, byte shuffle",
    nbytes=810_000_000,
    float32_nbytes=3_240_000_000,
    source_nbytes=1_500_000_000,
    seconds=10.0,
    content_digest="abc",
)
VH = replace(VV, path="out/vh.h5", polarization="vh")
BROKEN = BadSource("x.tiff", "is empty")


def test_rates_and_ratio_follow_from_the_numbers() -> None:
    assert VV.ratio == 4
    assert VV.patches_per_second == 1234.5
    assert VV.megabytes_per_second == 150


def test_the_text_tells_all_lines_in_order() -> None:
    assert VV.to_text().splitlines() == [
        "out/vv.h5",
        "  patches   12,345 of 256 x 256 px, stride 128 px, from 2 scenes",
        "  dropped   655 of 13,000: less than 90% of pixels strictly inside (0.01, 0.99)",
        "  bounds    14.7700 to 24.5400 dB (given)",
        "  encoding  palette, 258 codes; lz4 level 5, byte shuffle",
        "  size      810.00 MB, 4.00 x smaller than float32 (3.24 GB)",
        "  speed     10.0 s, 1,234 patches/s, 150 MB/s of source",
        "  digest    abc",
    ]


def test_a_file_that_this_run_has_not_made_has_no_speed() -> None:
    assert "speed" not in replace(VV, seconds=0.0).to_text()
    assert replace(VV, seconds=0.0).to_dict()["patches_per_second"] == 0


def test_skipped_sources_and_notes_come_last() -> None:
    lines = replace(VV, skipped=(BROKEN,), notes=("one", "two")).to_text().splitlines()
    assert lines[-3:] == ["  skipped   x.tiff: is empty", "  note      one", "  note      two"]


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"stride": -1}, "stride unknown"),
        ({"scenes": 1}, "from 1 scene\n"),
        ({"valid_measure": "pixels"}, "less than 90% of pixels that hold data"),
        ({"min_valid": 0.995}, "less than 99.5% of pixels"),
        ({"min_valid": 0.07}, "less than 7% of pixels"),
        ({"min_valid": 0.0, "dropped": 0}, "0 of 12,345: no filter was asked for"),
        ({"levels": 0, "encoding": "float32 (asked for)"}, "  encoding  float32 (asked for); lz4"),
        ({"nbytes": 999_999_000}, "1,000.00 MB, 3.24 x"),
        ({"nbytes": 1_000_000_000}, "1.00 GB, 3.24 x"),
    ],
)
def test_the_text_follows_the_values(change: dict[str, object], line: str) -> None:
    assert line in replace(VV, **change).to_text()  # type: ignore[arg-type]


def test_files_are_found_by_number_and_by_polarization() -> None:
    summary = ConversionSummary((VV, VH))
    assert (summary[0], summary[-1], summary["vh"]) == (VV, VH, VH)
    assert list(summary) == [VV, VH]
    assert len(summary) == 2
    with pytest.raises(KeyError, match="hh"):
        summary["hh"]
    with pytest.raises(IndexError):
        summary[2]


def test_the_text_of_a_conversion_is_that_of_its_files() -> None:
    assert ConversionSummary((VV, VH)).to_text() == f"{VV.to_text()}\n\n{VH.to_text()}"


def test_json_holds_every_value() -> None:
    summary = ConversionSummary((replace(VV, skipped=(BROKEN,)), VH), (BROKEN,))
    found = json.loads(json.dumps(summary.to_dict()))
    assert found["skipped"] == [{"path": "x.tiff", "reason": "is empty"}]
    assert found["files"][0]["skipped"] == found["skipped"]
    assert found["files"][1] == {
        name: list(value) if isinstance(value, tuple) else value for name, value in VH.to_dict().items()
    }
    assert {name: found["files"][1][name] for name in ("ratio", "patches_per_second", "megabytes_per_second")} == {
        "ratio": 4,
        "patches_per_second": 1234.5,
        "megabytes_per_second": 150,
    }
    assert (found["files"][0]["path"], found["files"][0]["vmin"]) == ("out/vv.h5", 14.77)
