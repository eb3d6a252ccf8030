"""What tells that a source is not what it was."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from sar_h5.source_state import SourceState, find_differences
from sar_h5.sources.scene import SceneInfo


@pytest.fixture
def info(tmp_path: Path) -> SceneInfo:
    (tmp_path / "a.npy").write_bytes(b"12345")
    return SceneInfo("a", str(tmp_path / "a.npy"), "vv")


def change(info: SceneInfo, what: str) -> SceneInfo:
    path = Path(info.path)
    if what == "bytes":
        path.write_bytes(b"123456")
    elif what == "time":
        os.utime(path, ns=(0, 1))
    elif what == "file":
        path.unlink()
        path.parent.rmdir()
    return replace(info, orbit=7) if what == "annotation" else info


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("nothing", None),
        ("bytes", "has changed from 5 to 6 bytes"),
        ("time", "has been written to"),
        ("annotation", "is described otherwise by what lies beside it"),
        ("file", "has changed from 5 to "),
    ],
)
def test_every_change_is_named(info: SceneInfo, what: str, said: str | None) -> None:
    before = [SourceState.of(info)]
    found = find_differences(before, [SourceState.of(change(info, what))])
    if said is None:
        assert found == {}
    else:
        assert list(found) == [info.path]
        assert found[info.path].startswith(said)


def test_what_comes_and_goes_is_named(info: SceneInfo) -> None:
    state = SourceState.of(info)
    assert find_differences([state], []) == {info.path: "is gone"}
    assert find_differences([], [state]) == {info.path: "was not there"}


def test_a_member_of_an_archive_has_the_state_of_the_archive(info: SceneInfo) -> None:
    inside = replace(info, path=f"{info.path}/measurement/b.tiff")
    assert SourceState.of(inside).nbytes == 5
    change(info, "bytes")
    assert SourceState.of(inside).nbytes == 6
