"""The comparison of layouts and codecs: sizes and entropies that can be worked out, and files that hold the same."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import hdf5plugin  # noqa: F401 - h5py reads Blosc chunks with it
import numpy as np
import pytest
from click.testing import CliRunner

from benchmarks.layout_files import Choice, Scenes, find_bounds, make_file
from benchmarks.layout_measures import chunk_bytes_per_pixel, code_entropy, ratio_without_edges
from benchmarks.layouts import choices, main
from sar_h5 import SARH5Dataset
from sar_h5.sources.simulator import SimulatedScene, simulate_product


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Scenes:
    products = tmp_path_factory.mktemp("products")
    simulate_product(products, SimulatedScene(512, 640, border_px=0, polarizations=("VV",)))
    return Scenes("VV", products, "vv")


def test_every_way_to_write_holds_the_same_patches(scenes: Scenes, tmp_path: Path) -> None:
    bounds = find_bounds(scenes)
    made = {
        layout: make_file(scenes, bounds, Choice(layout), tmp_path / layout)
        for layout in ("naive", "patches", "blocks")
    }
    with h5py.File(made["naive"].path) as file:
        naive = file["patches"][:]
    assert naive.shape == (3 * 4, 256, 256)
    for layout in ("patches", "blocks"):
        dataset = SARH5Dataset(made[layout].path)
        np.testing.assert_array_equal(np.stack([np.asarray(dataset[number])[0] for number in range(12)]), naive)
        dataset.close()


def test_stored_bytes_are_those_of_the_chunks(scenes: Scenes, tmp_path: Path) -> None:
    made = make_file(scenes, find_bounds(scenes), Choice("blocks", "lz4", 0), tmp_path / "blocks")
    stored = chunk_bytes_per_pixel(made.path, "blocks")
    assert stored == pytest.approx(2 + 16 / 128**2)  # codes of two bytes and the header of their frame
    assert ratio_without_edges(2.0, "blocks") == 8
    assert ratio_without_edges(2.0, "patches") == ratio_without_edges(2.0, "naive") == 2


def test_entropies_are_those_of_codes_that_are_known(tmp_path: Path) -> None:
    path = tmp_path / "x.h5"
    halves = np.zeros((2, 64, 64), np.uint8)
    halves[:, 32:] = 3
    with h5py.File(path, "w") as file:
        file["blocks"] = np.random.default_rng(0).integers(0, 16, (64, 64, 64), dtype=np.uint8)
    noise = code_entropy(path)
    assert noise["levels"] == 16
    assert noise["bits"] == pytest.approx(4, abs=0.01)
    assert noise["bits_in_context"] == pytest.approx(4, abs=0.02)
    with h5py.File(path, "w") as file:
        file["blocks"] = halves
    known = code_entropy(path)
    assert (known["levels"], known["bits"]) == (2, 1)
    assert known["bits_in_context"] < 0.2


def test_only_blocks_are_compressed_by_what_takes_longest() -> None:
    every = list(choices(presets_only=False))
    assert len(set(every)) == len(every)
    assert {one.layout for one in every if one.clevel in (8, 9) and one.codec == "zstd"} == {"blocks"}
    assert [one.layout for one in choices(presets_only=True)] == ["naive", "patches", "patches", "blocks", "blocks"]


def test_a_run_writes_results_and_a_table(tmp_path: Path) -> None:
    out, table = tmp_path / "layouts.json", tmp_path / "layouts.md"
    options = "--side 512 --scenes 1 --rounds 1 --presets-only"
    arguments = ["--work", str(tmp_path), "--out", str(out), "--table", str(table), *options.split()]
    outcome = CliRunner().invoke(main, arguments)
    assert outcome.exit_code == 0, outcome.output
    sets = json.loads(out.read_text())["sets"]
    assert [one["title"] for one in sets][:2] == ["VV simulated", "VV simulated, 14.77 to 24.54 dB"]
    for found in sets:
        naive, patches, _, blocks, small = found["files"]
        assert naive["nbytes"] > patches["nbytes"] > blocks["nbytes"] >= small["nbytes"]
        assert all(file["read_us"] > 0 for file in found["files"])
    assert f"| blocks | small | {sets[0]['files'][-1]['codec']} |" in table.read_text()
