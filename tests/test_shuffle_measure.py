"""How random an order is: 1 for a full shuffle, and less, in the way that is stated, for others."""

from __future__ import annotations

import numpy as np
import pytest

from sar_h5.errors import SettingError
from sar_h5.samplers.order import block_shuffled_order, shuffled_order
from sar_h5.samplers.shuffle_measure import measure_shuffle

COUNT, BATCH = 60_000, 64
SCENES = np.repeat(np.arange(60), COUNT // 60)


def test_a_full_shuffle_measures_one() -> None:
    found = measure_shuffle(shuffled_order(COUNT, 0, 0), SCENES, BATCH)
    assert found.neighbour_distance == pytest.approx(1, abs=0.02)
    assert found.groups_per_batch == pytest.approx(1, abs=0.02)
    assert found.effective_batch == pytest.approx(1, abs=0.05)


def test_the_order_of_the_file_measures_next_to_nothing() -> None:
    found = measure_shuffle(np.arange(COUNT), np.arange(COUNT) // BATCH, BATCH)
    assert found.neighbour_distance == pytest.approx(3 / COUNT)
    assert found.effective_batch == pytest.approx(1 / BATCH, rel=0.01)
    assert found.groups_per_batch == pytest.approx(1 / BATCH, rel=0.05)


def test_a_batch_of_few_groups_is_measured_by_hand() -> None:
    found = measure_shuffle(np.array([0, 2, 1, 3]), np.array([0, 0, 1, 1]), 2)
    assert found.neighbour_distance == pytest.approx((2 + 1 + 2) / 3 / (4 / 3))
    assert found.groups_per_batch == pytest.approx(2 / (2 * (1 - 2 / 4 * 1 / 3)))
    assert found.effective_batch > 1e300  # both batches have exactly the dataset's shares


@pytest.mark.parametrize(("block", "in_memory"), [(64, 16), (16, 64), (64, 64), (16, 256)])
def test_blocks_in_memory_decide_what_a_batch_is_worth(block: int, in_memory: int) -> None:
    order = block_shuffled_order(COUNT, 0, 1, block=block, blocks_in_memory=in_memory)
    found = measure_shuffle(order, SCENES, BATCH)
    assert found.effective_batch == pytest.approx(in_memory / (in_memory + BATCH), rel=0.15)


def test_the_figures_of_the_documentation_are_those_of_the_real_size() -> None:
    count = 720_953
    sizes = np.random.default_rng(0).multinomial(count, np.random.default_rng(1).dirichlet(np.full(60, 8.0)))
    scenes = np.repeat(np.arange(60), sizes)
    found = measure_shuffle(block_shuffled_order(count, 0, 1, block=64, blocks_in_memory=256), scenes, 64)
    assert found.neighbour_distance == pytest.approx(0.995, abs=0.003)
    assert found.groups_per_batch == pytest.approx(0.94, abs=0.02)
    assert found.effective_batch == pytest.approx(0.81, abs=0.02)


@pytest.mark.parametrize(
    ("groups", "batch"), [([0, 1, 0], 2), ([0, 1, 0, 1], 4), ([0, 1, 0, 1], 1), ([0, 0, 0, 0], 2), ([], 2)]
)
def test_what_cannot_be_measured_is_refused(groups: list[int], batch: int) -> None:
    with pytest.raises(SettingError, match=rf"found 4 samples, {len(groups)} of \d groups, batch_size={batch}"):
        measure_shuffle(np.arange(4), np.array(groups), batch)
