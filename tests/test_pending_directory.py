"""A directory appears complete or not at all, and nothing that is not ours is ever replaced."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path

import pytest

from sar_h5.errors import OutputError, OutputExistsError
from sar_h5.pending_directory import MARK, PendingDirectory


def pending(path: Path, *, overwrite: bool = False) -> PendingDirectory:
    return PendingDirectory(path, overwrite=overwrite, option="--shards")


def make(path: Path, content: str, *, overwrite: bool = False) -> None:
    with pending(path, overwrite=overwrite) as output:
        (output.partial / "sub").mkdir()
        (output.partial / "sub" / "file").write_text(content)
        output.commit({"content": content})


def names(path: Path) -> list[str]:
    return sorted(entry.name for entry in path.iterdir() if not entry.name.endswith(".lock"))


def test_a_directory_appears_with_its_mark_when_committed(tmp_path: Path) -> None:
    make(tmp_path / "out", "a")
    assert names(tmp_path) == ["out"]
    assert json.loads((tmp_path / "out" / MARK).read_text()) == {"content": "a"}


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, None])
def test_without_commit_nothing_is_left_and_the_old_one_stays(
    tmp_path: Path, error: type[BaseException] | None
) -> None:
    make(tmp_path / "out", "old")
    with (
        contextlib.suppress(ValueError, KeyboardInterrupt),
        pending(tmp_path / "out", overwrite=True) as output,
    ):
        (output.partial / "file").write_text("new")
        if error is not None:
            raise error
    assert names(tmp_path) == ["out"]
    assert (tmp_path / "out" / "sub" / "file").read_text() == "old"


def test_an_earlier_export_is_replaced_as_a_whole_only_when_asked(tmp_path: Path) -> None:
    make(tmp_path / "out", "old")
    (tmp_path / "out" / "extra").write_text("")
    with pytest.raises(OutputExistsError, match="is there already; pass --overwrite to replace it"):
        make(tmp_path / "out", "new")
    make(tmp_path / "out", "new", overwrite=True)
    assert names(tmp_path) == ["out"]
    assert names(tmp_path / "out") == [MARK, "sub"]


def test_a_directory_of_something_else_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.tex").write_text("precious")
    (tmp_path / "link").symlink_to(tmp_path / "home")
    (tmp_path / "file").write_text("precious")
    for name, reason in (("home", "of something else"), ("link", "found something else"), ("file", "found something")):
        with pytest.raises(OutputError, match=reason):
            make(tmp_path / name, "new", overwrite=True)
    assert (tmp_path / "home" / "thesis.tex").read_text() == (tmp_path / "file").read_text() == "precious"
    (tmp_path / "empty").mkdir()
    make(tmp_path / "empty", "new", overwrite=True)
    assert (tmp_path / "empty" / MARK).is_file()


def test_what_a_killed_run_left_is_removed_and_what_it_was_replacing_comes_back(tmp_path: Path) -> None:
    make(tmp_path / "out", "old")
    (tmp_path / "out").rename(tmp_path / ".out.replaced")
    (tmp_path / "out.partial").mkdir()
    (tmp_path / "out.partial" / "half").write_text("")
    with pytest.raises(OutputExistsError):
        make(tmp_path / "out", "new")
    assert (tmp_path / "out" / "sub" / "file").read_text() == "old"
    make(tmp_path / "out", "new", overwrite=True)
    assert names(tmp_path) == ["out"]
    assert names(tmp_path / "out") == [MARK, "sub"]


def test_a_link_in_the_place_of_the_partial_directory_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.tex").write_text("precious")
    (tmp_path / "out.partial").symlink_to(tmp_path / "home")
    make(tmp_path / "out", "new")
    assert names(tmp_path) == ["home", "out"]
    assert names(tmp_path / "home") == ["thesis.tex"]


def test_a_second_run_at_the_same_time_is_refused(tmp_path: Path) -> None:
    with pending(tmp_path / "out"), pytest.raises(OutputError, match="another run is writing"):
        make(tmp_path / "out", "second")
    assert names(tmp_path) == []


def test_a_place_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"expected a directory to write to.*choose another --shards"):
        make(tmp_path / "missing" / "out", "x")
    assert names(tmp_path) == []


@pytest.mark.parametrize("error", [OSError(28, os.strerror(28)), KeyboardInterrupt()])
def test_a_rename_that_fails_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    make(tmp_path / "out", "old")
    rename = Path.rename

    def fail(path: Path, target: Path) -> Path:
        if path.name == "out.partial":
            raise error
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", fail)
    expected = OutputError if isinstance(error, OSError) else KeyboardInterrupt
    with pytest.raises(expected, match="cannot be completed" if isinstance(error, OSError) else None):
        make(tmp_path / "out", "new", overwrite=True)
    assert names(tmp_path) == ["out"]
    assert (tmp_path / "out" / "sub" / "file").read_text() == "old"
