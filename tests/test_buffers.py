"""``BufferPool``: memory is used again, but never while anybody holds it."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from sar_h5.buffers import BufferPool


def address(array: np.ndarray) -> int:
    return array.__array_interface__["data"][0]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, np.bool_, np.float64])
def test_arrays_have_the_shape_and_dtype_asked_for(dtype: type) -> None:
    array = BufferPool().take((3, 4, 5), dtype)
    assert (array.shape, array.dtype, array.flags.c_contiguous) == ((3, 4, 5), np.dtype(dtype), True)
    array[:] = 1
    assert BufferPool().take((0, 7), dtype).shape == (0, 7)


def test_memory_is_used_again_once_it_is_dropped() -> None:
    pool = BufferPool()
    array = pool.take((1000,), np.uint16)
    first = address(array)
    del array
    assert address(pool.take((10, 50), np.float32)) == first


@pytest.mark.parametrize(
    "hold",
    [
        lambda array: array,
        lambda array: array[3:5, ::2],
        lambda array: array.view(np.uint8),
        lambda array: array.T[1:].reshape(-1),
        lambda array: array.data,
        lambda array: memoryview(array)[2:],
        lambda array: np.frombuffer(array, dtype=np.uint8)[7:],
    ],
)
def test_memory_that_anybody_holds_is_not_handed_out(hold: object) -> None:
    pool = BufferPool()
    array = pool.take((8, 16), np.float32)
    array[:] = 5
    held = hold(array)  # type: ignore[operator]
    before = bytes(held) if isinstance(held, memoryview) else held.tobytes()
    del array
    for _ in range(3):
        pool.take((8, 16), np.float32)[:] = 9
    assert (bytes(held) if isinstance(held, memoryview) else held.tobytes()) == before


def test_no_more_memory_is_held_than_was_in_use_at_once() -> None:
    pool = BufferPool()
    places = set()
    for _ in range(50):
        some = [pool.take((100,), np.uint8) for _ in range(3)]
        places |= {address(array) for array in some}
        del some
    assert len(places) == 3


def test_larger_requests_replace_what_is_free_and_too_small() -> None:
    pool = BufferPool()
    kept = pool.take((10,), np.uint8)
    kept[:] = 1
    pool.take((20,), np.uint8)
    large = pool.take((1 << 20,), np.uint8)
    place = address(large)
    del large
    assert address(pool.take((30,), np.uint8)) == place
    assert kept.tolist() == [1] * 10


def test_threads_never_get_the_same_memory() -> None:
    pool = BufferPool()
    wrong: list[int] = []

    def use(number: int) -> None:
        for turn in range(300):
            array = pool.take((200 + turn % 7,), np.int64)
            array[:] = number
            if np.any(array != number):
                wrong.append(number)

    threads = [threading.Thread(target=use, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
