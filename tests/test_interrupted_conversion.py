"""Conversions killed, cut from power and out of disk at random moments, gone on with to the result of one run.

Longer: ``python -m tests.interrupted_conversion SOURCE SCRATCH write 200 1``.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import make_dn, make_shards
from tests.raster_files import write_raster

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks, signals and /proc")


def break_off(source: Path, scratch: Path, fault: str, count: int, options: dict[str, Any]) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.interrupted_conversion", source, scratch, fault, count, 1]
    outcome = subprocess.run(
        [*map(str, command), json.dumps(options)], capture_output=True, text=True, timeout=120, check=False
    )
    assert outcome.returncode == 0, outcome.stderr
    found: dict[str, Any] = json.loads(outcome.stdout)
    return found


@pytest.mark.parametrize(
    ("kind", "fault"), [("shards", "write"), ("shards", "full"), ("products", "kill"), ("products", "power")]
)
def test_any_number_of_faults_leads_to_the_result_of_one_run(tmp_path: Path, kind: str, fault: str) -> None:
    source = tmp_path / "in"
    source.mkdir()
    options: dict[str, Any] = {}
    if kind == "shards":
        make_shards(source, counts=(9, 30, 1, 20), size=64)
    else:
        options = {"patch_size": 64, "stride": 64}
        for number in range(2):
            for polarization in ("vv", "vh"):
                write_raster(source / f"s{number}_{polarization}.tif", make_dn(number, (250, 400)))
    found = break_off(source, tmp_path / "scratch", fault, 6, options)
    assert found["wrong"] == []
    assert found["faults"] >= 6
    # The journal holds 100 bytes for each patch; patches are tiny here.
    assert found["most_nbytes"] < 1.3 * found["result_nbytes"] + 200_000
