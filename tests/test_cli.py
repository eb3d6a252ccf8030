"""The command line: help that teaches, exit codes, JSON for programs, progress on terminals only."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import h5py
import pytest

from sar_h5 import convert
from sar_h5.cli import COMMANDS, main
from sar_h5.progress import Progress
from sar_h5.version import VERSION
from tests.command_line import CommandLine, start
from tests.conftest import make_dn
from tests.raster_files import write_raster


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(monkeypatch, capsys)


@pytest.fixture(scope="module")
def file(products: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("h5")
    convert(products, out, patch_size=128)
    return out / "vv.h5"


def run(*arguments: object, **options: object) -> tuple[int, str, str]:
    process = start(*arguments, **options)
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


# Help and usage


def test_help_of_the_group_names_every_command_and_the_exit_codes(command: CommandLine) -> None:
    for option in ("--help", "-h"):
        outcome = command.run(option)
        assert (outcome.code, outcome.err) == (0, "")
        assert all(re.search(rf"^  {name} ", outcome.out, re.MULTILINE) for name in COMMANDS)
        assert "Exit codes: 0 done; 1 done with problems" in outcome.out
        assert "sar-h5 convert SOURCE... --out DIR" in outcome.out


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_a_command_says_what_it_does_and_what_every_option_means(command: CommandLine, name: str) -> None:
    outcome = command.run(name, "--help")
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.startswith(f"Usage: sar-h5 {name} ")
    options = outcome.out[outcome.out.index("Options:") :]
    for entry in re.split(r"\n(?=  -)", options)[1:]:
        assert re.search(r"\s\w.*\w{3}", entry.split("  ", 2)[-1]), entry


def test_help_of_convert_teaches_by_examples_and_shows_defaults(command: CommandLine) -> None:
    text = command.run("convert", "--help").out
    assert "sar-h5 convert products/ --out h5/" in text
    assert "--vmin 14.77 --vmax 24.54" in text
    flat = " ".join(text.split())
    for piece in ("[default: 256; shards keep theirs]", "[default: 128]", "[default: fast]", "[auto|dn|linear|db]"):
        assert piece in flat


def test_the_version_is_printed(command: CommandLine) -> None:
    assert command.run("--version").out == f"sar-h5, version {VERSION}\n"


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ((), "Usage: sar-h5 [OPTIONS] COMMAND"),
        (("nonsense",), "No such command 'nonsense'"),
        (("convert",), "Missing argument 'SOURCE...'"),
        (("convert", "in"), "Missing option '--out'"),
        (("convert", "in", "--out", "out", "--frobnicate"), "No such option"),
        (("convert", "in", "--out", "out", "--stride", "many"), "'many' is not a valid integer"),
        (("convert", "in", "--out", "out", "--percentiles", "5"), "requires 2 arguments"),
        (("convert", "in", "--out", "out", "--encoding", "jpeg"), "'jpeg' is not one of 'auto', 'palette'"),
        (("convert", "in", "--out", "out", "--polarization", "xx"), "'xx' is not one of 'vv', 'vh'"),
        (("info",), "Missing argument 'FILE'"),
        (("verify", "a", "b"), "unexpected extra argument"),
    ],
)
def test_wrong_usage_exits_with_2_and_says_what_is_wrong(
    command: CommandLine, arguments: tuple[str, ...], reason: str
) -> None:
    outcome = command.run(*arguments)
    assert outcome.code == 2
    assert reason in outcome.err
    assert outcome.out == ""


# The commands


def test_the_number_of_threads_and_the_cache_are_options_of_convert(
    command: CommandLine, products: Path, tmp_path: Path
) -> None:
    digests = set()
    for number, options in enumerate([(), ("--jobs", 1), ("--jobs", 3, "--cache-mb", 0), ("--cache-mb", 1)]):
        outcome = command.run(
            "convert", products, "--out", tmp_path / str(number), "--patch-size", 128, "--json", *options
        )
        assert (outcome.code, outcome.err) == (0, "")
        digests |= {file["content_digest"] for file in json.loads(outcome.out)["files"]}
    assert len(digests) == 2
    text = " ".join(command.run("convert", "--help").out.split())
    assert "[default: as many as there are cores to use]" in text
    assert "[default: 96]" in text[text.index("--cache-mb") :]


@pytest.mark.parametrize(
    ("option", "message"),
    [("--jobs", "the number of jobs must be at least 1; found -1"), ("--cache-mb", "cannot be negative")],
)
def test_numbers_of_threads_and_caches_that_make_no_sense_are_refused(
    command: CommandLine, products: Path, tmp_path: Path, option: str, message: str
) -> None:
    refused = command.refuse("convert", products, "--out", tmp_path / "h5", option, -1, untouched=tmp_path)
    assert message in refused


def test_convert_prints_a_summary_for_people(command: CommandLine, products: Path, tmp_path: Path) -> None:
    outcome = command.run("convert", products, "--out", tmp_path, "--patch-size", 128)
    assert (outcome.code, outcome.err) == (0, "")
    with h5py.File(tmp_path / "vh.h5") as f:
        count, digest, levels = len(f["patches"]), f.attrs["content_digest"], len(f["lut"])
        bounds = f"{f.attrs['vmin']:.4f} to {f.attrs['vmax']:.4f} dB (percentiles 1 and 99 of all valid pixels"
    entry = outcome.out[outcome.out.index(str(tmp_path / "vh.h5")) :]
    for piece in (
        f"{count:,} of 128 x 128 px, stride 128 px, from 2 scenes", "less than 90% of pixels strictly inside (0.01, 0.99)",
        bounds, f"palette, {levels} codes; lz4 level 5", "x smaller than float32", "patches/s", "MB/s of source", digest,
    ):  # fmt: skip
        assert piece in entry


def test_convert_prints_json_for_programs(command: CommandLine, products: Path, tmp_path: Path) -> None:
    outcome = command.run(
        "convert", products, "--out", tmp_path, "--patch-size", 96, "--stride", 48, "--min-valid", 0.8,
        "--valid-by", "pixels", "--percentiles", 2, 98, "--polarization", "vh", "--encoding", "dn",
        "--codec", "zlib", "--clevel", 1, "--shuffle", "none", "--layout", "patches", "--json",
    )  # fmt: skip
    assert (outcome.code, outcome.err) == (0, "")
    data = json.loads(outcome.out)
    (entry,) = data["files"]
    expected = {
        "path": str(tmp_path / "vh.h5"), "polarization": "vh", "scenes": 2, "patch_size": 96, "stride": 48,
        "min_valid": 0.8, "valid_measure": "pixels", "encoding": "dn", "levels": 65536, "codec": "zlib level 1, no shuffle",
        "bounds_origin": "percentiles 2 and 98 of all valid pixels of all scenes", "skipped": [], "notes": [],
    }  # fmt: skip
    assert {name: entry[name] for name in expected} == expected
    assert data["skipped"] == []


def test_every_option_reaches_the_conversion(command: CommandLine, products: Path, tmp_path: Path) -> None:
    (tmp_path / "b.json").write_text('{"vmin": 12, "vmax": 26}')
    arguments = ("convert", products, "--out", tmp_path / "h5", "--bounds", tmp_path / "b.json", "--json")
    first = json.loads(command.run(*arguments).out)
    assert [(entry["vmin"], entry["vmax"], entry["bounds_origin"]) for entry in first["files"]] == [
        (12, 26, str(tmp_path / "b.json"))
    ] * 2
    assert command.run(*arguments).code == 1
    again = json.loads(command.run(*arguments, "--overwrite").out)
    assert [entry["content_digest"] for entry in again["files"]] == [
        entry["content_digest"] for entry in first["files"]
    ]


def test_info_prints_text_and_json(command: CommandLine, file: Path, tmp_path: Path) -> None:
    outcome = command.run("info", file)
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.startswith(f"{file}: Sentinel-1 VV patches of 128 x 128 pixels")
    data = json.loads(command.run("info", file, "--json").out)
    assert (data["path"], data["polarization"], len(data["scenes"])) == (str(file), "vv", 2)
    message = command.refuse("info", tmp_path / "absent.h5", untouched=tmp_path)
    assert "no such file" in message


def test_verify_exits_with_0_for_a_sound_file_and_1_with_every_problem_otherwise(
    command: CommandLine, file: Path, tmp_path: Path
) -> None:
    with h5py.File(file) as f:
        chunk = f["patches"].id.get_chunk_info(2)
        count = len(f["patches"])
    sound = command.run("verify", file)
    assert (sound.code, sound.out, sound.err) == (0, f"{file}: {count} patches, no problem\n", "")

    content = bytearray(file.read_bytes())
    content[chunk.byte_offset + 50] ^= 1
    bad = tmp_path / "bad.h5"
    bad.write_bytes(content)
    found = command.run("verify", bad)
    assert found.code == 1
    assert re.fullmatch(r"/patches\[2\]: corrupt: expected checksum \w{8}, found \w{8}\n", found.out)
    assert found.err == f"sar-h5: {bad}: 1 problem\n"

    as_json = command.run("verify", bad, "--json")
    data = json.loads(as_json.out)
    assert (as_json.code, as_json.err, data["ok"], data["patches"]) == (1, "", False, count)
    assert [(problem["place"], problem["kind"]) for problem in data["problems"]] == [("/patches[2]", "corrupt")]
    assert json.loads(command.run("verify", file, "--json").out)["ok"] is True
    assert "no such file" in command.refuse("verify", tmp_path / "absent.h5", untouched=tmp_path)


# In a process of its own


def test_python_m_sar_h5_is_the_command(products: Path, tmp_path: Path) -> None:
    code, out, err = run("convert", products, "--out", tmp_path / "h5", "--patch-size", 128, "--json")
    assert (code, err) == (0, "")
    assert [entry["polarization"] for entry in json.loads(out)["files"]] == ["vv", "vh"]
    assert run("verify", tmp_path / "h5" / "vv.h5")[0] == 0
    assert run("info", tmp_path / "absent.h5")[::2] == (1, pytest.approx(run("info", tmp_path / "absent.h5")[2]))
    assert run("--version") == (0, f"sar-h5, version {VERSION}\n", "")


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_help_comes_at_once_without_the_heavy_libraries(option: str) -> None:
    code = f"""
import atexit, sys
heavy = ("torch", "rasterio", "h5py", "numpy")
atexit.register(lambda: print("loaded:", [name for name in heavy if name in sys.modules]))
sys.argv = ["sar-h5", {option!r}]
from sar_h5.cli import main
main()
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.endswith("loaded: []\n")
    assert ("verify   Check a file" in done.stdout) == (option == "--help")


@pytest.mark.skipif(os.name != "posix", reason="pipes as POSIX has them")
def test_a_reader_that_has_gone_is_no_traceback(file: Path) -> None:
    for arguments in (("info", file), ("info", file, "--json"), ("verify", file), ("--help",)):
        read, write = os.pipe()
        os.close(read)
        process = subprocess.run(
            [sys.executable, "-m", "sar_h5", *map(str, arguments)], stdout=write, stderr=subprocess.PIPE, text=True,
            check=False, timeout=60,
        )  # fmt: skip
        os.close(write)
        assert process.returncode == 1
        assert process.stderr == ""


# Progress


@pytest.fixture(scope="module")
def slow_source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("slow")
    for number in range(2):
        write_raster(directory / f"s{number}_vv.tif", make_dn(number, (600, 1200)))
    return directory


SLOW = ("--patch-size", 128, "--stride", 32, "--codec", "zstd", "--clevel", 9)


def on_terminal(*arguments: object) -> tuple[int, str, str]:
    """Run with standard error on a pseudo-terminal; return exit code, standard output, and what the terminal got."""
    pty = pytest.importorskip("pty", reason="pseudo-terminals are POSIX")
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "sar_h5", *map(str, arguments)], stdout=subprocess.PIPE, stderr=slave, text=True
    )
    os.close(slave)
    shown = b"".join(read_all(master))
    out, _ = process.communicate(timeout=60)
    os.close(master)
    return process.returncode, out, shown.decode()


def read_all(descriptor: int) -> Iterator[bytes]:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            piece = os.read(descriptor, 4096)
        except OSError:  # Linux: the other side has closed
            return
        if not piece:
            return
        yield piece


def test_progress_is_shown_on_a_terminal_and_vanishes_at_the_end(slow_source: Path, tmp_path: Path) -> None:
    code, out, shown = on_terminal("convert", slow_source, "--out", tmp_path, *SLOW, "--json")
    assert code == 0
    assert json.loads(out)["files"][0]["scenes"] == 2
    assert "vv bounds:" in shown
    assert re.search(r"vv patches: +\d+%.*MB?/s, scene [12]/2, [\d,]+ patches", shown)
    assert re.search(r"\[\d\d:\d\d<\d\d:\d\d", shown)  # time spent and left
    assert shown.endswith("\r")
    assert shown.rstrip("\r").rpartition("\r")[2].strip() == ""


def test_progress_is_absent_in_pipes(slow_source: Path, tmp_path: Path) -> None:
    code, out, err = run("convert", slow_source, "--out", tmp_path, *SLOW)
    assert (code, err) == (0, "")
    assert "\r" not in out
    code, out, err = run("verify", tmp_path / "vv.h5")
    assert (code, err) == (0, "")


def test_progress_may_be_forced_and_counts_to_the_end(
    slow_source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    convert(slow_source, tmp_path, patch_size=256, progress=True)
    assert "vv patches:" in capsys.readouterr().err
    convert(slow_source, tmp_path, patch_size=256, progress=None, overwrite=True)
    assert capsys.readouterr().err == ""


def test_a_stage_reads_as_many_bytes_as_it_announced(slow_source: Path, tmp_path: Path) -> None:
    totals = []

    class Recorder(Progress):
        def start(self, label: str, nbytes: int) -> None:
            totals.append([label, nbytes, 0])

        def advance(self, nbytes: int, patches: int = 0) -> None:  # noqa: ARG002 - the signature of Progress
            totals[-1][2] += nbytes

    from sar_h5.conversion import run_conversion
    from sar_h5.settings import ConvertSettings

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sar_h5.conversion.Progress", Recorder)
        run_conversion([slow_source], tmp_path, ConvertSettings(patch_size=256))
    assert [label for label, _, _ in totals] == ["vv bounds", "vv patches"]
    assert {announced for _, announced, _ in totals} == {read for _, _, read in totals} == {2 * 600 * 1200 * 2}


def test_progress_says_scene_and_patches_and_takes_advances_at_any_time() -> None:
    stream = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stderr", stream)
        with Progress(shown=True) as bar:
            bar.advance(5)
            bar.start("label", 100)
            bar.advance(10)
            bar.scene(3, 7)
            bar.advance(90, 1234)
            bar.close()
        with Progress(shown=False) as bar:
            bar.start("hidden", 100)
            bar.advance(100)
    assert "label:" in stream.getvalue()
    assert "hidden" not in stream.getvalue()


def test_an_interrupt_inside_any_command_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("sar_h5.commands.info.read_info", interrupted)
    monkeypatch.setattr(sys, "argv", ["sar-h5", "info", "a.h5"])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 1
    assert capsys.readouterr().err.strip().splitlines() == [
        "sar-h5: interrupted; unfinished results were removed, nothing half-made is left"
    ]
