"""The order of patches: however a file is taken apart, and in whatever order its parts come, it comes back."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sar_h5.derivation.patch_order import order_patches
from sar_h5.derivation.pieces import Piece, open_piece
from sar_h5.errors import FormatError
from tests.conftest import make_shards
from tests.derived_files import make_file
from tests.raster_files import write_raster


@pytest.fixture(scope="module", params=["shards", "rasters"])
def whole(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Piece]:
    """A file of patches with places, or without."""
    directory = tmp_path_factory.mktemp("file")
    if request.param == "shards":
        make_shards(directory, counts=(6, 1, 4))
    else:
        for name in "abc":
            write_raster(directory / f"{name}-vv.tif")
    options = (
        {}
        if request.param == "shards"
        else {"patch_size": 16, "stride": 8, "vmin": 10.0, "vmax": 30.0, "min_valid": 0.0}
    )
    with open_piece(make_file(directory, directory / "h5", split=False, **options)) as piece:
        yield piece


def take(whole: Piece, numbers: list[int]) -> Piece:
    kept = np.array(sorted(numbers), dtype=np.int64)
    scenes: list[int] = np.unique(whole.found.index["scene"][kept]).tolist()
    return whole.take(kept, tuple(scenes))


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_parts_in_any_order_make_up_the_whole(whole: Piece, data: st.DataObject) -> None:
    count = whole.found.count
    owners = data.draw(st.lists(st.integers(0, 3), min_size=count, max_size=count))
    parts = [[number for number, owner in enumerate(owners) if owner == part] for part in range(4)]
    pieces = [take(whole, part) for part in data.draw(st.permutations(parts)) if part]
    order = order_patches(pieces)
    assert order.number.tolist() == list(range(count))
    assert order.scene.tolist() == whole.found.index["scene"].tolist()
    assert order.left_out.tolist() == [0] * len(whole.scene_names)
    assert order.counts.tolist() == whole.found.scenes["patch_count"].tolist()
    checksums = [piece.found.index["checksum"] for piece in pieces]
    np.testing.assert_array_equal(order.gather(checksums), whole.found.index["checksum"])


@given(data=st.data())
@settings(max_examples=30, deadline=None)
def test_what_is_missing_is_counted_and_positions_stay(whole: Piece, data: st.DataObject) -> None:
    numbers = data.draw(st.sets(st.integers(0, whole.found.count - 1), min_size=1))
    order = order_patches([take(whole, list(numbers))])
    starts = whole.found.scenes["patch_start"][whole.found.index["scene"][order.number]]
    np.testing.assert_array_equal(order.position, order.number - starts)
    scenes = [scene for (_, scene), *_ in order.parts]
    np.testing.assert_array_equal(order.counts + order.left_out, whole.found.scenes["patch_count"][scenes])
    assert (order.origin is not None) == (len(numbers) < whole.found.count)


def test_a_patch_that_two_parts_have_is_refused(whole: Piece) -> None:
    pieces = [take(whole, [0, 1, 2]), take(whole, [2, 3])]
    with pytest.raises(FormatError, match="1 of its patches are there twice; the first is number 2 of"):
        order_patches(pieces)


def test_other_bounds_make_positions_unknown_where_the_grid_is_not_complete(whole: Piece) -> None:
    order = order_patches([whole])
    kept = np.arange(whole.found.count) % 2 == 0
    nothing = np.zeros(len(order.parts), np.int64)
    filtered = order.filter(kept, nothing)
    starts = np.cumsum(filtered.counts) - filtered.counts
    np.testing.assert_array_equal(filtered.position, np.arange(kept.sum()) - starts[filtered.scene])
    assert filtered.left_out.tolist() == [0, 0, 0]
    assert (filtered.filtered + filtered.counts).tolist() == order.counts.tolist()
    partly = order.filter(kept, np.array([0, 3, 0]))
    assert partly.left_out.tolist() == [0, -1, 0]
    assert set(partly.position[partly.scene == 1].tolist()) <= {-1}


def test_hostile_counts_of_control_points_are_cut_to_what_is_there(whole: Piece, tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        path = tmp_path / "a.h5"
        path.write_bytes(whole.path.read_bytes())
        with h5py.File(path, "r+") as f:
            f["scenes/gcp_count"][:] = 1 << 60
            f["scenes/gcp_start"][:] = -5
        piece = stack.enter_context(open_piece(path))
        assert len(piece.scene_gcps(0)) == len(piece.gcps)
