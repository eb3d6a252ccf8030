from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from sar_h5 import file_objects, schema, verify
from sar_h5.errors import FormatError, SarH5Error, UnsafeFileError
from sar_h5.file_objects import check_objects, walk_objects
from sar_h5.file_update import FileUpdate
from sar_h5.heap_guard import GuardedFile
from sar_h5.info import read_info
from sar_h5.opening import open_as_it_is, open_file
from sar_h5.reader import PatchReader
from tests.fuzz.mutators import restore_checksums
from tests.hostile_files import (
    ATTRIBUTES,
    LEADS_OUTSIDE,
    MISSHAPEN,
    TOO_LARGE,
    Spoil,
    attribute_values,
    make_sound,
    nest,
)

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("hostile") / "outside"
    directory.mkdir()
    return make_sound(directory / "other.h5")


def spoiled(sound: Path, directory: Path, name: str, spoil: Spoil) -> Path:
    path = Path(shutil.copy(sound, directory / f"{name.replace(' ', '-')}.h5"))
    with h5py.File(path, "r+", libver=schema.LIBVER) as file:
        spoil(file, sound)
    return path


def judge(directory: Path, ways: str, paths: list[Path], *watcher: str) -> dict[str, dict[str, str]]:
    """What a process with little memory makes of files, by the file's name and the way of reading."""
    command = [*watcher, sys.executable, "-m", "tests.hostile_worker", str(directory), ways, *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert all(answer["opened"] == [] for answer in answers)
    return {Path(answer["path"]).stem: answer["found"] for answer in answers}


def test_each_object_comes_once_whatever_leads_to_it(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["a/b/data"] = np.zeros(3)
        file["a/b/root"] = file["/"]
        file["again"] = file["a/b/data"]
        file["soft"] = h5py.SoftLink("/a")
        file["dangling"] = h5py.SoftLink("/nowhere")
        assert [name for name, _ in walk_objects(file)] == ["/a", "/again", "/a/b"]
        assert isinstance(dict(walk_objects(file))["/again"], h5py.Dataset)


@pytest.mark.parametrize("name", LEADS_OUTSIDE)
def test_what_lies_in_another_file_is_refused_by_all_ways_to_open_one(sound: Path, tmp_path: Path, name: str) -> None:
    path = spoiled(sound, tmp_path, "a", LEADS_OUTSIDE[name])
    for opening in (open_file, open_as_it_is, lambda path: FileUpdate(Path(path))):
        with pytest.raises(UnsafeFileError, match=r"a\.h5: /.*expected .* this file, found"), opening(path):
            pass
    with pytest.raises(UnsafeFileError, match="copy what you need into one file"):
        PatchReader(path)


@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
def test_no_library_opens_a_file_outside_either(sound: Path, tmp_path: Path) -> None:
    paths = [spoiled(sound, tmp_path, name, spoil) for name, spoil in LEADS_OUTSIDE.items()]
    trace = tmp_path / "trace.txt"
    judge(tmp_path, "values verify splitting", paths, "strace", "-f", "-e", "trace=openat,open", "-o", str(trace))
    opened = trace.read_text(errors="replace")
    assert str(paths[-1]) in opened
    assert "/outside/" not in opened
    assert "/dev/zero" not in opened


def test_files_that_announce_terabytes_are_refused_in_little_memory(sound: Path, tmp_path: Path) -> None:
    paths = [spoiled(sound, tmp_path, name, spoil) for name, spoil in TOO_LARGE.items()]
    for path, found in judge(tmp_path, "dict verify splitting", paths).items():
        assert not [text for text in found.values() if "FAILED" in text], path
        assert found["dict"].startswith("UnsafeFileError"), path
        assert "this package" in found["dict"] or "expected at most" in found["dict"], path


def test_files_with_anything_in_the_place_of_anything_raise_errors_of_this_package(sound: Path, tmp_path: Path) -> None:
    paths = [spoiled(sound, tmp_path, name, spoil) for name, spoil in MISSHAPEN.items()]
    found = judge(tmp_path, "info dict", paths)
    assert {path: text for path, texts in found.items() for text in texts.values() if "FAILED" in text} == {}
    for name in ("a-table-of-NaN", "a-table-above-1", "a-table-of-texts", "patches-that-are-a-group"):
        assert found[name]["dict"].startswith("FormatError"), name
    assert "a code lies outside the table of 3" in found["a-table-shorter-than-the-codes"]["dict"]
    assert "there are 2 scenes" in found["scenes-that-are-not-there"]["dict"]


def test_attributes_of_every_kind_raise_errors_of_this_package(sound: Path, tmp_path: Path) -> None:
    with h5py.File(shutil.copy(sound, tmp_path / "kinds.h5"), "r+") as file:
        kinds = sorted(attribute_values(file))
    pairs = [(name, kind) for name in ATTRIBUTES for kind in kinds]
    chosen = np.random.default_rng(0).choice(len(pairs), 40, replace=False)
    for name, kind in [("patch_size", "huge"), ("stride", "huge"), *(pairs[number] for number in chosen)]:
        path = Path(shutil.copy(sound, tmp_path / "a.h5"))
        with h5py.File(path, "r+", libver=schema.LIBVER) as file:
            for holder in (file, file["patches"]):
                holder.attrs[name] = attribute_values(file)[kind]
        try:
            assert read_info(path).to_text()
        except SarH5Error as error:
            assert "a.h5" in str(error), (name, kind)  # noqa: PT017 - it need not be refused


def test_what_a_file_says_cannot_command_the_terminal(sound: Path, tmp_path: Path) -> None:
    path = spoiled(sound, tmp_path, "a", MISSHAPEN["names that control the terminal"])
    with h5py.File(path, "r+", libver=schema.LIBVER) as file:
        file.attrs["title"] = "\x1b]0;owned\x07"
    text = read_info(path).to_text()
    assert "\N{REPLACEMENT CHARACTER}]0;owned\N{REPLACEMENT CHARACTER}" in text
    assert [line for line in text.split("\n") if not line.isprintable()] == []


def test_a_million_groups_or_groups_within_groups_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with h5py.File(tmp_path / "deep.h5", "w") as file:
        nest(file, 102)
        with pytest.raises(UnsafeFileError, match="expected groups in at most 100 others"):
            check_objects(file)
    monkeypatch.setattr(file_objects, "MOST_OBJECTS", 50)
    with h5py.File(tmp_path / "wide.h5", "w") as file:
        for number in range(51):
            file.create_group(f"g{number}")
        with pytest.raises(UnsafeFileError, match="expected at most 50 objects, found more"):
            check_objects(file)


def test_one_long_text_may_not_be_named_again_and_again(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w", libver=schema.LIBVER) as file:
        file.attrs["history"] = "x" * (1 << 20)
        file.attrs["skipped_sources"] = np.array(["y"] * 300, dtype=h5py.string_dtype())
    with GuardedFile(tmp_path / "a.h5") as raw, h5py.File(raw) as file:
        raw.expect_texts(1)
        assert len(file.attrs["history"]) == 1 << 20
        raw.expect_texts(250)
        with pytest.raises(OSError, match="texts of up to 1,048,576 bytes take more than 268,435,456 bytes"):
            raw.expect_texts(300)


def test_contiguous_patches_beyond_the_end_of_the_file_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w", libver=schema.LIBVER) as file:
        file["patches"] = np.ones((64, 32, 32), np.uint8)
        offset = file["patches"].id.get_offset()
    assert PatchReader(path).read(63).sum() == 1024
    with h5py.File(path) as file:
        patches = file["patches"]
        file_objects.check_patches(patches)
        with pytest.raises(UnsafeFileError, match="to lie in the file, which ends"):
            file_objects.check_patches(_Longer(patches, offset))


@pytest.mark.parametrize("address", [1 << 63, (1 << 64) - 2, 1 << 40])
def test_objects_at_places_that_no_file_has_are_damage(sound: Path, tmp_path: Path, address: int) -> None:
    content = bytearray(sound.read_bytes())
    content[36:44] = address.to_bytes(8, "little")  # of the root group, in the superblock
    restore_checksums(content)
    path = tmp_path / "a.h5"
    path.write_bytes(content)
    for opening in (open_file, open_as_it_is, lambda path: FileUpdate(Path(path))):
        with pytest.raises(FormatError, match=r"a\.h5: expected"), opening(path):
            pass
    assert [str(problem.kind) for problem in verify(path).problems] == ["corrupt"]


def test_checksums_are_restored_as_hdf5_makes_them(sound: Path) -> None:
    content = bytearray(sound.read_bytes())
    restore_checksums(content)
    assert bytes(content) == sound.read_bytes()
    content[44:48] = b"none"
    restore_checksums(content)
    assert bytes(content) == sound.read_bytes()


class _Longer:
    """A dataset that says that it lies further back than the file goes."""

    def __init__(self, patches: h5py.Dataset, offset: int) -> None:
        self._patches, self._offset = patches, offset
        self.shape, self.chunks, self.dtype = patches.shape, patches.chunks, patches.dtype
        self.file, self.name, self.id = patches.file, patches.name, self

    def get_create_plist(self) -> object:
        return self._patches.id.get_create_plist()

    def get_offset(self) -> int:
        return self._offset + (1 << 40)
