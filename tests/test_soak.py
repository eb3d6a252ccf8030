"""The soak: what grows is named, what is flat or only page cache is not, and a short run trains and leaves nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.soak import describe
from benchmarks.soak_samples import Holding, Sample, growing, rates, read_holding, summarize
from tests.patch_files import make_codes, make_lut, write_file

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")

FLAT = Holding(900, 800, 700, 100_000_000, 12, 4, 3)


def samples(**growth: int) -> list[Sample]:
    """Forty samples of a process, of which something grows a little each time."""
    return [
        Sample(10.0 * at, 500 * at, {"main": replace(FLAT, **{name: getattr(FLAT, name) + at * by for name, by in growth.items()})})
        for at in range(40)
    ]  # fmt: skip


@pytest.mark.parametrize(("name", "by"), [("own_nbytes", 400_000), ("descriptors", 1), ("threads", 1), ("segments", 1)])
def test_what_grows_is_named(name: str, by: int) -> None:
    (reason,) = growing(summarize(samples(**{name: by})))
    assert reason.startswith(f"main: {name} from ")
    facts = summarize(samples(**{name: by}))["main"][name]
    assert facts["slope_per_hour"] == pytest.approx(by * 360)
    assert facts["last_quarter"] - facts["first_quarter"] == 27 * by


def test_what_is_flat_or_page_cache_is_not() -> None:
    assert growing(summarize(samples())) == []
    assert growing(summarize(samples(own_nbytes=200_000))) == []  # 5 MB of 100
    assert growing(summarize(samples(rss_nbytes=10**8, pss_nbytes=10**8, uss_nbytes=10**8))) == []
    early = samples()
    early[0] = replace(early[0], holdings={"main": replace(FLAT, descriptors=1)})  # the first tenth does not count
    assert growing(summarize(early)) == []
    assert rates(samples()) == [50.0] * 39


def test_a_process_is_seen_as_it_is() -> None:
    before = read_holding(os.getpid())
    with Path(__file__).open():
        assert read_holding(os.getpid()).descriptors == before.descriptors + 1
    assert before.own_nbytes <= before.pss_nbytes <= before.rss_nbytes


def test_a_short_run_trains_and_leaves_nothing(tmp_path: Path) -> None:
    path = write_file(tmp_path / "a.h5", make_codes((40, 32, 32), 100, "u1"), make_lut(100))
    # In a process of its own, since all its children are looked at.
    options = ["--minutes", "0.04", "--workers", "1", "--interval", "0.3", "--json", tmp_path / "soak.json"]
    said = subprocess.run(
        [sys.executable, "-m", "benchmarks.soak", path, *options], capture_output=True, text=True, check=False
    )
    results = json.loads((tmp_path / "soak.json").read_text())
    assert results["patches"] >= max(1, 40 * results["epochs"])
    assert results["left"] == []
    assert list(results["processes"]) == ["main", "child 0"]
    assert "nothing left" in said.stdout
    assert said.returncode == (1 if results["growing"] else 0)  # two seconds are too short to be flat
    assert describe(results) == said.stdout.rstrip("\n")
