"""Windows of scenes: the values that a conversion gives, in any order, thread and process, with bounded memory."""

from __future__ import annotations

import os
import pickle
import threading
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sar_h5.errors import CorruptPatchError, SettingError
from sar_h5.radiometry import Bounds, preprocess_sar_complete
from sar_h5.sources.discovery import discover
from sar_h5.sources.rasters import OpenScene
from sar_h5.stores.scene_windows import SceneWindows
from sar_h5.symmetry import apply_symmetry
from sar_h5.tiling import Edge, PatchGrid
from sar_h5.units import Units
from tests.conftest import make_dn
from tests.raster_files import write_raster

BOUNDS = Bounds(14.77, 24.54)


@pytest.fixture
def images(tmp_path: Path) -> list[np.ndarray]:
    """Two scenes, one in strips of a row, one in tiles and smaller than a window of 64 in one direction."""
    images = [make_dn(1, (150, 200)), make_dn(2, (50, 300))]
    images[0][:20] = 0
    write_raster(tmp_path / "a-vv.tif", images[0], blockysize=1, compress="deflate")
    write_raster(tmp_path / "b-vv.tif", images[1], tiled=True, blockxsize=32, blockysize=16, compress="deflate")
    return [preprocess_sar_complete(image, BOUNDS.vmin, BOUNDS.vmax)[0] for image in images]


def open_store(directory: Path, size: int = 64, stride: int = 48, edge: Edge = "shift", **options: Any) -> SceneWindows:
    scenes = discover([directory]).rasters["vv"]
    return SceneWindows(str(directory), scenes, Units.DN, BOUNDS, PatchGrid(size, stride), edge, **options)


def read(store: SceneWindows, numbers: Any, symmetries: Any = None, threads: int = 1) -> np.ndarray:
    out = np.full((len(numbers), *store.shape[1:]), np.nan, dtype=np.float32)
    turns = None if symmetries is None else np.array(symmetries, dtype=np.uint8)
    store.values(np.array(numbers, dtype=np.int64), out, turns, threads)
    return out[:, 0]


def cut(image: np.ndarray, row: int, col: int, size: int) -> np.ndarray:
    padded = np.zeros((image.shape[0] + size, image.shape[1] + size), dtype=np.float32)
    padded[: image.shape[0], : image.shape[1]] = image
    return padded[row : row + size, col : col + size]


def expected_windows(store: SceneWindows, images: list[np.ndarray]) -> np.ndarray:
    places = zip(*(store.index()[name] for name in ("scene", "row", "col")), strict=True)
    return np.stack([cut(images[scene], row, col, store.shape[2]) for scene, row, col in places])


@pytest.mark.parametrize("edge", ["shift", "pad", "drop"])
@pytest.mark.parametrize("cache_nbytes", [0, 30_000, 1 << 20])
@pytest.mark.parametrize("threads", [1, 4])
def test_windows_are_the_reference_pipeline_at_their_place(
    tmp_path: Path, images: list[np.ndarray], edge: Edge, cache_nbytes: int, threads: int
) -> None:
    store = open_store(tmp_path, edge=edge, cache_nbytes=cache_nbytes, most_open=2)
    assert store.shape == ({"shift": 12 + 6, "pad": 12 + 6, "drop": 6}[edge], 1, 64, 64)
    expected = expected_windows(store, images)
    assert read(store, range(len(expected)), threads=threads).tobytes() == expected.tobytes()
    generator = np.random.default_rng(0)
    numbers, symmetries = generator.integers(0, len(expected), 40), generator.integers(0, 8, 40)
    for found, number, symmetry in zip(read(store, numbers, symmetries, threads), numbers, symmetries, strict=True):
        assert np.array_equal(found, apply_symmetry(expected[number], symmetry))


def test_places_are_row_by_row_and_reach_the_end(tmp_path: Path, images: list[np.ndarray]) -> None:
    assert len(images) == 2
    index = open_store(tmp_path).index()
    assert index["scene"].tolist() == [0] * 12 + [1] * 6
    assert index["row"].tolist() == [*np.repeat([0, 48, 86], 4), *[0] * 6]
    assert index["col"].tolist() == [0, 48, 96, 136] * 3 + [0, 48, 96, 144, 192, 236]
    assert open_store(tmp_path).scenes()["name"].tolist() == ["a", "b"]


def test_each_strip_is_read_once_in_order(
    tmp_path: Path, images: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = []
    read_window = OpenScene.read

    def note(self: OpenScene, row: int, col: int, height: int, width: int) -> Any:
        rows.append((row, row + height, width))
        return read_window(self, row, col, height, width)

    monkeypatch.setattr(OpenScene, "read", note)
    store = open_store(tmp_path)
    for number in range(12):
        assert read(store, [number]).shape == (1, 64, 64)
    assert rows == [(0, 64, 200), (64, 128, 200), (128, 150, 200)]
    assert len(images) == 2


def test_memory_and_open_rasters_are_bounded(
    tmp_path: Path, images: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, lock, most = 0, threading.Lock(), 0
    make, close = OpenScene.__init__, OpenScene.close

    def count_open(self: OpenScene, *arguments: Any) -> None:
        nonlocal opened, most
        with lock:
            opened += 1
            most = max(most, opened)
        make(self, *arguments)

    def count_close(self: OpenScene) -> None:
        nonlocal opened
        with lock:
            opened -= 1
        close(self)

    monkeypatch.setattr(OpenScene, "__init__", count_open)
    monkeypatch.setattr(OpenScene, "close", count_close)
    store = open_store(tmp_path, cache_nbytes=40_000, most_open=1)
    expected = expected_windows(store, images)
    assert np.array_equal(read(store, range(18), threads=6), expected)
    assert most == 1
    assert store._cache._kept().nbytes <= 40_000
    store.close()
    assert opened == 0
    assert np.array_equal(read(store, [17]), expected[[17]])


def test_a_pickled_copy_is_small(tmp_path: Path, images: list[np.ndarray]) -> None:
    store = open_store(tmp_path)
    first = read(store, range(18))
    data = pickle.dumps(store)
    assert len(data) < 10_000
    copy = pickle.loads(data)
    assert np.array_equal(read(copy, range(18), threads=2), first)
    assert copy.identity() == store.identity()
    assert open_store(tmp_path, edge="drop").identity() != store.identity()
    assert len(images) == 2


def _answer(store: SceneWindows, answers: Any) -> None:
    answers.put(float(read(store, [3, 16], [1, 6], threads=2).sum()))


@pytest.mark.parametrize("method", ["fork", "spawn"] if hasattr(os, "fork") else ["spawn"])
def test_other_processes_read_the_same(tmp_path: Path, images: list[np.ndarray], method: str) -> None:
    store = open_store(tmp_path)
    expected = float(read(store, [3, 16], [1, 6], threads=2).sum())
    context = get_context(method)
    answers = context.Queue()
    process = context.Process(target=_answer, args=(store, answers))
    process.start()
    assert answers.get(timeout=60) == expected
    process.join(60)
    assert process.exitcode == 0
    assert len(images) == 2


def test_a_window_that_cannot_be_read_is_named_and_the_others_are_read(
    tmp_path: Path, images: list[np.ndarray]
) -> None:
    store = open_store(tmp_path, cache_nbytes=0)
    path = tmp_path / "a-vv.tif"
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(CorruptPatchError, match=r"patch \d+ cannot be read: .*a-vv.tif: expected a readable") as caught:
        read(store, range(18), threads=2)
    assert caught.value.patch in range(12)
    assert "sar-h5 scan" in str(caught.value)
    assert np.array_equal(read(store, [12, 17]), expected_windows(store, images)[[12, 17]])


def test_settings_that_leave_nothing_are_refused(tmp_path: Path, images: list[np.ndarray]) -> None:
    assert len(images) == 2
    with pytest.raises(SettingError, match='no window of 500 x 500 pixels fits into any scene; edge="pad"'):
        open_store(tmp_path, size=500, edge="drop")
    assert open_store(tmp_path, size=500).shape[0] == 2
    with pytest.raises(SettingError, match="expected edge drop, shift, pad; found 'wrap'"):
        open_store(tmp_path, edge="wrap")  # type: ignore[arg-type]
    with pytest.raises(SettingError, match="cache_nbytes of 0 or more bytes; found -1"):
        open_store(tmp_path, cache_nbytes=-1)
    with pytest.raises(SettingError, match="at least 1 open file"):
        open_store(tmp_path, most_open=0)
