"""Patches in memory: checked once, served as they are, shared with workers."""

from __future__ import annotations

import multiprocessing
import pickle
from typing import Any

import numpy as np
import pytest

from sar_h5.errors import FormatError, SettingError
from sar_h5.stores.array_patches import ArrayPatches
from sar_h5.symmetry import apply_symmetry


def make_patches(shape: tuple[int, ...] = (6, 2, 9, 9), seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random(shape, dtype=np.float32)


def read(store: ArrayPatches, numbers: list[int], symmetries: list[int] | None = None, threads: int = 1) -> np.ndarray:
    out = np.full((len(numbers), *store.shape[1:]), np.nan, dtype=np.float32)
    turns = None if symmetries is None else np.array(symmetries, dtype=np.uint8)
    store.values(np.array(numbers, dtype=np.int64), out, turns, threads)
    return out


@pytest.mark.parametrize("threads", [1, 3])
def test_values_are_those_of_the_array_under_each_symmetry(threads: int) -> None:
    patches = make_patches()
    numbers, symmetries = [5, 0, 5, 3, 1, 2, 4, 0], list(range(8))
    found = read(ArrayPatches(patches), numbers, symmetries, threads)
    for number, symmetry, values in zip(numbers, symmetries, found, strict=True):
        for channel in (0, 1):
            assert np.array_equal(values[channel], apply_symmetry(patches[number, channel], symmetry))


def test_an_array_without_channels_has_one() -> None:
    patches = make_patches((4, 5, 7))
    store = ArrayPatches(patches)
    assert store.shape == (4, 1, 5, 7)
    assert np.array_equal(read(store, [3, 0])[:, 0], patches[[3, 0]])


def test_the_array_is_used_as_it_is_and_never_written_to() -> None:
    patches = make_patches()
    patches.flags.writeable = False
    store = ArrayPatches(patches)
    assert np.shares_memory(store._patches, patches)
    assert np.array_equal(read(store, [2]), patches[[2]])


def test_other_orders_and_floats_are_copied_where_nothing_changes() -> None:
    patches = make_patches()
    for given in (np.asfortranarray(patches), patches.astype(np.float64), patches.astype(">f4")):
        assert np.array_equal(read(ArrayPatches(given), [1, 4]), patches[[1, 4]])
    half = patches.astype(np.float16)
    assert np.array_equal(read(ArrayPatches(half), [0]), half[[0]].astype(np.float32))


@pytest.mark.parametrize(
    ("patches", "message"),
    [
        (make_patches().astype(np.float64) / 3, "found float64 with values that float32 does not hold"),
        ((make_patches() * 200).astype(np.uint8), "found uint8: integers are digital numbers or codes"),
        (make_patches().astype(np.complex64), "found complex64"),
        (np.full((2, 3, 3), 1e300), "found float64"),
        (np.ones((3, 4), np.float32), r"\(N, C, H, W\), none of them 0; found \(3, 4\)"),
        (np.ones((0, 4, 4), np.float32), r"found \(0, 4, 4\)"),
        (np.ones((3, 4, 0), np.float32), r"found \(3, 4, 0\)"),
        (np.float64(0.5), r"found \(\)"),
    ],
)
def test_what_would_change_or_has_no_patches_is_refused(patches: np.ndarray, message: str) -> None:
    with pytest.raises(SettingError, match=message):
        ArrayPatches(patches)


@pytest.mark.parametrize(
    ("value", "message"),
    [(np.nan, r"patch 4 holds NaN \(1 of 162 pixels\)"), (-3.5, "such as -3.5"), (1.0000001, "such as 1.0000001")],
)
def test_values_outside_the_range_are_refused_with_their_patch(value: float, message: str) -> None:
    patches = make_patches()
    patches[4, 1, 2, 3] = value
    with pytest.raises(FormatError, match=message):
        ArrayPatches(patches)
    with pytest.raises(FormatError, match="patch 0 holds"):
        ArrayPatches(np.full((2, 3, 3), 2.5))


def test_places_are_unknown_unless_given() -> None:
    store = ArrayPatches(make_patches())
    assert store.index()["scene"].tolist() == [0] * 6
    assert store.index()["row"].tolist() == store.index()["col"].tolist() == [-1] * 6
    assert store.scenes()["name"].tolist() == [""]
    assert np.isnan(store.scenes()["transform"]).all()
    given = ArrayPatches(
        make_patches(),
        index={"scene": [0, 0, 1, 1, 1, 1], "row": range(6), "label": list("abcdef")},
        scenes={"name": ["a", "b"], "transform": np.ones((2, 6))},
    )
    assert given.index()["row"].tolist() == [0, 1, 2, 3, 4, 5]
    assert given.index()["label"].tolist() == list("abcdef")
    assert given.scenes()["name"].tolist() == ["a", "b"]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"index": {"row": [1, 2]}}, r"index\['row'\] as 6 integers, one for each patch; found int64 of shape \(2,\)"),
        ({"index": {"col": [0.5] * 6}}, "found float64"),
        ({"index": {"scene": [0, 1, 0, 0, 0, 0]}}, "numbers of the 1 scenes, found 0 to 1"),
        ({"index": {"scene": [0, -1, 0, 0, 0, 0]}}, "found -1 to 0"),
        ({"scenes": {"name": ["a", "b"], "transform": np.ones((1, 6))}}, r"'transform'\] of shape \(2, 6\)"),
        ({"scenes": {"name": ["a", "b"], "platform": ["S1A"]}}, r"scenes\['platform'\] of shape \(2,\)"),
    ],
)
def test_columns_that_do_not_fit_are_refused(columns: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        ArrayPatches(make_patches(), **columns)


def _report(store: ArrayPatches, answers: Any) -> None:
    shared = store._shared is not None and store._shared.is_shared()
    answers.put((shared, float(read(store, [5], [3]).sum())))


def test_processes_started_fresh_share_one_copy() -> None:
    patches = make_patches()
    store = ArrayPatches(patches)
    expected = float(read(store, [5], [3]).sum())
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    processes = [context.Process(target=_report, args=(store, answers)) for _ in range(2)]
    for process in processes:
        process.start()
    assert [answers.get(timeout=60) for _ in processes] == [(True, expected)] * 2
    for process in processes:
        process.join(60)
    assert not np.shares_memory(store._patches, patches)  # this process uses the shared copy as well
    assert np.array_equal(read(store, [1]), patches[[1]])


def test_a_pickled_store_holds_its_patches() -> None:
    patches = make_patches()
    copy = pickle.loads(pickle.dumps(ArrayPatches(patches)))
    assert np.array_equal(read(copy, [1, 0], threads=2), patches[[1, 0]])
