"""Memory for batches is used again once nobody holds the batch, and never before."""

from __future__ import annotations

import gc
import os
import threading
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from sar_h5.batch_memory import MOST_SPARE, BatchMemory

FLOAT = np.dtype(np.float32)
SHAPE = (3, 1, 16, 16)


def fill(batch: torch.Tensor, value: float) -> torch.Tensor:
    batch.numpy()[...] = value
    return batch


def view_of_numpy(batch: torch.Tensor) -> Any:
    return batch.numpy()


HOLDERS: dict[str, Callable[[torch.Tensor], Any]] = {
    "the batch": lambda batch: batch,
    "a row": lambda batch: batch[1],
    "a slice": lambda batch: batch[1:, :, ::2],
    "another shape": lambda batch: batch.view(-1),
    "detached": lambda batch: batch.detach(),
    "numpy": view_of_numpy,
    "a row of numpy": lambda batch: batch.numpy()[2, 0, 3:],
    "an array of a row": lambda batch: np.asarray(batch[0]),
    "memoryview": lambda batch: memoryview(batch.numpy()),
    "another dtype": lambda batch: batch.view(torch.int32),
    "unbound": lambda batch: list(batch.unbind())[2],
    "storage": lambda batch: batch.untyped_storage(),
    "dlpack": lambda batch: torch.from_dlpack(batch),
    "numpy's dlpack": lambda batch: np.from_dlpack(batch),
    "for a backward pass": lambda batch: (batch * torch.ones(1, requires_grad=True)).grad_fn,
}


def place_of(batch: torch.Tensor) -> int:
    return batch.untyped_storage().data_ptr()


@pytest.mark.parametrize("holder", HOLDERS)
def test_a_batch_that_anybody_holds_stays_as_it_is(holder: str) -> None:
    memory = BatchMemory()
    batch = fill(memory.batch(SHAPE, FLOAT), 7)
    place = place_of(batch)
    held = HOLDERS[holder](batch)
    del batch
    later = [fill(memory.batch(SHAPE, FLOAT), number) for number in range(20)]
    assert place not in {place_of(other) for other in later}
    del later
    assert all(place_of(memory.batch(SHAPE, FLOAT)) != place for _ in range(2 * MOST_SPARE))
    if isinstance(held, (torch.Tensor, np.ndarray)):
        assert (torch.as_tensor(held).view(torch.float32) == 7).all()
    del held
    gc.collect()
    assert place_of(memory.batch(SHAPE, FLOAT)) == place  # and now it comes back


def test_a_released_batch_makes_room_for_the_next() -> None:
    memory = BatchMemory()
    batch = memory.batch(SHAPE, FLOAT)
    place = place_of(batch)
    for _ in range(5):
        del batch
        batch = memory.batch(SHAPE, FLOAT)
        assert place_of(batch) == place
        assert type(batch) is torch.Tensor
        assert (tuple(batch.shape), batch.dtype) == (SHAPE, torch.float32)
        assert batch.is_contiguous()


def test_a_training_loop_needs_no_more_than_what_is_alive() -> None:
    memory, places = BatchMemory(), set()
    alive: list[torch.Tensor] = []
    for _ in range(50):
        alive = [*alive, memory.batch(SHAPE, FLOAT)][-4:]
        places.add(place_of(alive[-1]))
    assert len(places) == 5


def test_smaller_batches_use_the_memory_of_larger_ones_and_larger_ones_get_their_own() -> None:
    memory = BatchMemory()
    large = memory.batch((8, 1, 16, 16), FLOAT)
    place = place_of(large)
    del large
    small = fill(memory.batch((3, 1, 16, 16), FLOAT), 1)
    assert place_of(small) == place
    assert small.shape == (3, 1, 16, 16)
    del small
    again = memory.batch((8, 1, 16, 16), FLOAT)
    assert place_of(again) == place
    del again
    huge = fill(memory.batch((64, 1, 16, 16), FLOAT), 2)
    assert huge.untyped_storage().nbytes() >= 64 * 256 * 4
    assert float(huge.sum()) == 2 * 64 * 256


def test_growing_batches_let_go_of_memory_that_is_too_small() -> None:
    memory = BatchMemory()
    for _ in range(3):
        kept = [memory.batch((1, 4), FLOAT) for _ in range(MOST_SPARE)]
        del kept
    for count in (2, 30, 7, 100, 1):
        batch = fill(memory.batch((count, 4), FLOAT), count)
        assert batch.numpy().sum() == 4 * count * count
        del batch


def test_any_dtype_lies_in_the_same_memory() -> None:
    memory = BatchMemory()
    for dtype, kind in ((FLOAT, torch.float32), (np.dtype("<u2"), torch.uint16), (np.dtype("u1"), torch.uint8)):
        batch = memory.batch((3, 1, 5, 5), dtype)
        assert (batch.dtype, tuple(batch.shape)) == (kind, (3, 1, 5, 5))


def test_what_nobody_uses_is_not_kept_without_end() -> None:
    memory = BatchMemory()
    many = [memory.batch((1000,), FLOAT) for _ in range(10 * MOST_SPARE)]
    places = {place_of(batch) for batch in many}
    assert len(places) == 10 * MOST_SPARE
    many.clear()
    held = [memory.batch((1000,), FLOAT) for _ in range(MOST_SPARE)]
    assert len({place_of(batch) for batch in held}) == MOST_SPARE
    buffers = memory._spare
    assert len(buffers) == 0  # no more than MOST_SPARE had been kept


def test_memory_is_gone_with_its_pool_and_its_last_batch() -> None:
    memory = BatchMemory()
    batch = fill(memory.batch(SHAPE, FLOAT), 3)
    pool = weakref.ref(memory)
    del memory
    gc.collect()
    assert pool() is None
    assert (batch == 3).all()


def test_many_threads_never_share_a_batch() -> None:
    memory, wrong = BatchMemory(), []

    def work(name: int) -> None:
        held: list[torch.Tensor] = []
        for step in range(300):
            held = [*held, fill(memory.batch((2, 64), FLOAT), name * 1000 + step)][-3:]
            wanted = [name * 1000 + step - back for back in range(len(held))][::-1]
            if [float(batch[1, 63]) for batch in held] != wanted or any(batch.std() for batch in held):
                wrong.append((name, step))

    threads = [threading.Thread(target=work, args=(name,)) for name in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_small_arrays_become_tensors() -> None:
    values = np.array([1.5, 2.5])
    tensor = BatchMemory().small(values)
    assert type(tensor) is torch.Tensor
    assert tensor.dtype == torch.float64
    assert tensor.tolist() == [1.5, 2.5]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_copy_has_memory_of_its_own() -> None:
    memory = BatchMemory()
    batch = fill(memory.batch(SHAPE, FLOAT), 3)
    child = os.fork()
    if child == 0:  # without pytest around it
        batch.zero_()
        del batch
        fill(memory.batch(SHAPE, FLOAT), 9)
        os._exit(0)
    os.waitpid(child, 0)
    assert (batch == 3).all()


def test_page_locked_memory_is_asked_for_where_it_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    empty = torch.empty

    def note(*shape: Any, pin_memory: bool = False, **options: Any) -> torch.Tensor:
        asked.append(pin_memory)
        return empty(*shape, **options)

    monkeypatch.setattr(torch, "empty", note)
    memory = BatchMemory()
    memory.pinned = True
    batch = fill(memory.batch(SHAPE, FLOAT), 4)
    place = place_of(batch)
    del batch
    assert place_of(memory.batch(SHAPE, FLOAT)) == place
    assert asked == [True]
