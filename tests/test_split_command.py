"""``sar-h5 split`` and what ``info`` says of it; ``convert --bounds-from``."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import pytest

from sar_h5 import BlockSplit, split_overlap
from tests.command_line import CommandLine
from tests.split_files import convert_rasters, copy_files, paint_splits


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return convert_rasters(tmp_path_factory.mktemp("command"))


@pytest.fixture
def files(converted: Path, tmp_path: Path) -> list[Path]:
    return copy_files(converted, tmp_path)


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(monkeypatch, capsys)


def test_split_prints_counts_and_overlap_and_warns_on_standard_error(command: CommandLine, files: list[Path]) -> None:
    outcome = command.run("split", *files, "--fractions", 0.6, 0.2, 0.2)
    assert outcome.code == 0
    assert outcome.out.count("  overlap   0 pixels in two splits, 7 pairs of scenes") == 2
    assert "  3 scenes\n" in outcome.out
    assert outcome.out.count("  1 scene\n") == 4
    warnings = outcome.err.splitlines()
    assert len(warnings) == 4
    assert all(line.startswith("sar-h5: warning: ") for line in warnings)
    assert set(paint_splits(files[0]).values()) == {0}


def test_options_reach_the_split_and_json_is_for_programs(command: CommandLine, files: list[Path]) -> None:
    arguments = ("--by", "block", "--fractions", 0.5, 0.5, 0, "--seed", 7, "--block", 40, "--guard", 6, "--name", "b-1")
    outcome = command.run("split", files[0], *arguments, "--json")
    data = json.loads(outcome.out)
    assert split_overlap(files[0], "b-1").method == BlockSplit((0.5, 0.5, 0.0), 7, 40, 6)
    assert data["files"] == [split_overlap(files[0], "b-1").to_dict()]
    assert data["files"][0]["patches"]["test"] == 0
    assert data["groups"]["of"] == "blocks"
    assert len(data["warnings"]) == len(outcome.err.splitlines()) == 1
    before = files[0].read_bytes()
    assert "pass --overwrite" in command.refuse("split", files[0], *arguments, untouched=files[0].parent)
    assert command.run("split", files[0], *arguments, "--overwrite").code == 0
    assert files[0].read_bytes() != before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--fractions", "0.8", "0.1", "0.2"], "expected fractions that sum to 1"),
        (["--fractions", "nan", "0.5", "0.5"], "expected fractions from 0 to 1"),
        (["--by", "patch"], "patches overlap"),
        (["--guard", "5"], "--block and --guard are for --by block; found --by scene"),
        (["--by", "date", "--force"], "--force is for --by patch"),
        (["--name", "a/b"], "expected a name of letters"),
        (["--by", "block", "--block", "3"], "expected blocks of at least 20 px"),
        (["--seed", "-1"], "expected a seed"),
    ],
)
def test_refusals_are_one_message_and_leave_no_trace(
    command: CommandLine, files: list[Path], arguments: list[str], message: str
) -> None:
    assert message in command.refuse("split", *files, *arguments, untouched=files[0].parent)


def test_forced_patches_leak_and_are_said_to(command: CommandLine, files: list[Path]) -> None:
    outcome = command.run("split", files[0], "--by", "patch", "--force")
    assert outcome.code == 0
    assert "forced splits leak: " in outcome.err
    assert f"{split_overlap(files[0]).pixels:,} pixels in two splits" in outcome.out


def test_info_shows_each_split_with_counts_origin_overlap_and_bounds(command: CommandLine, files: list[Path]) -> None:
    command.run("split", files[0], "--fractions", 0.6, 0.2, 0.2)
    command.run("split", files[0], "--by", "block", "--guard", 0, "--name", "blocks")
    lines = command.run("info", files[0]).out.splitlines()
    place = lines.index("  splits     blocks, default")
    counts = ", ".join(f"{count:,} {name}" for name, count in split_overlap(files[0], "blocks").patches.items())
    assert lines[place + 1].startswith(f"    blocks: {counts}; by block, fractions 0.8 0.1 0.1, seed 0, blocks ")
    assert lines[place + 2] == "      overlap 0 pixels in two splits"
    assert lines[place + 3] == "      bounds  warning: computed on 5 scenes not wholly in train"
    assert lines[place + 5].startswith("      overlap 0 pixels in two splits, 7 pairs of scenes")
    data = json.loads(command.run("info", files[0], "--json").out)
    assert [split["name"] for split in data["splits"]] == ["blocks", "default"]
    assert {name: len(scenes) for name, scenes in data["bounds_outside_train"].items()} == {"blocks": 5, "default": 2}


def test_bounds_from_the_scenes_of_train_leave_nothing_to_warn_of(
    command: CommandLine, converted: Path, files: list[Path], tmp_path: Path
) -> None:
    split = ("--fractions", 0.6, 0.2, 0.2)
    command.run("split", files[0], *split)
    patches = ("--patch-size", 16, "--stride", 8)
    out = tmp_path / "again"
    outcome = command.run("convert", converted.parent / "rasters", "--out", out, *patches, "--bounds-from", files[0])
    assert outcome.code == 0
    assert "of 3 scenes (bounds_scenes)" in outcome.out
    assert "bounds were computed" not in command.run("split", out / "vv.h5", *split).err
    with h5py.File(out / "vv.h5") as f:
        assert len(f.attrs["bounds_scenes"]) == 3
    message = command.refuse(
        "convert", converted.parent / "rasters", "--out", tmp_path / "x", *patches, "--bounds-from", "nobody",
        untouched=tmp_path,
    )  # fmt: skip
    assert "--bounds-from nobody: expected a scene, a text file" in message
