"""Batches sent to a device: any nesting keeps its shape, and sources are held until they have been read."""

from __future__ import annotations

import gc
import weakref
from collections import OrderedDict, namedtuple
from typing import Any

import numpy as np
import pytest
import torch

from sar_h5.device_transfer import DeviceTransfer, map_tensors, receive

Pair = namedtuple("Pair", ["left", "right"])
CPU = torch.device("cpu")


def test_every_tensor_of_a_batch_is_mapped_and_nothing_else() -> None:
    one = torch.ones(2)
    batch = {"a": one, "b": [one, "text", (one, 3)], "c": Pair(one, None), "d": OrderedDict(e=one), "f": np.ones(2)}
    doubled = map_tensors(lambda tensor: tensor * 2, batch)
    assert doubled["a"].tolist() == [2, 2]
    assert type(doubled["b"]) is list
    assert doubled["b"][1] == "text"
    assert type(doubled["b"][2]) is tuple
    assert doubled["b"][2][0].tolist() == [2, 2]
    assert doubled["b"][2][1] == 3
    assert type(doubled["c"]) is Pair
    assert doubled["c"].left.tolist() == [2, 2]
    assert doubled["c"].right is None
    assert doubled["d"]["e"].tolist() == [2, 2]
    assert doubled["f"] is batch["f"]
    assert one.tolist() == [1, 1]
    assert map_tensors(lambda tensor: tensor + 1, one).tolist() == [2, 2]
    assert map_tensors(lambda tensor: tensor, []) == []


@pytest.mark.parametrize("batch", [torch.arange(3), {"x": torch.arange(3)}, [torch.arange(3), 5]], ids=str)
def test_a_batch_that_is_sent_to_the_cpu_arrives(batch: Any) -> None:
    transfer = DeviceTransfer(CPU)
    moved = receive(*transfer.send(batch), CPU)
    transfer.finish()
    assert type(moved) is type(batch)
    first = moved if isinstance(moved, torch.Tensor) else moved["x" if isinstance(moved, dict) else 0]
    assert first.tolist() == [0, 1, 2]


class Event:
    """An event that says when it is done."""

    done = False

    def record(self, stream: Any) -> None:
        self.stream = stream

    def query(self) -> bool:
        return self.done

    def synchronize(self) -> None:
        self.done = True


def test_a_source_is_held_until_its_copy_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "Event", Event, raising=False)
    transfer = DeviceTransfer(CPU)
    memory = [np.zeros(3), np.ones(3), np.ones(3)]
    alive = [weakref.ref(array) for array in memory]
    events = []
    for array in memory:
        moved, event = transfer.send({"x": torch.from_numpy(array)})
        events.append(event)
        del moved
    del array
    memory.clear()
    gc.collect()
    assert all(reference() is not None for reference in alive)
    events[1].done = True  # copies end in their order: one that is done behind another proves nothing yet
    transfer.send(torch.zeros(1))
    assert all(reference() is not None for reference in alive)
    events[0].done = True
    transfer.send(torch.zeros(1))
    gc.collect()
    assert [reference() is None for reference in alive] == [True, True, False]
    transfer.finish()
    gc.collect()
    assert alive[2]() is None
    assert events[2].done
