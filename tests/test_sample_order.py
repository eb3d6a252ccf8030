"""The order of an epoch: each sample as often as it should come, the same everywhere, another in every epoch."""

from __future__ import annotations

import time
from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sar_h5.samplers.order import block_shuffled_order, choose_subset, shuffled_order, weighted_order

COUNTS = st.integers(0, 300)
SEEDS = st.integers(-(2**70), 2**70)
SCENES = st.lists(st.sampled_from([-3, 0, 1, 7, 10**12]), max_size=120).map(lambda scenes: np.array(scenes, np.int64))

FROZEN = {
    "shuffled": [9, 1, 5, 2, 4, 7, 8, 6, 0, 3],
    "big": [5, 7, 6, 8, 9, 2, 4, 3, 0, 1],
    "blocks": [5, 9, 4, 8, 0, 1, 6, 7, 2, 3],
    "subset": [1, 3, 4, 6],
    "weighted": [7, 6, 3, 2, 7, 5, 5, 6],
}


@given(COUNTS, SEEDS, SEEDS, st.integers(1, 50), st.integers(1, 9))
def test_shuffles_hold_every_sample_once(count: int, seed: int, epoch: int, block: int, blocks: int) -> None:
    for order in (
        shuffled_order(count, seed, epoch),
        block_shuffled_order(count, seed, epoch, block=block, blocks_in_memory=blocks),
    ):
        assert order.dtype == np.int64
        assert sorted(order.tolist()) == list(range(count))


def test_orders_stay_what_they_are_for_ever() -> None:
    # A checkpoint can be continued only where they do: never change these.
    scenes = np.array([0, 0, 0, 0, 0, 1, 1, 5])
    assert shuffled_order(10, 0, 0).tolist() == FROZEN["shuffled"]
    assert shuffled_order(10, -7, 2**65).tolist() == FROZEN["big"]
    assert block_shuffled_order(10, 1, 2, block=2, blocks_in_memory=2).tolist() == FROZEN["blocks"]
    assert choose_subset(8, 4, 3, 1, scenes=scenes).tolist() == FROZEN["subset"]
    assert weighted_order(scenes, [Fraction(1), Fraction(2), Fraction(1)], 8, 0, 4).tolist() == FROZEN["weighted"]


def test_seeds_and_epochs_give_orders_of_their_own() -> None:
    orders = {tuple(shuffled_order(50, seed, epoch).tolist()) for seed in range(-5, 5) for epoch in range(10)}
    assert len(orders) == 100


def test_every_sample_is_as_likely_at_every_place() -> None:
    epochs = 4000
    places = np.zeros((6, 6))
    for epoch in range(epochs):
        places[shuffled_order(6, 0, epoch), np.arange(6)] += 1
    expected = epochs / 6
    # The 99.99 % point of the chi-square distribution with 25 degrees of freedom.
    assert ((places - expected) ** 2 / expected).sum() < 62.0


@given(st.integers(1, 300), st.integers(1, 40), st.integers(1, 9))
def test_windows_are_whole_blocks_and_each_block_is_in_one(count: int, block: int, in_memory: int) -> None:
    order = block_shuffled_order(count, 3, 5, block=block, blocks_in_memory=in_memory)
    blocks = order // block
    seen: set[int] = set()
    start = 0
    while start < count:
        # A window ends where as many blocks as fit into memory have come in full.
        window: set[int] = set()
        remaining = len(set(blocks.tolist())) - len(seen)
        size = start
        while size < count and len(window | {int(blocks[size])}) <= min(in_memory, remaining):
            window.add(int(blocks[size]))
            size += 1
        assert not window & seen
        assert size - start == sum(min(block, count - number * block) for number in window)
        seen |= window
        start = size


@given(SCENES, st.data())
def test_a_subset_gives_each_scene_its_share_and_has_the_size_asked_for(
    scenes: np.ndarray, data: st.DataObject
) -> None:
    n = data.draw(st.integers(0, len(scenes)))
    chosen = choose_subset(len(scenes), n, 11, scenes=scenes)
    assert len(chosen) == n
    assert (np.diff(chosen) > 0).all()
    for scene in set(scenes.tolist()):
        exact = n * (scenes == scene).sum() / len(scenes)
        assert abs((scenes[chosen] == scene).sum() - exact) < 1


def test_leftovers_go_to_the_largest_remainders_and_ties_are_drawn() -> None:
    scenes = np.repeat([0, 1, 2], [10, 6, 5])
    chosen = choose_subset(21, 4, 0, scenes=scenes)  # 1.90, 1.14 and 0.95
    assert np.bincount(scenes[chosen]).tolist() == [2, 1, 1]
    alike = np.arange(40) // 2  # 20 scenes of which 10 get a sample
    drawn = [choose_subset(40, 10, 0, epoch, scenes=alike) // 2 for epoch in range(60)]
    assert set(np.concatenate(drawn).tolist()) == set(range(20))


def test_a_subset_without_scenes_is_drawn_from_all_alike() -> None:
    counts = np.zeros(20)
    for seed in range(2000):
        chosen = choose_subset(20, 5, seed)
        assert len(set(chosen.tolist())) == 5
        counts[chosen] += 1
    # The 99.99 % point with 19 degrees of freedom is 52; without replacement the statistic is smaller by 15 / 19.
    assert ((counts - 500) ** 2 / 500).sum() < 52.0


@given(SCENES.filter(len), st.data(), st.integers(0, 400))
def test_weights_are_met_to_within_one_sample_and_samples_of_a_scene_come_alike(
    scenes: np.ndarray, data: st.DataObject, n: int
) -> None:
    numbers = np.unique(scenes)
    weight = st.floats(0, 1e300, allow_subnormal=False)
    drawn = data.draw(st.lists(weight, min_size=len(numbers), max_size=len(numbers)).filter(any))
    weights = [Fraction(number) for number in drawn]
    order = weighted_order(scenes, weights, n, 2, 3)
    assert len(order) == n
    times = np.bincount(order, minlength=len(scenes))
    for number, share in zip(numbers, weights, strict=True):
        own = times[scenes == number]
        assert abs(int(own.sum()) - n * share / sum(weights)) < 1
        assert own.max() - own.min() <= 1


def test_a_small_share_shows_all_of_its_scene_in_time() -> None:
    scenes = np.repeat([0, 1], [50, 5])
    seen = {int(sample) for epoch in range(40) for sample in weighted_order(scenes, [Fraction(1)] * 2, 20, 0, epoch)}
    assert seen == set(range(55))


def test_an_epoch_of_the_real_size_takes_well_under_a_second_each() -> None:
    count = 720_953
    scenes = np.repeat(np.arange(120, dtype=np.int32), 6008)[:count]
    scenes = np.append(scenes, np.zeros(count - len(scenes), dtype=np.int32))
    for make in (
        lambda: shuffled_order(count, 0, 1),
        lambda: block_shuffled_order(count, 0, 1, block=64, blocks_in_memory=256),
        lambda: choose_subset(count, count // 10, 0, scenes=scenes),
        lambda: weighted_order(scenes, [Fraction(1)] * 120, count, 0, 1),
    ):
        spent = []
        for _ in range(3):
            start = time.perf_counter()
            make()
            spent.append(time.perf_counter() - start)
        assert min(spent) < 1  # 0.03 to 0.13 s on a machine with nothing else to do
