from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sar_h5.errors import BoundsError, PickleRefusedError, SarH5Error, SourceError
from sar_h5.radiometry import Bounds
from sar_h5.sources.bounds_file import find_bounds, read_bounds_file

PAIR = {"vmin": 14.77, "vmax": 24.54}
OTHER = {"vmin": 8.5, "vmax": 19.25}


def ends(bounds: Bounds | None) -> tuple[float, float] | None:
    return None if bounds is None else (bounds.vmin, bounds.vmax)


@pytest.mark.parametrize(
    "data",
    [
        PAIR,
        {"VMIN": 14.77, "Vmax": 24.54},
        {"vmin": np.float64(14.77), "vmax": np.array(24.54)},
        [14.77, 24.54],
        (14.77, 24.54),
        np.array([14.77, 24.54]),
        {"vv": PAIR, "vh": OTHER},
        {"VV": [14.77, 24.54], "VH": [8.5, 19.25]},
        {"global_bounds": PAIR},
        {"bounds": (14.77, 24.54)},
        {"clip_bounds": {"vh": OTHER, "vv": PAIR}},
        {"file_index": [], "bounds": {"global_bounds": np.array([14.77, 24.54])}},
        {"vv": 17, "global_bounds": PAIR},  # a count by polarization beside the bounds
        {"vv": ["a.npy", "b.npy"], "bounds": PAIR},
        {"vv": None, "global_bounds": None, "bounds": PAIR},
    ],
)
def test_bounds_are_found_in_every_form_that_people_keep_them(data: object) -> None:
    bounds = find_bounds(data, "vv", "somewhere")
    assert ends(bounds) == (14.77, 24.54)
    assert bounds is not None
    assert bounds.origin == "somewhere"


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"vmin": 14.77},
        {"vh": PAIR},
        {"bounds": None},
        {"global_bounds": {"vh": PAIR}},
        None,
        3.5,
        "14.77 24.54",
        [1.0],
        [1.0, 2.0, 3.0],
        ["a", "b"],
        [True, False],
        [[1, 2], 3],
        np.array([[1.0, 2.0], [3.0, 4.0]]),
        np.array(3.0),
    ],
)
def test_data_without_bounds_give_none(data: object) -> None:
    assert find_bounds(data, "vv", "somewhere") is None


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"vmin": 24.54, "vmax": 14.77}, "vmin must be below vmax"),
        ({"vmin": 3, "vmax": 3}, "vmin must be below vmax"),
        ([np.nan, 3.0], "must be finite"),
        ([0.0, np.inf], "must be finite"),
        ({"vmin": "low", "vmax": 3}, "expected vmin and vmax as numbers in dB, found 'low' and 3"),
        ({"vmin": None, "vmax": 3}, "expected vmin and vmax as numbers in dB, found None and 3"),
        ({"vmin": [1.0], "vmax": [2.0]}, "expected vmin and vmax as numbers"),
        ({"vmin": np.array([1.0, 2.0]), "vmax": 3}, "expected vmin and vmax as numbers"),
        ({"vmin": {"vv": 1}, "vmax": {"vv": 2}}, "expected vmin and vmax as numbers"),
        ({"vmin": 0, "vmax": 10**400}, "expected vmin and vmax as numbers"),
        ({"vv": {"vmin": 5, "vmax": 4}}, "vmin must be below vmax"),
    ],
)
def test_bounds_that_are_none_are_refused_with_their_origin(data: object, message: str) -> None:
    with pytest.raises(BoundsError, match=message) as caught:
        find_bounds(data, "vv", "the/file")
    assert "the/file" in str(caught.value)
    assert len(str(caught.value)) < 400


def write_npy(path: Path, data: Any) -> None:
    with path.open("wb") as file:
        np.save(file, np.array(data, dtype=object) if isinstance(data, dict) else np.array(data), allow_pickle=True)


def write_pickle(path: Path, data: Any, protocol: int = 4) -> None:
    path.write_bytes(pickle.dumps(data, protocol))


@pytest.mark.parametrize("name", ["bounds.npy", "bounds.pkl", "bounds.json", "bounds"])
@pytest.mark.parametrize("data", [PAIR, [14.77, 24.54], {"vv": PAIR, "vh": OTHER}])
def test_a_file_is_told_apart_by_its_content(tmp_path: Path, name: str, data: Any) -> None:
    path = tmp_path / name
    write_npy(path, data)
    assert ends(read_bounds_file(path, "vv")) == (14.77, 24.54)
    for protocol in range(6):
        write_pickle(path, data, protocol)
        assert ends(read_bounds_file(path, "vv")) == (14.77, 24.54)
    path.write_text(json.dumps(data))
    bounds = read_bounds_file(path, "vv")
    assert ends(bounds) == (14.77, 24.54)
    assert bounds.origin == str(path)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("blanks", ["", "\r\n  "])
def test_json_of_windows_editors_and_shells_is_read(tmp_path: Path, encoding: str, blanks: str) -> None:
    path = tmp_path / "bounds.json"
    path.write_bytes((blanks + json.dumps(PAIR, indent=1)).encode(encoding))
    assert ends(read_bounds_file(path, "vv")) == (14.77, 24.54)


def test_each_polarization_gets_its_own(tmp_path: Path) -> None:
    write_npy(tmp_path / "bounds.npy", {"vv": PAIR, "vh": OTHER})
    assert ends(read_bounds_file(tmp_path / "bounds.npy", "vv")) == (14.77, 24.54)
    assert ends(read_bounds_file(tmp_path / "bounds.npy", "vh")) == (8.5, 19.25)
    with pytest.raises(BoundsError, match=r"bounds\.npy: found no bounds of hh; expected a dict with vmin and vmax"):
        read_bounds_file(tmp_path / "bounds.npy", "hh")


@pytest.mark.parametrize("text", ["{}", "[]", '{"vmin": 3}', "[[1, 2], 3]", '["1", "2"]'])
def test_a_file_without_bounds_says_what_was_expected(tmp_path: Path, text: str) -> None:
    (tmp_path / "bounds.json").write_text(text)
    with pytest.raises(BoundsError, match=r'found no bounds of vv; .* JSON such as \{"vmin": 14.77, "vmax": 24.54\}'):
        read_bounds_file(tmp_path / "bounds.json", "vv")


@pytest.mark.parametrize("text", ["{", '{"vmin": 1, "vmax": }', "[1, 2", "{vmin: 1}", "[" * 100_000, "[" + "9" * 9999])
def test_broken_json_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "bounds.json").write_text(text)
    with pytest.raises(BoundsError, match=r"bounds\.json: expected JSON, but it cannot be parsed: "):
        read_bounds_file(tmp_path / "bounds.json", "vv")


def test_numbers_that_json_allows_and_bounds_do_not_are_refused(tmp_path: Path) -> None:
    for text in ('{"vmin": NaN, "vmax": 3}', '{"vmin": 0, "vmax": 1e999}', '{"vmin": 0, "vmax": 1' + "0" * 400 + "}"):
        (tmp_path / "bounds.json").write_text(text)
        with pytest.raises(BoundsError, match=r"bounds\.json"):
            read_bounds_file(tmp_path / "bounds.json", "vv")


@pytest.mark.parametrize("content", [b"", b"14.77 24.54", b"vmin = 14.77", b"\x80", b"\x93NUMPY", bytes(100)])
def test_a_file_of_another_kind_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bounds.txt").write_bytes(content)
    with pytest.raises(SourceError, match=r"bounds\.txt: "):
        read_bounds_file(tmp_path / "bounds.txt", "vv")


def test_a_file_that_is_missing_a_folder_or_a_whole_shard_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"gone\.npy: the bounds file cannot be read: No such file"):
        read_bounds_file(tmp_path / "gone.npy", "vv")
    with pytest.raises(SourceError, match="the bounds file cannot be read: "):
        read_bounds_file(tmp_path, "vv")
    np.save(tmp_path / "shard.npy", np.zeros((3, 16, 16), np.float32))
    with pytest.raises(BoundsError, match="found no bounds of vv"):
        read_bounds_file(tmp_path / "shard.npy", "vv")


class Malice:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("suffix", ["npy", "pkl"])
def test_a_malicious_pickle_is_refused_and_not_run(tmp_path: Path, suffix: str) -> None:
    path, trace = tmp_path / f"bounds.{suffix}", tmp_path / "trace"
    data = {"vmin": Malice(trace), "vmax": 3.0}
    write_npy(path, data) if suffix == "npy" else write_pickle(path, data)
    with pytest.raises(PickleRefusedError, match="nothing of it was run"):
        read_bounds_file(path, "vv")
    assert not trace.exists()
    pickle.loads(pickle.dumps(Malice(trace)))
    assert trace.exists()  # the trap works


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.one_of(st.binary(max_size=100), st.text('[]{}",:.0123456789eE+-vminxa \n', max_size=60).map(str.encode)))
def test_any_content_gives_bounds_or_an_error_of_ours(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bounds"
    path.write_bytes(content)
    try:
        bounds = read_bounds_file(path, "vv")
    except SarH5Error as error:
        assert str(path) in str(error)  # noqa: PT017 - some contents are bounds
    else:
        assert bounds.vmin < bounds.vmax
