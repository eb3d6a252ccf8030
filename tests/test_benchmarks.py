"""The benchmarks measure what they say: right data, a check that finds every fault, and arithmetic done by hand."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import torch
from click.testing import CliRunner

from benchmarks import conversion_tasks, fresh_process, limits, loading, measure, memory_limit, page_cache, process_tree
from benchmarks.conversion_summary import conversion_table, times_as_fast
from benchmarks.data import DataSettings, PatchSource, data_home, prepare_copies, prepare_data, prepare_head
from benchmarks.fingerprints import Fingerprint, check_epoch, fingerprint
from benchmarks.measure import Subject, check, measure_warm, run
from benchmarks.measurement import Order
from benchmarks.preparation import prepare_row
from benchmarks.report import main as report
from benchmarks.rivals import ROWS, choose_rows
from benchmarks.rivals.protocol import LoaderSettings
from benchmarks.summary import summarize
from benchmarks.table import markdown
from sar_h5.radiometry import preprocess_sar_complete
from sar_h5.symmetry import SYMMETRIES, apply_symmetry

SETTINGS = DataSettings(patches=40, shards=2, polarization="vv")
WITHOUT_RIVALS = (
    "ours",
    "ours-blocks",
    "shards",
    "maps",
    "maps-threads",
    "h5py",
    "geotiff",
    "limit-copy",
    "limit-decode",
)

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("work")


@pytest.fixture(scope="module")
def source(work: Path) -> PatchSource:
    return prepare_data(work, SETTINGS)


def subject_of(source: PatchSource, name: str) -> Subject:
    (row,) = choose_rows((name,))
    rival = row.load()
    home = source.directory.parent
    return Subject(rival, source, prepare_row(home, source, name, rival), LoaderSettings(batch_size=16))


def test_shards_hold_what_the_reference_pipeline_makes_of_the_product(source: PatchSource) -> None:
    assert [shard.count for shard in source.shards] == [20, 20]
    for shard in source.shards:
        stored = np.load(shard.path)
        assert stored.dtype == np.float32
        assert stored.shape == (20, 256, 256)
        with rasterio.open(shard.raster) as raster:
            values, _ = preprocess_sar_complete(raster.read(1), source.vmin, source.vmax)
        row, col = (128 * place for place in divmod(7, shard.columns))
        np.testing.assert_array_equal(stored[7], values[row : row + 256, col : col + 256])
    assert source.levels == len(np.unique(np.concatenate([np.load(shard.path) for shard in source.shards])))


def test_metadata_lie_beside_the_shards_as_the_readme_describes(source: PatchSource) -> None:
    metadata = np.load(source.directory / "metadata.npy", allow_pickle=True).item()
    bounds = np.load(source.directory / "global_bounds.npy", allow_pickle=True).item()
    assert metadata["file_index"] == [(shard.path.name, 20) for shard in source.shards]
    assert bounds == {"vmin": source.vmin, "vmax": source.vmax}


def test_data_are_made_once(work: Path, source: PatchSource) -> None:
    written = source.shards[0].path.stat().st_mtime_ns
    assert prepare_data(work, SETTINGS) == source
    assert source.shards[0].path.stat().st_mtime_ns == written


def test_copies_of_a_source_take_no_space(tmp_path: Path, source: PatchSource) -> None:
    copies = prepare_copies(source.directory.parent / "times-3", source, 3)
    assert copies.count == 3 * source.count
    assert {shard.path.stat().st_ino for shard in copies.shards} == {
        shard.path.stat().st_ino for shard in source.shards
    }
    assert conversion_tasks.convert_shards(copies, tmp_path) == 3 * source.count


@pytest.mark.parametrize("name", WITHOUT_RIVALS)
def test_each_loader_serves_every_patch_once_turned_at_random(source: PatchSource, name: str) -> None:
    assert check(subject_of(source, name), source.directory.parent) == []


def patches_of(count: int) -> np.ndarray:
    return np.random.default_rng(1).random((count, 8, 8), dtype=np.float32)


def test_a_fingerprint_is_the_same_for_all_symmetries_and_tells_them_apart() -> None:
    patch = patches_of(1)[0]
    marks = [fingerprint(apply_symmetry(patch, number)) for number in range(SYMMETRIES)]
    assert len({mark.digest for mark in marks}) == 1
    assert {mark.orientation for mark in marks} == set(range(SYMMETRIES))


def test_a_patch_with_equal_quadrants_has_one_fingerprint_too() -> None:
    patch = np.tile(patches_of(1)[0, :4, :4], (2, 2))
    assert len({fingerprint(apply_symmetry(patch, number)).digest for number in range(SYMMETRIES)}) == 1


def turned_batch(patches: np.ndarray) -> torch.Tensor:
    turned = [apply_symmetry(patch, number % SYMMETRIES) for number, patch in enumerate(patches)]
    return torch.from_numpy(np.stack(turned)[:, None])


def drop_one(batch: torch.Tensor) -> torch.Tensor:
    return batch[1:]


def repeat_one(batch: torch.Tensor) -> torch.Tensor:
    return torch.cat([batch, batch[:1]])


def replace_one_by_another(batch: torch.Tensor) -> torch.Tensor:
    return torch.cat([batch[1:], batch[1:2]])


def alter_the_last_bit(batch: torch.Tensor) -> torch.Tensor:
    bits = batch.clone().numpy().view(np.uint32)
    bits[5, 0, 3, 3] ^= 1
    return torch.from_numpy(bits.view(np.float32))


def mirror_one_row(batch: torch.Tensor) -> torch.Tensor:
    altered = batch.clone()
    altered[5, 0, 2] = batch[5, 0, 2].flip(0)
    return altered


@pytest.mark.parametrize(
    ("spoil", "missing", "extra"),
    [
        (drop_one, 1, 0),
        (repeat_one, 0, 1),
        (replace_one_by_another, 1, 1),
        (alter_the_last_bit, 1, 1),
        (mirror_one_row, 1, 1),
    ],
)
def test_the_check_finds_patches_that_are_lost_repeated_or_altered(
    spoil: Callable[[torch.Tensor], torch.Tensor], missing: int, extra: int
) -> None:
    patches = patches_of(16)
    expected = [fingerprint(patch) for patch in patches]
    assert check_epoch([turned_batch(patches)], expected, turned=True).problems == ()
    (problem,) = check_epoch([spoil(turned_batch(patches))], expected, turned=True).problems
    assert problem == f"{missing} patches of the source are missing, {extra} came that should not have"


def test_the_check_finds_a_loader_without_symmetries() -> None:
    patches = patches_of(64)
    expected = [fingerprint(patch) for patch in patches]
    straight = torch.from_numpy(patches[:, None])
    assert check_epoch([straight], expected, turned=True).problems == (
        "64 of 64 patches are not turned; an eighth should be",
    )
    assert check_epoch([straight], expected, turned=False).problems == ()
    assert check_epoch([turned_batch(patches)], expected, turned=False).problems == (
        "56 of 64 patches are turned; none should be",
    )


@pytest.mark.parametrize(
    ("batch", "found"),
    [
        (torch.zeros(2, 1, 8, 8, dtype=torch.float64), "torch.float64 (2, 1, 8, 8)"),
        (torch.zeros(2, 8, 8), "torch.float32 (2, 8, 8)"),
        (torch.zeros(2, 1, 8, 8).transpose(2, 3), "(64, 64, 1, 8)"),
    ],
)
def test_the_check_refuses_batches_of_another_form(batch: torch.Tensor, found: str) -> None:
    (problem,) = check_epoch([batch], [Fingerprint(b"", 0)], turned=True).problems
    assert problem.startswith("expected contiguous float32 (n, 1, P, P); found ")
    assert found in problem


def test_a_loader_that_repeats_its_order_is_found(source: PatchSource) -> None:
    class Fixed:
        def __init__(self, loader: Any) -> None:
            self._batches = [batch.clone() for batch in loader]

        def __iter__(self) -> Iterator[torch.Tensor]:
            return iter(self._batches)

    subject = subject_of(source, "maps")
    fixed = replace(subject.rival, make_loader=lambda *where: Fixed(subject.rival.make_loader(*where)))
    assert check(replace(subject, rival=fixed), source.directory.parent) == ["two epochs came in the same order"]


@linux
@pytest.mark.parametrize("name", ["limit-copy", "limit-decode", "maps"])
def test_a_warm_measurement_serves_whole_epochs_from_the_page_cache(source: PatchSource, name: str) -> None:
    subject = subject_of(source, name)
    speed = measure_warm(subject, subject, Order("", "", name, "warm", seconds=0.05))
    assert speed.patches % source.count == 0
    assert speed.patches > 0
    assert speed.seconds >= 0.05
    assert speed.cached_before == 1.0
    assert speed.peak_own_nbytes > 1 << 20


@linux
def test_a_cold_measurement_takes_start_up_off(source: PatchSource, monkeypatch: pytest.MonkeyPatch) -> None:
    dropped: list[Path] = []
    monkeypatch.setattr(page_cache, "drop", lambda files: dropped.extend(files) or "by a test")
    head = prepare_head(source.directory.parent / "head", source, 8)
    subject, small = (subject_of(one, "limit-copy") for one in (source, head))
    assert head.count == 8
    times = iter([measure.Clock(8, 9.0, 9.0), measure.Clock(8, 0.25, 0.125), measure.Clock(40, 1.25, 0.625)])
    monkeypatch.setattr(measure, "serve", lambda _: next(times))
    speed = measure.measure_cold(subject, small, Order("", "", "limit-copy", "cold"))
    assert (speed.patches, speed.seconds, speed.cpu_seconds, speed.start_s) == (32, 1.0, 0.5, 0.25)
    assert speed.patches_per_s == 32
    assert speed.note == "by a test"
    assert dropped == [shard.path for shard in source.shards]
    times = iter([measure.Clock(8, 9.0, 9.0), measure.Clock(8, 0.25, 0.125), measure.Clock(40, 0.2, 0.1)])
    with pytest.raises(ValueError, match="too few patches to tell them apart"):
        measure.measure_cold(subject, small, Order("", "", "limit-copy", "cold"))


def test_limit_rows_give_the_values_of_the_source_in_one_buffer(source: PatchSource) -> None:
    subject = subject_of(source, "limit-decode")
    batch = next(iter(subject.make_loader()))
    assert isinstance(batch, limits.Codes)
    assert batch.codes.dtype == np.uint16
    assert batch.codes.shape == (16, 256, 256)
    wanted = {fingerprint(patch).digest for patch in source.patches()}
    assert {fingerprint(patch).digest for patch in limits.look_up(batch)[:, 0].numpy()} <= wanted


@linux
def test_memory_and_cpu_time_count_children() -> None:
    code = (
        "import time; kept = bytearray(80_000_000); t = time.process_time()\nwhile time.process_time() < t + 0.2: pass"
    )
    before, cpu = process_tree.memory(), process_tree.cpu_seconds()
    with process_tree.MemoryWatch(0.01) as watch:
        subprocess.run([sys.executable, "-c", code], check=True)
    assert watch.peak.own_nbytes >= before.own_nbytes + 70_000_000
    assert process_tree.cpu_seconds() - cpu >= 0.2


@linux
def test_files_that_have_been_read_are_in_the_page_cache(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(3 << 20))
    page_cache.read_all([path])
    assert page_cache.cached_fraction([path]) == 1.0
    assert page_cache.cached_fraction([]) == 0.0


def test_a_machine_without_memory_groups_is_told_with_the_reason(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text("proc /proc proc rw 0 0\n")
    with (
        pytest.raises(memory_limit.NoMemoryLimitError, match="found no control groups"),
        memory_limit.memory_group(mounts),
    ):
        pass
    (tmp_path / "cgroup.controllers").write_text("cpu io\n")
    mounts.write_text(f"cgroup2 {tmp_path} cgroup2 rw 0 0\ncgroup {tmp_path} cgroup rw,relatime,cpuacct 0 0\n")
    with pytest.raises(memory_limit.NoMemoryLimitError, match="without the memory controller"):
        memory_limit.find_hierarchy(mounts)


@pytest.mark.parametrize(
    ("mount", "files", "limits"),
    [
        ("cgroup2 {} cgroup2 rw 0 0", ("memory.max", "memory.swap.max"), ("7000000", "0")),
        (
            "cgroup {} cgroup rw,relatime,memory 0 0",
            ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes"),
            ("7000000", "7000000"),
        ),
    ],
)
def test_a_limit_goes_where_each_version_of_control_groups_wants_it(
    mount: str, files: tuple[str, str], limits: tuple[str, str], tmp_path: Path
) -> None:
    root, mounts = tmp_path / "groups", tmp_path / "mounts"
    root.mkdir()
    mounts.write_text(mount.format(root) + "\n")
    if "cgroup2" in mount:
        for name in ("cgroup.controllers", "cgroup.subtree_control"):
            (root / name).write_text("cpu memory\n")
    with memory_limit.memory_group(mounts) as group:
        for name in files:  # as the kernel does in a new group
            (group / name).touch()
        memory_limit.join(group)
        memory_limit.limit(group, 7_000_000)
        assert (group / "cgroup.procs").read_text() == str(os.getpid())
        assert tuple((group / name).read_text() for name in files) == limits
        for path in group.iterdir():  # which go with a real group
            path.unlink()
    assert not list(root.glob("sar_h5*"))


def speed_entry(row: str, workers: int, number: int, patches: int, **others: object) -> dict[str, object]:
    return {
        "row": row,
        "state": "warm",
        "workers": workers,
        "round": number,
        "patches": patches,
        "seconds": 2.0,
        "cpu_seconds": 3.0,
        "start_s": 0.0,
        "peak_total_nbytes": 9,
        "peak_own_nbytes": 300_000_000,
        "cached_before": 1.0,
        "note": "",
    } | others


RESULTS = {
    "machine": {"cpu": "a processor", "cores": 2, "memory": "1 kB", "kernel": "Linux", "python": "3.11"},
    "versions": {"numpy": "2.0", "ffcv": None},
    "settings": {"batch_size": 64, "rounds": 3},
    "data": {"patches": 4096, "polarization": "vh", "levels": 116, "float32_nbytes": 10**9},
    "rows": [
        {"name": "ours", "title": "sar_h5", "kind": "ours", "parallel": "processes", "nbytes": 250_000_000},
        {"name": "maps", "title": "maps", "kind": "rival", "parallel": "own", "nbytes": 10**9},
        {"name": "ffcv", "title": "FFCV", "kind": "rival", "parallel": "threads", "reason": "No module named 'ffcv'"},
    ],
    "skipped": [{"state": "limited", "reason": "no cgroup v2"}],
    "measurements": [
        # Patches per second: ours 1000, 3000, 2000 at 0 workers, 500 at 2; maps 100, 400, 1000 at 2, 50 at 0.
        *(speed_entry("ours", 0, number, patches) for number, patches in enumerate((2000, 6000, 4000))),
        *(speed_entry("ours", 2, number, 1000) for number in range(3)),
        *(speed_entry("maps", 2, number, patches) for number, patches in enumerate((200, 800, 2000))),
        *(speed_entry("maps", 0, number, 100) for number in range(3)),
    ],
}


def test_ratios_are_medians_within_rounds_of_the_best_settings() -> None:
    ours, maps, ffcv = summarize(RESULTS, "warm")
    assert ours.best is ours.cells[0]
    assert (ours.best.median, ours.best.least, ours.best.most) == (2000, 1000, 3000)
    assert ours.ratio == 1.0
    assert maps.best is maps.cells[2]
    assert maps.best.median == 400
    assert maps.ratio == 7.5  # of 10, 7.5 and 2; the ratio of the medians would be 5
    assert ours.best.cpu_us_per_patch == pytest.approx(750)
    assert (ffcv.best, ffcv.ratio, ffcv.reason) == (None, None, "No module named 'ffcv'")


def test_the_table_names_what_was_not_measured() -> None:
    text = markdown(RESULTS)
    assert "| sar_h5 | 2,000 (1,000 to 3,000) | 500 (500 to 500) | 1.00 | 750 | 300 | 250 |" in text
    assert "| maps | 50 (50 to 50) | 400 (100 to 1,000) | 7.50 | 3750 | 300 | 1000 |" in text
    assert "Not measured: FFCV: No module named 'ffcv'." in text
    assert "Not measured: limited: no cgroup v2." in text
    assert "116 distinct values" in text


def test_the_report_writes_table_and_picture(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    results, table, picture = tmp_path / "results.json", tmp_path / "table.md", tmp_path / "loading.png"
    results.write_text(json.dumps(RESULTS))
    outcome = CliRunner().invoke(report, [str(results), "--table", str(table), "--picture", str(picture)])
    assert outcome.exit_code == 0, outcome.output
    assert table.read_text() == markdown(RESULTS)
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_ratios_of_conversion_are_medians_within_rounds() -> None:
    seconds = {"ours-shards": (1.0, 2.0, 4.0), "loop-shards": (3.0, 8.0, 8.0)}
    results = {
        "machine": RESULTS["machine"],
        "settings": {"rounds": 3},
        "data": {
            "patches": 100,
            "polarization": "vh",
            "levels": 116,
            "source_nbytes": {"shards": 200_000_000},
            "memory_nbytes": 50_000_000,
        },
        "titles": {name: name for name in seconds},
        "kinds": dict.fromkeys(seconds, "shards"),
        "measurements": [
            {"work": name, "state": "warm", "round": number, "seconds": one, "patches": 100}
            for name, all_seconds in seconds.items()
            for number, one in enumerate(all_seconds)
        ],
        "memory": [{"work": "ours-shards", "times": 16, "peak_above_imports_nbytes": 42_000_000}],
    }
    assert times_as_fast(results, "ours-shards", "loop-shards", "warm") == 3.0
    assert times_as_fast(results, "ours-shards", "loop-shards", "cold") is None
    text = conversion_table(results)
    assert "| ours-shards | warm | 100 (50 to 200) | 50 | 1.00 |" in text
    assert "| loop-shards | warm | 25 (25 to 67) | 12 | 3.00 |" in text
    assert "| ours-shards | 16 | 42 |" in text


@pytest.mark.parametrize("name", ["ours-products", "loop-products", "loop-shards", "read-shards"])
def test_every_conversion_writes_the_patches_of_the_source(tmp_path: Path, source: PatchSource, name: str) -> None:
    work = conversion_tasks.WORKS[name]
    patches = work.run(source, tmp_path)
    assert source.count - 4 <= patches <= source.count
    if work.source == "shards":
        assert patches == source.count
        assert conversion_tasks.source_nbytes(source, "shards") == 40 * 256 * 256 * 4


def test_unknown_rows_are_refused_with_the_known_ones() -> None:
    with pytest.raises(
        ValueError,
        match="unknown rows nothing; known: ours, ours-background, ours-blocks, ours-blocks-background, shards",
    ):
        choose_rows(("ours", "nothing"))


def test_names_of_rows_are_distinct() -> None:
    assert len({row.name for row in ROWS}) == len(ROWS)


def test_a_process_that_fails_gives_the_last_line_as_the_reason() -> None:
    with pytest.raises(fresh_process.FailedError, match=r"No module named benchmarks\.nothing"):
        fresh_process.run_module("benchmarks.nothing", [])


def test_an_order_to_prepare_makes_the_files_and_tells_their_size(source: PatchSource) -> None:
    home = source.directory.parent
    prepare_head(home / "head", source, 8)
    found = run(Order(str(home), str(home / "head"), "h5py", "prepare"))
    assert found["nbytes"] == (home / "formats" / "h5py" / "patches.h5").stat().st_size
    assert (home / "head" / "formats" / "h5py.complete").is_file()


@linux
def test_a_run_reports_speeds_and_rows_that_cannot_run(
    tmp_path: Path, work: Path, source: PatchSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    def carry_out(order: Order) -> dict[str, Any]:
        if order.row == "lmdb":
            raise fresh_process.FailedError("ModuleNotFoundError: No module named 'lmdb'")
        return run(order)

    monkeypatch.setattr(loading, "carry_out", carry_out)
    out = tmp_path / "results.json"
    options = "--patches 40 --shards 2 --polarization vv --rounds 2 --only lmdb,maps --workers 0 --states warm"
    arguments = [*options.split(), "--seconds", "0.01", "--work", str(work), "--out", str(out)]
    outcome = CliRunner().invoke(loading.main, arguments)
    assert outcome.exit_code == 0, outcome.output
    assert data_home(work, SETTINGS) == source.directory.parent
    found = json.loads(out.read_text())
    maps, lmdb = found["rows"]
    assert maps["checks"] == {"0": []}
    assert maps["nbytes"] >= source.nbytes
    assert lmdb["reason"] == "ModuleNotFoundError: No module named 'lmdb'"
    assert [(entry["row"], entry["round"]) for entry in found["measurements"]] == [("maps", 0), ("maps", 1)]
    assert all(entry["patches"] % 40 == 0 for entry in found["measurements"])
