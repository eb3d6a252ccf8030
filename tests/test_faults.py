"""Faults in small numbers; ``python -m tests.faults`` tries many more."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from sar_h5 import convert
from tests.fault_child import in_child, refusal, run_command
from tests.fault_cuts import boundaries, cut
from tests.fault_disks import fill, small_disk
from tests.fault_flips import KINDS, flip
from tests.fault_workers import kill_workers
from tests.faults import describe
from tests.patch_files import chunk_place, make_codes, make_lut, write_file

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks, signals and mounts")


def test_changed_bytes_are_found_or_harmless_and_never_served(products: Path, tmp_path: Path) -> None:
    found = flip(products, tmp_path, 24, seed=3)
    assert found["wrong"] == []
    assert sum(found["outcomes"].values()) == 24
    assert set(found["outcomes"]) <= {"found", "harmless"}
    assert set(found["by_kind"]) == set(KINDS)
    assert set(found["served"]) == {"exact", "refused"}


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="mounting a small disk takes root's rights")
def test_commands_on_a_full_disk_say_so_and_leave_nothing(products: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    with small_disk(tmp_path / "disk") as disk:
        if disk is None:
            pytest.skip("no right to mount a file system")
        found = fill(disk, products, home, 3, only=("convert --resume", "split", "repair"))
        assert os.path.ismount(disk)
    assert found["wrong"] == []
    assert all(counts["refused"] for counts in found["outcomes"].values())
    assert not os.path.ismount(tmp_path / "disk")


def test_boundaries_are_those_of_the_files_parts(tmp_path: Path) -> None:
    path = write_file(tmp_path / "a.h5", make_codes((5, 16, 16), 100, "u1"), make_lut(100))
    places = boundaries(path)
    start, size = chunk_place(path, 3)
    assert {0, 1, 8, 48, start - 1, start, start + 1, start + size, path.stat().st_size - 1} <= set(places)
    assert max(places) < path.stat().st_size
    assert len(places) > 100


def test_cuts_are_refused_by_every_reader(products: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cuts").mkdir()
    convert(products, tmp_path, patch_size=64, stride=128, polarization="vv")
    chosen = boundaries(tmp_path / "vv.h5")[5::60]
    monkeypatch.setattr("tests.fault_cuts.boundaries", lambda _: chosen)
    found = cut(tmp_path / "vv.h5", tmp_path / "cuts")
    assert found["wrong"] == []
    assert found["tried"] == len(chosen) >= 3
    assert set(found["outcomes"].values()) == {len(chosen)}


def test_killed_workers_are_errors_within_seconds(products: Path, tmp_path: Path) -> None:
    convert(products, tmp_path, patch_size=64, stride=128, polarization="vv")
    found = kill_workers(tmp_path / "vv.h5", methods=("fork",), moments=("at the start", 3))
    assert found["wrong"] == []
    assert sum(found["outcomes"].values()) == found["tried"] == 4
    assert found["longest_s"] < 30


def test_wrong_outcomes_are_noticed(tmp_path: Path) -> None:
    assert in_child(lambda: "x").out == '"x"'
    assert in_child(lambda: 1 / 0).code == 70
    assert in_child(lambda: [None for _ in iter(int, 1)], seconds=1).code == -14
    missing = run_command("info", tmp_path / "none.h5")
    assert refusal(missing) is None
    assert refusal(in_child(lambda: 1 / 0)) is not None
    table = describe({"cut": {"tried": 3, "minutes": 0.1, "outcomes": {"info": 2}, "wrong": ["cut at 7"]}})
    assert "cut" in table
    assert "WRONG cut at 7" in table
