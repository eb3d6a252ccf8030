"""Blocks announced to the operating system: the right bytes, each once, before they are read."""

from __future__ import annotations

import os
import pickle
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sar_h5 import BlockShuffleSampler, SARH5Dataset
from sar_h5.samplers.announcement import PatchAnnouncer, byte_ranges
from tests.block_files import block_place, blocks_of, overlapping_codes, to_blocks
from tests.patch_files import chunk_place, make_codes, make_lut, write_file

COUNT = 64
pytestmark = pytest.mark.skipif(not hasattr(os, "posix_fadvise"), reason="this system takes no advice")

Advice = list[tuple[int, int]]


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of 64 patches of more than a page each, but for the first."""
    codes = make_codes((COUNT, 64, 64), 300, "<u2")
    return write_file(tmp_path_factory.mktemp("h5") / "a.h5", codes, make_lut(300))


@pytest.fixture
def advice(monkeypatch: pytest.MonkeyPatch) -> Advice:
    """What the operating system was advised: offset and length, in order."""
    given: Advice = []

    def note(_descriptor: int, offset: int, nbytes: int, advised: int) -> None:
        assert advised == os.POSIX_FADV_WILLNEED
        given.append((offset, nbytes))

    monkeypatch.setattr(os, "posix_fadvise", note)
    return given


def covers(advice: Advice, place: tuple[int, int]) -> int:
    """How often the bytes of a chunk were announced."""
    return sum(offset <= place[0] and place[0] + place[1] <= offset + nbytes for offset, nbytes in advice)


@given(st.lists(st.tuples(st.integers(0, 100_000), st.integers(0, 9_000)), max_size=30))
def test_runs_cover_every_chunk_and_join_what_is_close(places: list[tuple[int, int]]) -> None:
    offsets, sizes = np.array(places, dtype=np.int64).reshape(-1, 2).T
    runs = byte_ranges(offsets, sizes)
    for place in places:
        assert covers(runs, place) == 1
    for (offset, nbytes), (following, _) in pairwise(runs):
        assert following - (offset + nbytes) > 4096
    assert sum(nbytes for _, nbytes in runs) <= sum(sizes.tolist()) + 4096 * len(places)


def test_neighbours_are_one_announcement(file: Path, advice: Advice) -> None:
    announcer = PatchAnnouncer(str(file), np.arange(COUNT))
    announcer.announce(np.array([5, 3, 4]))
    announcer.announce(np.array([40, 0]))
    first, last = chunk_place(file, 3), chunk_place(file, 5)
    assert advice[0] == (first[0], last[0] + last[1] - first[0])
    assert advice[1:] == [chunk_place(file, 0), chunk_place(file, 40)]


def test_it_goes_to_other_processes_and_opens_the_file_there(file: Path, advice: Advice) -> None:
    announcer = PatchAnnouncer(str(file), np.array([7, 9]))
    announcer.announce(np.array([1]))
    pickle.loads(pickle.dumps(announcer)).announce(np.array([1]))
    assert advice == [chunk_place(file, 9)] * 2


def test_blocks_that_patches_share_are_announced_once(tmp_path: Path, advice: Advice) -> None:
    plain = write_file(tmp_path / "plain.h5", overlapping_codes(6, 64, 65536, "<u2"), make_lut(65536))
    path = to_blocks(plain, tmp_path / "blocks.h5", 32, compression=None, compression_opts=None)
    PatchAnnouncer(str(path), np.arange(6)).announce(np.array([1, 2, 4]))
    wanted = {block for number in (1, 2, 4) for block in blocks_of(path, number)}
    assert [covers(advice, block_place(path, block)) for block in sorted(wanted)] == [1] * len(wanted)
    assert sum(nbytes for _, nbytes in advice) <= 32 * 32 * 2 * len(wanted) + 4096  # a gap smaller than a page


def test_layouts_that_only_hdf5_reads_are_not_announced(tmp_path: Path, advice: Advice) -> None:
    codes = make_codes((8, 8, 8), 300, "<u2")
    path = write_file(tmp_path / "a.h5", codes, make_lut(300), chunks=(2, 8, 8))
    PatchAnnouncer(str(path), np.arange(8)).announce(np.arange(8))
    assert advice == []


@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize("start", [0, 18])
def test_every_block_is_announced_once_and_before_its_first_sample(
    file: Path, advice: Advice, start: int, ranks: int
) -> None:
    places = [chunk_place(file, number) for number in range(COUNT)]
    sampler = BlockShuffleSampler(SARH5Dataset(file), block=4, blocks_in_memory=3, rank=ranks - 1, world_size=ranks)
    list(islice(sampler, start // ranks))
    sampler.load_state_dict(sampler.state_dict())
    advice.clear()
    taken: list[int] = []
    for sample in sampler:
        assert covers(advice, places[sample]) == 1
        taken.append(sample)
        # No more than this window, the next one, and what is behind.
        assert sum(covers(advice, place) for place in places) <= start + ranks * len(taken) + 4 * (2 * 3 + 1)
    assert len(taken) == (COUNT - start) // ranks
    # From the beginning of the window in which the iteration began.
    assert sum(covers(advice, place) for place in places) == COUNT - start // 12 * 12


def test_samples_are_announced_by_their_patches(file: Path, advice: Advice) -> None:
    dataset = SARH5Dataset(file, indices=range(COUNT - 1, COUNT - 17, -1))
    next(iter(BlockShuffleSampler(dataset, block=8, blocks_in_memory=1)))
    announced = {number for number in range(COUNT) if covers(advice, chunk_place(file, number))}
    assert announced == set(range(COUNT - 16, COUNT))


@pytest.mark.parametrize("source", [COUNT, np.zeros(COUNT, dtype=int), range(COUNT)])
def test_sources_that_are_no_file_are_not_announced(source: Any, advice: Advice) -> None:
    assert sorted(BlockShuffleSampler(source, block=4, blocks_in_memory=2)) == list(range(COUNT))
    assert advice == []


def test_it_can_be_left_and_systems_without_advice_do_without(
    file: Path, advice: Advice, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = SARH5Dataset(file)
    expected = list(BlockShuffleSampler(COUNT, block=4))
    assert list(BlockShuffleSampler(dataset, block=4, announce=False)) == expected
    assert advice == []
    monkeypatch.delattr(os, "posix_fadvise")
    assert list(BlockShuffleSampler(dataset, block=4)) == expected


@pytest.mark.parametrize("content", [None, b"no HDF5"])
def test_a_file_that_cannot_be_read_is_left_to_who_reads_it(
    tmp_path: Path, content: bytes | None, advice: Advice
) -> None:
    if content is not None:
        (tmp_path / "a.h5").write_bytes(content)
    PatchAnnouncer(str(tmp_path / "a.h5"), np.arange(4)).announce(np.arange(4))
    assert advice == []


def test_advice_that_the_system_refuses_is_not_needed(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: int) -> None:
        raise OSError(22, "no")

    monkeypatch.setattr(os, "posix_fadvise", refuse)
    assert sorted(BlockShuffleSampler(SARH5Dataset(file), block=4)) == list(range(COUNT))
