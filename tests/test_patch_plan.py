"""``plan`` and ``sar-h5 plan``: estimates for the user's numbers, and a table of common ones."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sar_h5 import plan
from sar_h5.errors import SettingError
from sar_h5.forecasts.patch_plan import COMMON_COUNTS, COMMON_SIZES, plan_common_sizes, table_to_text
from sar_h5.forecasts.planning import MEASURED_CODECS
from sar_h5.schema import LAYOUTS, Layout
from tests.command_line import CommandLine


@pytest.fixture
def command_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    """The command line in this process."""
    return CommandLine(monkeypatch, capsys)


@given(
    st.integers(0, 10**9),
    st.integers(1, 4096),
    st.sampled_from(MEASURED_CODECS),
    st.sampled_from(["vv", "vh", "hh"]),
    st.sampled_from(LAYOUTS),
)
def test_any_plan_is_finite_and_can_be_written(
    patches: int, size: int, codec: str, polarization: str, layout: Layout
) -> None:
    stride = -(-size // 2)
    if layout == "blocks" and size % stride:
        size = 2 * stride
    planned = plan(
        patches, patch_size=size, codec=codec, polarization=polarization, cores=4, layout=layout, stride=stride
    )
    assert planned.nbytes == planned.patches_nbytes + planned.index_nbytes
    assert planned.patches_nbytes <= planned.float32_nbytes / 2 + 1
    assert f"{patches:,} {polarization} patches" in planned.to_text()
    assert json.loads(json.dumps(planned.to_dict()))["nbytes"] == planned.nbytes


def test_the_fields_data_set_is_foretold() -> None:
    planned = plan(720_953, polarization="vv", cores=2)
    assert planned.float32_nbytes == pytest.approx(189e9, rel=0.01)
    assert 45e9 < planned.nbytes < 60e9
    assert planned.conversion_memory_nbytes < 610e6  # 210 MB of imports, and at most 400 MB above them
    assert planned.table_nbytes < 40e6


def test_blocks_take_a_quarter_of_the_disk_and_are_said_to() -> None:
    patches = plan(720_953, codec="small", cores=2)
    blocks = plan(720_953, codec="small", cores=2, layout="blocks")
    assert (blocks.stride, blocks.blocks) == (128, 851 * 850)
    assert 0.24 < blocks.nbytes / patches.nbytes < 0.26
    assert patches.conversion_memory_nbytes < blocks.conversion_memory_nbytes < 610e6
    assert "in 723,350 blocks that patches with stride 128 share" in blocks.to_text()
    assert plan(4, patch_size=32, stride=48, layout="blocks").blocks == 4
    assert plan(0, layout="blocks").blocks == patches.blocks == 0


def test_a_table_of_blocks_and_their_reading_are_counted() -> None:
    patches, blocks = (plan(1_000_000, cores=2, layout=layout) for layout in LAYOUTS)
    assert patches.table_nbytes == 17_000_000
    assert blocks.table_nbytes == 17 * blocks.blocks + 4 * 4_000_000
    assert blocks.serving_memory_nbytes - patches.serving_memory_nbytes == blocks.table_nbytes - patches.table_nbytes
    assert 1.05 < blocks.epoch_seconds / patches.epoch_seconds < 1.25  # what is given up for the size
    assert blocks.verification_seconds == patches.verification_seconds
    patches, blocks = (plan(1_000_000, cores=2, codec="small", layout=layout) for layout in LAYOUTS)
    assert 1.5 < blocks.conversion_seconds / patches.conversion_seconds < 2.5  # compressed harder


def test_twice_the_cores_take_half_the_time() -> None:
    one, two = (plan(10_000, cores=cores) for cores in (1, 2))
    for name in ("conversion_seconds", "products_seconds", "verification_seconds", "epoch_seconds"):
        assert getattr(one, name) == pytest.approx(2 * getattr(two, name))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"patches": -1}, "number of patches of at least 0"),
        ({"patches": 10**30}, "no more than 1e"),
        ({"patches": 1, "patch_size": 0}, "patch size of at least 1"),
        ({"patches": 1, "batch_size": 0}, "batch size of at least 1"),
        ({"patches": 1, "cores": 0}, "number of cores of at least 1"),
        ({"patches": 1, "codec": "lz4"}, "codec that was measured"),
        ({"patches": 1, "encoding": "jpeg"}, "expected encoding"),
        ({"patches": 1, "polarization": "xx"}, "expected polarization"),
        ({"patches": 1, "layout": "tiles"}, "expected layout patches or blocks"),
        ({"patches": 1, "layout": "blocks", "stride": 0}, "a stride of at least 1"),
        ({"patches": 1, "layout": "blocks", "stride": 1}, "use --layout patches"),
    ],
)
def test_what_cannot_be_planned_is_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        plan(**settings)  # type: ignore[arg-type]


def test_the_table_has_a_line_for_each_number_size_and_codec() -> None:
    plans = plan_common_sizes(cores=2)
    assert len(plans) == len(COMMON_COUNTS) * len(COMMON_SIZES) * len(MEASURED_CODECS)
    head, first = table_to_text(plans).splitlines()[3:5]
    assert head.split()[:4] == ["patches", "px", "codec", "disk"]
    assert len(head) == len(first)


def test_the_command_prints_a_plan_a_table_or_json(command_line: CommandLine) -> None:
    text = command_line.run("plan", "--patches", 720953, "--polarization", "vh", "--codec", "small", "--cores", 2)
    assert (text.code, text.err) == (0, "")
    assert "720,953 vh patches of 256 x 256 px" in text.out
    assert "benchmarks.planning_constants" in text.out
    table = command_line.run("plan", "--codec", "none", "--json")
    assert {one["codec"] for one in json.loads(table.out)} == {"none"}
    assert "1,000,000" in command_line.run("plan").out
    one = json.loads(command_line.run("plan", "--patches", 5, "--json").out)
    assert (one["patches"], one["codec"]) == (5, "fast")
    assert command_line.run("plan", "--patches", -5).code == 1
    assert command_line.run("plan", "--codec", "zlib").code == 2
