from __future__ import annotations

import os
import pickle
import struct
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np
import pytest

from sar_h5.errors import BoundsError, PickleRefusedError, SourceError
from sar_h5.radiometry import Bounds
from sar_h5.sources.shard_set import (
    METADATA_NAMES,
    ShardSet,
    indexed_files,
    read_shard_set,
    real_path,
    resolve_within,
    same_bounds,
)
from tests.conftest import make_shards

VV = "patches-vv-{}.npy"


def save_shard(path: Path, count: int = 2, size: int = 8) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, np.random.default_rng(count).random((count, size, size), dtype=np.float32))
    return path


def save_metadata(directory: Path, **data: Any) -> None:
    np.save(directory / "metadata.npy", np.array(data, dtype=object), allow_pickle=True)


def read(directory: Path, **options: Any) -> ShardSet:
    files = sorted(path for path in directory.rglob("*.npy") if path.name not in METADATA_NAMES)
    return read_shard_set(directory, files, **options)


def names(shards: ShardSet) -> list[str]:
    return [Path(shard.info.path).name for shard in shards.shards]


@pytest.fixture
def four(tmp_path: Path) -> Path:
    """A directory of shards 0 to 3, whose counts are 1 to 4, without metadata."""
    for number in range(4):
        save_shard(tmp_path / "shards" / VV.format(number), number + 1)
    return tmp_path / "shards"


# Order and choice


def test_without_file_index_shards_come_by_name(four: Path) -> None:
    save_shard(four / VV.format(10))
    files = [four / VV.format(number) for number in (3, 10, 0, 2, 1)]
    shards = read_shard_set(four, files)
    assert names(shards) == [VV.format(number) for number in (0, 1, 10, 2, 3)]
    assert (shards.bounds, shards.stride, shards.broken, shards.notes) == ({}, -1, (), ())


def test_file_index_gives_the_order(four: Path) -> None:
    save_metadata(four, file_index=[(VV.format(number), number + 1) for number in (2, 0, 3, 1)], stride=128)
    shards = read(four)
    assert names(shards) == [VV.format(number) for number in (2, 0, 3, 1)]
    assert [shard.count for shard in shards.shards] == [3, 1, 4, 2]
    assert (shards.stride, shards.broken, shards.notes) == (128, (), ())


def test_unlisted_shards_are_left_out_with_a_note(four: Path) -> None:
    save_metadata(four, file_index=[(VV.format(1), 2)])
    shards = read(four)
    assert names(shards) == [VV.format(1)]
    assert shards.notes == (f"{four}: not in file_index and left out: {', '.join(VV.format(n) for n in (0, 2, 3))}",)
    assert shards.broken == ()


def test_only_the_files_asked_for_are_used(four: Path) -> None:
    save_metadata(four, file_index=[(VV.format(number), number + 1) for number in (2, 0, 3, 1)])
    shards = read_shard_set(four, [four / VV.format(1), four / VV.format(2)])
    assert names(shards) == [VV.format(2), VV.format(1)]
    assert shards.broken == ()


def test_a_shuffle_index_is_not_applied_and_said_so(four: Path) -> None:
    np.save(four / "shuffle_idx.npy", np.arange(10)[::-1])
    (note,) = read(four).notes
    assert note == f"{four}: shuffle_idx.npy is not applied; patches keep the order of the shards"


def test_polarizations_are_told_apart_and_chosen(tmp_path: Path) -> None:
    make_shards(tmp_path, "vv")
    save_shard(tmp_path / "x-vh-1.npy")
    save_metadata(tmp_path, file_index=[(path.name, len(np.load(path))) for path in sorted(tmp_path.glob("*-*.npy"))])
    assert sorted({shard.info.polarization for shard in read(tmp_path).shards}) == ["vh", "vv"]
    assert {shard.info.polarization for shard in read(tmp_path, wanted=["vh"]).shards} == {"vh"}


def test_what_is_wrong_with_other_polarizations_does_not_matter(tmp_path: Path) -> None:
    save_shard(tmp_path / "a-vv-1.npy")
    (tmp_path / "a-vh-1.npy").write_bytes(b"broken")
    save_shard(tmp_path / "unlisted-vh.npy")
    index = [("a-vv-1.npy", 2), ("a-vh-1.npy", 2), ("gone-vh-2.npy", 2), ("D:\\x\\gone-vh-3.npy", 2)]
    save_metadata(tmp_path, file_index=index)
    assert len(read(tmp_path).broken) == 3
    shards = read(tmp_path, wanted=["vv"])
    assert (names(shards), shards.broken, shards.notes) == (["a-vv-1.npy"], (), ())


def test_shards_that_tell_no_polarization_are_named_or_assigned(tmp_path: Path) -> None:
    save_shard(tmp_path / "patches-1.npy")
    (broken,) = read(tmp_path).broken
    assert "nothing tells its polarization" in broken.reason
    assert read(tmp_path, wanted=["vh"], assigned="vh").shards[0].info.polarization == "vh"


# Broken entries


def test_every_broken_shard_is_named_with_its_reason(four: Path) -> None:
    (four / VV.format(0)).write_bytes((four / VV.format(0)).read_bytes()[:-1])
    (four / VV.format(2)).write_bytes(b"")
    np.save(four / VV.format(3), np.zeros((2, 8, 8)))
    shards = read(four)
    assert names(shards) == [VV.format(1)]
    reasons = {Path(source.path).name: source.reason for source in shards.broken}
    assert reasons[VV.format(0)].startswith("truncated: ")
    assert reasons[VV.format(2)].startswith("empty file")
    assert reasons[VV.format(3)] == "expected dtype float32, found float64"


def test_entries_that_are_not_there_are_named(four: Path) -> None:
    save_metadata(four, file_index=[(VV.format(0), 1), ("gone-vv.npy", 5), ("/data/also gone-vv.npy", 6)])
    shards = read(four)
    assert names(shards) == [VV.format(0)]
    assert [source.path for source in shards.broken] == ["gone-vv.npy", "/data/also gone-vv.npy"]
    assert {source.reason for source in shards.broken} == {f"listed in file_index, but not found within {four}"}


def test_a_count_that_disagrees_is_named(four: Path) -> None:
    save_metadata(four, file_index=[(VV.format(0), 1), (VV.format(1), 7)])
    (broken,) = read(four).broken
    assert broken.path == str(four / VV.format(1))
    assert broken.reason == "file_index promises 7 patches, the shard's header 2"


@pytest.mark.parametrize("again", [VV.format(0), f"./{VV.format(0)}", f"/run2/{VV.format(0)}", "link-vv.npy"])
def test_a_file_that_is_listed_twice_is_used_once_and_named(four: Path, again: str) -> None:
    (four / "link-vv.npy").symlink_to(four / VV.format(0))
    save_metadata(four, file_index=[(f"/run1/{VV.format(0)}", 1), (again, 1)])
    shards = read(four)
    assert names(shards) == [VV.format(0)]
    (broken,) = shards.broken
    assert broken.path == again
    assert broken.reason == f"listed in file_index twice: an earlier entry stands for {four / VV.format(0)} already"


@pytest.mark.parametrize(
    "entry",
    ["patches-vv-0.npy", ("a.npy",), ("a.npy", 1, 2), ("a.npy", -1), ("a.npy", 1.5), ("a.npy", True), (3, 1), None],
)
def test_an_entry_that_is_no_path_and_count_is_refused(four: Path, entry: object) -> None:
    save_metadata(four, file_index=[(VV.format(0), 1), entry])
    with pytest.raises(SourceError, match=r"metadata\.npy: expected entries \(path, count\) in file_index, found "):
        read(four)


@pytest.mark.parametrize("index", ["a.npy", 5, {"a.npy": 1}])
def test_a_file_index_that_is_no_list_is_refused(four: Path, index: object) -> None:
    save_metadata(four, file_index=index)
    with pytest.raises(SourceError, match=r"metadata\.npy: expected file_index as a list of \(path, count\), found "):
        read(four)


def test_a_file_index_may_be_an_array_of_objects(four: Path) -> None:
    save_metadata(four, file_index=np.array([(VV.format(1), 2), (VV.format(0), 1)], dtype=object))
    assert names(read(four)) == [VV.format(1), VV.format(0)]


def test_counts_may_be_numpy_s(four: Path) -> None:
    save_metadata(four, file_index=[(VV.format(1), np.int64(2))], stride=np.int32(64))
    assert (names(read(four)), read(four).stride) == ([VV.format(1)], 64)


@pytest.mark.parametrize("stride", [0, -5, "128", 128.0, None, True])
def test_a_stride_that_is_no_positive_integer_is_unknown(four: Path, stride: object) -> None:
    save_metadata(four, stride=stride)
    assert read(four).stride == -1


# Paths


@pytest.mark.parametrize(
    "listed",
    [
        "{name}",
        "./{name}",
        "shards/{name}",
        "/work/someone/else/shards/{name}",
        "/work/{name}",
        "../shards/{name}",
        "../../elsewhere/./{name}",
        "{here}/{name}",
        "D:\\data\\{name}",
        "D:{name}",
        "\\\\server\\share\\shards\\{name}",
        "shards\\{name}",
        "..\\{name}",
        "C:/Users/someone/shards/{name}",
    ],
)
@pytest.mark.parametrize("kind", [str, np.str_, PurePosixPath, Path, PureWindowsPath])
def test_a_listed_path_is_found_wherever_the_list_was_written(four: Path, listed: str, kind: Any) -> None:
    name = VV.format(2)
    text = listed.format(name=name, here=four)
    save_metadata(four, file_index=[(kind(text), 3)])
    shards = read(four)
    assert shards.broken == ()
    assert [shard.info.path for shard in shards.shards] == [str(four / name)]


def test_paths_of_windows_itself_are_read(four: Path) -> None:
    metadata = {"file_index": [(PureWindowsPath("D:/data") / VV.format(2), 3)]}
    data = pickle.dumps(metadata, protocol=2).replace(b"PureWindowsPath", b"WindowsPath")
    (four / "metadata.npy").write_bytes(data)
    assert b"PureWindowsPath" not in data
    assert names(read(four)) == [VV.format(2)]


def test_the_longest_tail_of_a_path_that_exists_is_taken(tmp_path: Path) -> None:
    for folder, count in (("", 1), ("b", 2), ("a/b", 3)):
        save_shard(tmp_path / folder / "x-vv.npy", count)
    assert resolve_within(tmp_path, "/data/a/b/x-vv.npy") == tmp_path / "a/b/x-vv.npy"
    assert resolve_within(tmp_path, "E:\\b\\x-vv.npy") == tmp_path / "b/x-vv.npy"
    assert resolve_within(tmp_path, "c/x-vv.npy") == tmp_path / "x-vv.npy"


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths of all files that are opened from here on."""
    paths: list[str] = []
    plain_open = Path.open

    def spy(self: Path, *args: Any, **options: Any) -> Any:
        paths.append(os.path.realpath(self))
        return plain_open(self, *args, **options)

    monkeypatch.setattr(Path, "open", spy)
    return paths


@pytest.mark.parametrize(
    "listed",
    [
        "../secret-vv.npy",
        "x/../../secret-vv.npy",
        "..\\secret-vv.npy",
        "x\\..\\..\\secret-vv.npy",
        "{outside}/secret-vv.npy",
        "link-vv.npy",
        "folder/secret-vv.npy",
        "",
        ".",
        "..",
        "/",
        "D:\\",
        "folder",
        "a\0b-vv.npy",
        "a" * 300 + "-vv.npy",
        "x/" * 10_000 + "secret-vv.npy",
    ],
)
def test_nothing_outside_the_directory_is_ever_opened(tmp_path: Path, listed: str, opened: list[str]) -> None:
    inside, outside = tmp_path / "inside", tmp_path
    inside.mkdir()
    (inside / "x").mkdir()
    save_shard(outside / "secret-vv.npy")
    (inside / "link-vv.npy").symlink_to(outside / "secret-vv.npy")
    (inside / "folder").symlink_to(outside)
    save_metadata(inside, file_index=[(listed.format(outside=outside), 2)])
    opened.clear()
    shards = read_shard_set(inside, [inside / "link-vv.npy", inside / "folder" / "secret-vv.npy"])
    assert shards.shards == ()
    assert [source.path for source in shards.broken] == [listed.format(outside=outside)]
    assert set(opened) == {str(inside / "metadata.npy")}


def test_a_link_to_the_directory_itself_is_inside(four: Path, tmp_path: Path) -> None:
    (tmp_path / "alias").symlink_to(four)
    save_metadata(four, file_index=[(f"shards/{VV.format(0)}", 1)])
    assert names(read_shard_set(tmp_path / "alias", [tmp_path / "alias" / VV.format(0)])) == [VV.format(0)]


def test_indexed_files_are_real_paths(four: Path) -> None:
    assert indexed_files(four) == set()
    save_metadata(four, file_index=[(VV.format(0), 1), (f"D:\\{VV.format(1)}", 2), ("gone-vv.npy", 3)])
    assert indexed_files(four) == {four / VV.format(0), four / VV.format(1)}


def test_the_real_path_of_a_link_to_itself_is_no_error(tmp_path: Path) -> None:
    loop = tmp_path / "loop-vv.npy"
    loop.symlink_to(loop)
    assert real_path(loop).name == loop.name
    (broken,) = read_shard_set(tmp_path, [loop]).broken
    assert "cannot be read" in broken.reason


# Pickles


def test_metadata_of_numpy_1_are_read(four: Path) -> None:
    """NumPy 1 names its modules numpy.core, NumPy 2 numpy._core."""
    metadata = np.array(
        {"file_index": [(VV.format(2), np.int64(3))], "vmin": np.float32(14.77), "vmax": np.float64(24.54)}, object
    )
    for protocol in (2, 3, 4, 5):
        payload = pickle.dumps(metadata, protocol)
        old = payload.replace(b"numpy._core", b"numpy.core")
        if protocol >= 4:  # the names carry their lengths, and so does the frame around them
            shorter = payload.count(b"numpy._core")
            old = _shorten(payload, shorter)
        assert b"numpy._core" not in old
        (four / "metadata.npy").write_bytes(
            b"\x93NUMPY\x01\x00"
            + struct.pack("<H", 62)
            + b"{'descr': '|O', 'fortran_order': False, 'shape': (), }".ljust(61)
            + b"\n"
            + old
        )
        shards = read(four)
        assert names(shards) == [VV.format(2)]
        assert (np.float32(shards.bounds["vv"].vmin), shards.bounds["vv"].vmax) == (np.float32(14.77), 24.54)


def _shorten(payload: bytes, times: int) -> bytes:
    data = payload
    for name in (b"numpy._core.multiarray", b"numpy._core.numeric"):
        new = name.replace(b"_core", b"core")
        data = data.replace(b"\x8c" + bytes([len(name)]) + name, b"\x8c" + bytes([len(new)]) + new)
    (length,) = struct.unpack_from("<Q", data, 3)
    assert data[2:3] == b"\x95"
    return data[:3] + struct.pack("<Q", length - times) + data[11:]


class Malice:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("name", ["metadata.npy", "global_bounds.npy"])
def test_a_malicious_pickle_is_refused_and_not_run(four: Path, tmp_path: Path, name: str) -> None:
    trace = tmp_path / "trace"
    np.save(four / name, np.array({"vmin": 1.0, "x": Malice(trace)}, dtype=object), allow_pickle=True)
    with pytest.raises(PickleRefusedError, match=f"{name}: refused, and nothing of it was run"):
        read(four)
    assert not trace.exists()
    np.load(four / name, allow_pickle=True)
    assert trace.exists()  # the trap works


@pytest.mark.parametrize("content", [b"", b"junk", b"\x93NUMPY\x01\x00", b"\x80\x04."])
def test_damaged_metadata_are_named(four: Path, content: bytes) -> None:
    (four / "metadata.npy").write_bytes(content)
    with pytest.raises(SourceError, match=r"metadata\.npy"):
        read(four)


def test_metadata_that_are_no_dict_are_named(four: Path) -> None:
    np.save(four / "metadata.npy", np.arange(4))
    with pytest.raises(SourceError, match=r"metadata\.npy: expected a pickled dict with file_index, found ndarray"):
        read(four)


# Bounds


@pytest.mark.parametrize(
    "stated",
    [
        {"vmin": 14.77, "vmax": 24.54},
        {"global_bounds": (14.77, 24.54)},
        {"bounds": {"vv": [14.77, 24.54], "vh": [1, 2]}},
    ],
)
def test_bounds_come_from_the_metadata(four: Path, stated: dict[str, Any]) -> None:
    save_metadata(four, **stated)
    bounds = read(four).bounds["vv"]
    assert (bounds.vmin, bounds.vmax, bounds.origin) == (14.77, 24.54, str(four / "metadata.npy"))


@pytest.mark.parametrize(
    "stated", [{"vmin": 14.77, "vmax": 24.54}, [14.77, 24.54], {"vv": {"vmin": 14.77, "vmax": 24.54}}]
)
def test_bounds_come_from_the_bounds_file(four: Path, stated: Any) -> None:
    data = np.array(stated, dtype=object) if isinstance(stated, dict) else np.array(stated)
    np.save(four / "global_bounds.npy", data, allow_pickle=True)
    bounds = read(four).bounds["vv"]
    assert (bounds.vmin, bounds.vmax, bounds.origin) == (14.77, 24.54, str(four / "global_bounds.npy"))


def test_each_polarization_has_its_own_bounds(tmp_path: Path) -> None:
    for polarization in ("vv", "vh"):
        save_shard(tmp_path / f"a-{polarization}.npy")
    save_metadata(tmp_path, global_bounds={"vv": [14.77, 24.54], "vh": [8.5, 19.25]})
    bounds = read(tmp_path).bounds
    assert {name: (value.vmin, value.vmax) for name, value in bounds.items()} == {
        "vv": (14.77, 24.54),
        "vh": (8.5, 19.25),
    }


def test_equal_bounds_in_two_precisions_agree(four: Path) -> None:
    save_metadata(four, vmin=14.77, vmax=24.54)
    np.save(four / "global_bounds.npy", np.array([14.77, 24.54], np.float32))
    assert np.float32(read(four).bounds["vv"].vmin) == np.float32(14.77)


def test_bounds_that_contradict_each_other_are_an_error(four: Path) -> None:
    save_metadata(four, vmin=14.77, vmax=24.54)
    np.save(four / "global_bounds.npy", np.array([14.77, 24.55]))
    with pytest.raises(BoundsError, match=r"metadata.npy says 14.77 to 24.54 dB, .* 14.77 to 24.55 dB; give .* --vmin"):
        read(four)
    assert read(four, with_bounds=False).bounds == {}


def test_bounds_that_are_not_asked_for_are_not_read(four: Path) -> None:
    (four / "global_bounds.npy").write_bytes(b"junk")
    assert len(read(four, with_bounds=False).shards) == 4
    with pytest.raises(SourceError, match=r"global_bounds\.npy"):
        read(four)


def test_a_bounds_file_without_bounds_is_an_error(four: Path) -> None:
    np.save(four / "global_bounds.npy", np.array([1.0, 2.0, 3.0]))
    with pytest.raises(BoundsError, match=r"global_bounds\.npy: found no bounds of vv"):
        read(four)


def test_bounds_are_the_same_where_they_scale_alike() -> None:
    assert same_bounds(Bounds(14.77, 24.54), Bounds(float(np.float32(14.77)), float(np.float32(24.54)), "other"))
    assert not same_bounds(Bounds(14.77, 24.54), Bounds(14.78, 24.54))
    assert not same_bounds(Bounds(14.77, 24.54), Bounds(14.77, 24.55))
