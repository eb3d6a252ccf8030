"""``sar-h5 preview``: pictures where they were asked for, all of them or none."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from sar_h5.errors import SettingError
from sar_h5.preview import KINDS, preview
from tests.command_line import CommandLine, snapshot
from tests.scene_files import Place, write_scenes


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(monkeypatch, capsys)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_scenes(tmp_path_factory.mktemp("h5") / "vv.h5", [Place(), Place(orbit=3)])


def test_the_default_is_a_sheet_in_the_current_directory(
    command: CommandLine, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = command.run("preview", file, "--patches", 2)
    assert (outcome.code, outcome.out, outcome.err) == (0, "vv_sheet.png\n", "")
    assert (tmp_path / "vv_sheet.png").read_bytes().startswith(b"\x89PNG")
    message = command.refuse("preview", file, untouched=tmp_path)
    assert "vv_sheet.png: is there already; pass --overwrite to replace it" in message
    assert command.run("preview", file, "--patches", 3, "--overwrite").code == 0
    assert list(snapshot(tmp_path) or {}) == [str(tmp_path / "vv_sheet.png")]


def test_all_makes_every_picture_in_a_directory_of_its_own(command: CommandLine, file: Path, tmp_path: Path) -> None:
    outcome = command.run("preview", file, "--kind", "all", "--patches", 1, "--out", tmp_path / "new" / "deep")
    expected = [str(tmp_path / "new" / "deep" / f"vv_{kind}.png") for kind in KINDS]
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.splitlines() == expected
    assert all(Path(path).stat().st_size > 1000 for path in expected)


def test_all_leaves_out_what_the_file_has_no_data_for_and_says_so(command: CommandLine, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "other.h5", "w") as f:
        f["data"] = np.random.default_rng(0).random((3, 6, 8)).astype(np.float32)
    outcome = command.run("preview", tmp_path / "other.h5", "--kind", "all", "--out", tmp_path / "out")
    assert [Path(line).name for line in outcome.out.splitlines()] == ["other_sheet.png", "other_histogram.png"]
    assert outcome.code == 0
    assert "sar-h5: no footprints: " in outcome.err
    assert "sar-h5: no augmentation: expected a square patch to turn; found 6 x 8" in outcome.err
    message = command.refuse(
        "preview", tmp_path / "other.h5", "--kind", "augmentation", "--out", tmp_path / "none", untouched=tmp_path
    )
    assert "expected a square patch to turn" in message


def test_one_picture_takes_a_name_whose_suffix_says_how(command: CommandLine, file: Path, tmp_path: Path) -> None:
    outcome = command.run("preview", file, "--kind", "footprints", "--out", tmp_path / "map.svg")
    assert (outcome.code, outcome.out) == (0, f"{tmp_path / 'map.svg'}\n")
    assert b"<svg" in (tmp_path / "map.svg").read_bytes()
    message = command.refuse("preview", file, "--kind", "all", "--out", tmp_path / "b.png", untouched=tmp_path)
    assert "expected a directory for 4 pictures, found the name of one picture" in message


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["{dir}/absent.h5"], 1, "absent.h5: expected an HDF5 file, found no such file"),
        (["{file}", "--patches", "0"], 1, "expected at least 1 patch to show; found 0"),
        (["{file}", "--kind", "all", "--patches", "0"], 1, "expected at least 1 patch to show; found 0"),
        (["{file}", "--kind", "portrait"], 2, "'portrait' is not one of"),
        (["{file}", "--out", "{file}/below"], 1, "expected a directory to write to, cannot make it"),
    ],
)
def test_what_cannot_be_drawn_is_refused_and_leaves_nothing(
    command: CommandLine, file: Path, tmp_path: Path, arguments: list[str], code: int, message: str
) -> None:
    out = [] if "--out" in arguments else ["--out", tmp_path / "out"]
    outcome = command.run("preview", *(text.format(dir=tmp_path, file=file) for text in arguments), *out)
    assert outcome.code == code
    assert message in outcome.err
    assert snapshot(tmp_path) == {}


def test_kinds_that_do_not_exist_are_refused(file: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"expected kinds of pictures among sheet, .*; found \['portrait'\]"):
        preview(file, tmp_path, kinds=["portrait"])
    with pytest.raises(SettingError, match="found none"):
        preview(file, tmp_path, kinds=[])


@pytest.mark.parametrize("damage", ["scenes/name", "index/row", "splits/default", "scenes/transform"])
def test_a_damaged_file_is_one_message(command: CommandLine, tmp_path: Path, damage: str) -> None:
    path = write_scenes(tmp_path / "a.h5", [Place()], np.ones(35))
    with h5py.File(path, "r+") as f:
        del f[damage]
        f[damage] = np.array([1.5])
    kind = "sheet" if damage == "scenes/name" else "footprints"
    message = command.refuse("preview", path, "--kind", kind, "--out", tmp_path / "out", untouched=tmp_path)
    assert "a.h5: expected" in message
    assert "sar-h5 verify" in message
