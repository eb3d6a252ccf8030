"""The memory model: what real conversions take at their peak is less than it says, and not by far."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sar_h5.errors import InsufficientMemoryError
from sar_h5.forecasts import memory_need
from sar_h5.forecasts.memory_need import check_memory, rasters_memory, shards_memory
from sar_h5.forecasts.planning import IMPORTS_NBYTES
from sar_h5.schema import LAYOUTS
from sar_h5.settings import ConvertSettings
from sar_h5.sources.discovery import discover

MEASURE = """
import sys
from pathlib import Path
from sar_h5 import convert
convert(sys.argv[1], sys.argv[2], vmin=5.0, vmax=20.0, jobs=2, min_valid=0, layout=sys.argv[3])
print(next(line.split()[1] for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells the peak of a process")
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", ["shards", "products"])
def test_a_conversion_stays_within_what_the_model_says(kind: str, layout: str, products: Path, tmp_path: Path) -> None:
    source = products
    if kind == "shards":
        source = tmp_path / "in"
        source.mkdir()
        levels = np.linspace(0, 1, 200, dtype=np.float32)
        shard = levels[np.random.default_rng(0).integers(0, 200, (400, 256, 256), dtype=np.uint8)]
        np.save(source / "p-vv.npy", shard)
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, source, tmp_path / "h5", layout], capture_output=True, text=True, check=True
    )
    peak = int(done.stdout) * 1024
    inventory, settings = discover([source]), ConvertSettings(jobs=2, layout=layout)
    if kind == "shards":
        expected = shards_memory(inventory.shards["vv"], settings)
    else:
        expected = rasters_memory(inventory.rasters["vv"], settings)
    assert 0.4 * expected < peak < 1.1 * expected


def test_nothing_to_convert_takes_next_to_nothing() -> None:
    settings = ConvertSettings(jobs=1)
    assert IMPORTS_NBYTES < shards_memory([], settings) < IMPORTS_NBYTES + 100_000_000
    assert rasters_memory([], settings) < IMPORTS_NBYTES + 200_000_000


def test_only_a_limit_below_the_need_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    check_memory(0)
    monkeypatch.setattr(memory_need, "allowed_memory_nbytes", lambda: 5_000_000_000)
    check_memory(5_000_000_000)
    with pytest.raises(InsufficientMemoryError, match=r"about 6\.1 GB of memory, this process may have 5 GB"):
        check_memory(6_100_000_000)
    monkeypatch.setattr(memory_need, "allowed_memory_nbytes", lambda: None)
    check_memory(10**15)
