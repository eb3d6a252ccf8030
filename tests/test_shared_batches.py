"""Batches from worker processes: never overwritten while anybody holds them, in memory that is used again, all released."""

from __future__ import annotations

import copy
import gc
import io
import os
import pickle
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import ConcatDataset, DataLoader, Dataset, StackDataset, Subset, default_collate, random_split

from sar_h5 import SARH5Dataset, shared_batches
from tests.patch_files import make_codes, make_lut, read_plain, write_file

pytestmark = [
    pytest.mark.skipif(os.name != "posix", reason="workers are forked here, to be quick"),
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),
]

COUNT = 120


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of 120 patches, each of them different."""
    codes = make_codes((COUNT, 16, 16), 256, "u1")
    return write_file(tmp_path_factory.mktemp("h5") / "a.h5", codes, make_lut(256))


@pytest.fixture(scope="module")
def expected(file: Path) -> np.ndarray:
    """Its values, (120, 1, 16, 16)."""
    return read_plain(file)


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    """Each test begins without segments of workers, and leaves none."""
    shared_batches._received.clear()
    yield
    if shared_batches._received:
        gc.collect()
    assert shared_batches._received == {}


def workers(dataset: Dataset[Any], batch_size: int | None = 2, count: int = 2, **options: Any) -> DataLoader[Any]:
    return DataLoader(
        dataset, batch_size=batch_size, num_workers=count, multiprocessing_context="fork", timeout=60, **options
    )


def segments() -> int:
    """How many segments of workers this process has mapped."""
    return sum(len(known) for known in shared_batches._received.values())


def identity(value: Any) -> Any:
    return value


# --- held, used again, released --------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"sample": "dict"}, {"output": "codes"}], ids=str)
def test_batches_that_are_held_stay_as_they_are_while_later_ones_come(
    file: Path, expected: np.ndarray, options: dict[str, Any]
) -> None:
    dataset = SARH5Dataset(file, **options)
    loader = workers(dataset, persistent_workers=True)
    held = list(loader)
    assert len(held) == segments() == COUNT // 2 > 50
    del loader
    images = [dataset.decoder()(batch) if "codes" in batch else batch["image"] for batch in held] if options else held
    assert torch.cat(images).numpy().tobytes() == expected.tobytes()


@pytest.mark.parametrize(
    "keep",
    [
        lambda batch: batch[0],
        lambda batch: batch[:1].numpy(),
        lambda batch: batch.view(-1)[:256],
        lambda batch: batch.detach()[0],
        lambda batch: np.asarray(batch)[0],
    ],
)
def test_a_view_of_a_batch_holds_all_of_it(
    file: Path, expected: np.ndarray, keep: Callable[[torch.Tensor], Any]
) -> None:
    loader = workers(SARH5Dataset(file), count=1, persistent_workers=True)
    held = [keep(batch) for batch in loader]
    assert segments() == len(held)
    del loader
    found = np.stack([np.asarray(row).reshape(1, 16, 16) for row in held])
    assert found.tobytes() == expected[::2].tobytes()


def test_a_batch_outlives_its_loader_and_its_workers(file: Path, expected: np.ndarray) -> None:
    loader = iter(workers(SARH5Dataset(file)))
    first = [next(loader) for _ in range(5)]
    del loader
    gc.collect()
    assert segments() == 0
    assert torch.cat(first).numpy().tobytes() == expected[:10].tobytes()
    torch.cat(first).mul_(2)
    first[0].zero_()  # it is the holder's to write to
    assert first[1].numpy().tobytes() == expected[2:4].tobytes()


def test_memory_is_used_again_epoch_after_epoch(file: Path, expected: np.ndarray) -> None:
    loader = workers(SARH5Dataset(file), persistent_workers=True)
    places = set()
    for _ in range(4):
        for number, batch in enumerate(loader):
            assert batch.numpy().tobytes() == expected[2 * number : 2 * number + 2].tobytes()
            places.add(batch.data_ptr())
    # Each of two workers: two batches ahead, one on its way or being made, one with the trainer, and one to spare.
    assert len(shared_batches._received) == 2
    assert segments() <= 10
    assert len(places) <= 10
    del loader, batch


@pytest.mark.parametrize("ahead", [1, 4])
def test_batches_held_for_a_while_come_back_too(file: Path, expected: np.ndarray, ahead: int) -> None:
    loader = workers(SARH5Dataset(file), persistent_workers=True, prefetch_factor=ahead)
    for _ in range(3):
        held: list[tuple[int, torch.Tensor]] = []
        for number, batch in enumerate(loader):
            held = [*held, (number, batch)][-6:]
            for one, other in held:
                assert other.numpy().tobytes() == expected[2 * one : 2 * one + 2].tobytes()
    assert segments() <= 2 * (ahead + 2) + 7
    del loader, held, batch, other


def test_nothing_is_left_of_loaders_that_are_gone(file: Path) -> None:
    for _ in range(3):
        assert sum(len(batch) for batch in workers(SARH5Dataset(file))) == COUNT
        gc.collect()
        assert shared_batches._received == {}


def test_workers_of_an_epoch_that_was_broken_off_go_on_with_the_next(file: Path, expected: np.ndarray) -> None:
    loader = workers(SARH5Dataset(file), persistent_workers=True)
    for last in (0, 7, 3):
        for number, batch in enumerate(loader):
            assert batch.numpy().tobytes() == expected[2 * number : 2 * number + 2].tobytes()
            if number == last:
                break
    assert torch.cat(list(loader)).numpy().tobytes() == expected.tobytes()
    assert torch.cat(list(loader)).numpy().tobytes() == expected.tobytes()
    del loader, batch


def test_batches_grow_and_shrink(file: Path, expected: np.ndarray) -> None:
    sizes = [1, 9, 2, 40, 3, 1, 30, 5, 29]
    edges = np.cumsum([0, *sizes])
    sampler = [list(range(start, stop)) for start, stop in pairwise(edges)]
    loader = DataLoader(SARH5Dataset(file), batch_sampler=sampler, num_workers=1, multiprocessing_context="fork")
    for batch, numbers in zip(loader, sampler, strict=True):
        assert batch.numpy().tobytes() == expected[numbers].tobytes()
    assert torch.cat(list(loader)).numpy().tobytes() == expected.tobytes()
    del loader, batch


def test_two_loaders_at_once_do_not_disturb_each_other(file: Path, expected: np.ndarray) -> None:
    dataset = SARH5Dataset(file)
    held = list(zip(workers(dataset), workers(dataset, count=1), strict=True))
    for side in (0, 1):
        assert torch.cat([pair[side] for pair in held]).numpy().tobytes() == expected.tobytes()


# --- what arrives ----------------------------------------------------------------------------------------------------


def save_and_load(value: Any) -> Any:
    content = io.BytesIO()
    torch.save(value, content)
    content.seek(0)
    return torch.load(content, weights_only=True)


@pytest.mark.parametrize("pin_memory", [False, True])
def test_what_arrives_is_a_plain_tensor(file: Path, expected: np.ndarray, pin_memory: bool) -> None:
    if pin_memory and not torch.accelerator.is_available():
        pytest.skip("nothing to lock pages for")
    batch = next(iter(workers(SARH5Dataset(file), pin_memory=pin_memory)))
    assert type(batch) is torch.Tensor
    assert batch.is_contiguous()
    assert (batch.dtype, tuple(batch.shape)) == (torch.float32, (2, 1, 16, 16))
    for copied in (copy.deepcopy(batch), pickle.loads(pickle.dumps(batch)), save_and_load(batch)):
        assert type(copied) is torch.Tensor
        assert copied.numpy().tobytes() == expected[:2].tobytes()
        assert copied.data_ptr() != batch.data_ptr()
    parameter = torch.ones(1, requires_grad=True)
    (batch * parameter).sum().backward()
    assert parameter.grad is not None


def test_dict_batches_arrive_as_plain_dicts(file: Path, expected: np.ndarray) -> None:
    for number, batch in enumerate(workers(SARH5Dataset(file, sample="dict"))):
        assert type(batch) is dict
        assert {type(value) for value in batch.values()} == {torch.Tensor}
        assert batch["index"].tolist() == [2 * number, 2 * number + 1]
        assert batch["image"].numpy().tobytes() == expected[batch["index"]].tobytes()
        batch["row"] += 1  # writable
    assert segments() <= 12


class InTheWorker(Dataset[Any]):
    """Looks at a sample and a batch where they are made."""

    def __init__(self, dataset: SARH5Dataset) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> Any:
        batch = default_collate(self.dataset.__getitems__([3, 4]))
        sample = self.dataset.__getitems__([3, 4])[1]
        one = self.dataset[3]
        copies = [kind(value) for value in (batch, sample, one) for kind in (copy.deepcopy, save_and_load)]
        copies += [pickle.loads(pickle.dumps(value)) for value in (batch, sample, one)]
        return [type(value) is torch.Tensor for value in copies], [value.sum().item() for value in copies]


def test_copies_made_in_a_worker_are_plain_too(file: Path, expected: np.ndarray) -> None:
    plain, sums = next(iter(workers(InTheWorker(SARH5Dataset(file)), batch_size=None, count=1)))
    assert plain == [True] * 9
    both, fourth, third = (float(torch.from_numpy(expected[some]).sum()) for some in ([3, 4], [4], [3]))
    assert sums == pytest.approx([both, both, fourth, fourth, third, third, both, fourth, third])


# --- collate functions of users --------------------------------------------------------------------------------------


def stack(samples: Any) -> torch.Tensor:
    return torch.stack(list(samples))


def named(samples: Any) -> dict[str, torch.Tensor]:
    return {
        "x": torch.stack(tuple(samples)),
        "mean": torch.stack([sample.mean() for sample in samples]),
    }


def all_but_one(samples: Any) -> torch.Tensor:
    return default_collate([sample for number, sample in enumerate(samples) if number != 0])  # type: ignore[no-any-return]


def doubled(samples: Any) -> torch.Tensor:
    return default_collate(samples) * 2  # type: ignore[no-any-return]


def doubled_in_place(samples: Any) -> torch.Tensor:
    return default_collate(samples).mul_(2)  # type: ignore[no-any-return]


def turned_in_place(samples: Any) -> torch.Tensor:
    return default_collate(samples).transpose_(2, 3)  # type: ignore[no-any-return]


def reshaped_in_place(samples: Any) -> torch.Tensor:
    return default_collate(samples).squeeze_(1)  # type: ignore[no-any-return]


def with_views(samples: Any) -> list[torch.Tensor]:
    batch = default_collate(samples)
    return [batch[0], batch, batch[1:], batch]


def as_list(samples: Any) -> list[torch.Tensor]:
    return list(samples)


def for_gradients(samples: Any) -> torch.Tensor:
    return default_collate(samples).requires_grad_()  # type: ignore[no-any-return]


COLLATED: dict[Callable[[Any], Any], Callable[[np.ndarray], Any]] = {
    stack: lambda values: values,
    all_but_one: lambda values: values[1:],
    doubled: lambda values: values * 2,
    doubled_in_place: lambda values: values * 2,
    turned_in_place: lambda values: values.transpose(0, 1, 3, 2),
    reshaped_in_place: lambda values: values[:, 0],
    for_gradients: lambda values: values,
    default_collate: lambda values: values,
}


@pytest.mark.parametrize("count", [0, 2])
@pytest.mark.parametrize("collate", COLLATED, ids=lambda function: function.__name__)
def test_a_collate_function_of_ones_own_gets_samples(
    file: Path, expected: np.ndarray, collate: Callable[[Any], Any], count: int
) -> None:
    dataset = SARH5Dataset(file)
    loader = workers(dataset, 4, collate_fn=collate) if count else DataLoader(dataset, 4, collate_fn=collate)
    for number, batch in enumerate(loader):
        wanted = COLLATED[collate](expected[4 * number : 4 * number + 4])
        assert isinstance(batch, torch.Tensor)
        assert batch.shape == wanted.shape
        np.testing.assert_array_equal(batch.detach().numpy(), wanted)
        assert batch.requires_grad == (collate is for_gradients)
        if count:
            assert type(batch) is torch.Tensor
    del loader, batch


def test_collated_dicts_lists_and_views_arrive_whole(file: Path, expected: np.ndarray) -> None:
    for number, batch in enumerate(workers(SARH5Dataset(file), 4, collate_fn=named)):
        wanted = expected[4 * number : 4 * number + 4]
        assert batch["x"].numpy().tobytes() == wanted.tobytes()
        np.testing.assert_allclose(batch["mean"], wanted.mean(axis=(1, 2, 3)), rtol=1e-5)
    for collate in (as_list, with_views, identity):
        for number, batch in enumerate(workers(SARH5Dataset(file), 4, collate_fn=collate)):
            wanted = expected[4 * number : 4 * number + 4]
            parts = [wanted[0], wanted, wanted[1:], wanted] if collate is with_views else list(wanted)
            assert [np.asarray(part).tobytes() for part in batch] == [part.tobytes() for part in parts]
    del batch


def test_places_that_need_gradients_arrive(file: Path) -> None:
    def collate(samples: Any) -> Any:
        batch = default_collate(samples)
        batch["transform"].requires_grad_()
        return batch

    batch = next(iter(workers(SARH5Dataset(file, sample="dict"), collate_fn=collate)))
    assert batch["transform"].requires_grad
    assert not batch["bounds"].requires_grad


# --- datasets around it ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, 2])
def test_datasets_of_torch_around_it_give_the_same(file: Path, expected: np.ndarray, count: int) -> None:
    dataset = SARH5Dataset(file)
    first, second = random_split(dataset, [50, COUNT - 50], torch.Generator().manual_seed(0))
    around: list[tuple[Dataset[Any], np.ndarray]] = [
        (Subset(dataset, [5, 3, 119, 3]), expected[[5, 3, 119, 3]]),
        (first, expected[first.indices]),
        (second, expected[second.indices]),
        (Subset(first, [1, 0]), expected[[first.indices[1], first.indices[0]]]),
        (ConcatDataset([Subset(dataset, [7]), SARH5Dataset(file, indices=[1, 2])]), expected[[7, 1, 2]]),
    ]
    for wrapped, wanted in around:
        loader = workers(wrapped, 3) if count else DataLoader(wrapped, 3)
        batches = list(loader)
        assert {type(batch) for batch in batches} == {torch.Tensor}
        assert torch.cat(batches).numpy().tobytes() == wanted.tobytes()
        del loader, batches
    pairs = StackDataset(dataset, SARH5Dataset(file, indices=slice(None, None, -1)))
    for number, (left, right) in enumerate(workers(pairs) if count else DataLoader(pairs, 2)):
        assert left.numpy().tobytes() == expected[2 * number : 2 * number + 2].tobytes()
        assert right.numpy().tobytes() == expected[::-1][2 * number : 2 * number + 2].tobytes()


def test_samples_one_by_one_arrive_too(file: Path, expected: np.ndarray) -> None:
    samples = list(workers(SARH5Dataset(file), batch_size=None))
    assert {type(sample) for sample in samples} == {torch.Tensor}
    assert torch.stack(samples).numpy().tobytes() == expected.tobytes()


class Repeating(Dataset[Any]):
    """Keeps one batch in the worker and sends it three times in a row, with others in between."""

    def __init__(self, dataset: SARH5Dataset) -> None:
        self.dataset = dataset
        self.kept: Any = None

    def __len__(self) -> int:
        return 200

    @staticmethod
    def is_kept(index: int) -> bool:
        return index % 5 < 3

    def __getitem__(self, index: int) -> Any:
        if self.kept is None:
            self.kept = default_collate(self.dataset.__getitems__([0, 1]))
        if self.is_kept(index):
            return self.kept
        return default_collate(self.dataset.__getitems__([index % COUNT, 2]))


@pytest.mark.parametrize("hold", [False, True])
def test_a_batch_that_the_dataset_keeps_and_sends_again_is_always_right(
    file: Path, expected: np.ndarray, hold: bool
) -> None:
    held = []
    for number, batch in enumerate(workers(Repeating(SARH5Dataset(file)), batch_size=None, count=1)):
        wanted = expected[[0, 1] if Repeating.is_kept(number) else [number % COUNT, 2]]
        assert batch.numpy().tobytes() == wanted.tobytes()
        held.append((batch, wanted) if hold else None)
    assert all(batch.numpy().tobytes() == wanted.tobytes() for batch, wanted in filter(None, held))
    del batch


class Sliding(Dataset[Any]):
    """Holds the last five batches in the worker and sends the oldest."""

    def __init__(self, dataset: SARH5Dataset) -> None:
        self.dataset = dataset
        self.last: list[Any] = []

    def __len__(self) -> int:
        return COUNT

    def __getitem__(self, index: int) -> Any:
        self.last = [*self.last, default_collate(self.dataset.__getitems__([index, index]))][-5:]
        return self.last[0]


def test_batches_that_the_dataset_holds_back_are_not_overwritten(file: Path, expected: np.ndarray) -> None:
    for number, batch in enumerate(workers(Sliding(SARH5Dataset(file)), batch_size=None, count=1)):
        assert batch.numpy().tobytes() == expected[[max(0, number - 4)] * 2].tobytes()
    del batch


def test_a_copy_in_a_forked_process_says_nothing_about_the_batch(file: Path, expected: np.ndarray) -> None:
    loader = iter(workers(SARH5Dataset(file), count=1))
    held = [next(loader)]
    child = os.fork()
    if child == 0:  # without pytest around it
        held.clear()
        gc.collect()
        os._exit(0)
    os.waitpid(child, 0)
    for _ in loader:  # the worker goes on
        pass
    assert held[0].numpy().tobytes() == expected[:2].tobytes()
    del loader


# --- when things go wrong --------------------------------------------------------------------------------------------


KILLED = """
import os, signal, sys
import torch
from torch.utils.data import DataLoader, Dataset, _utils
from sar_h5 import SARH5Dataset

_utils.MP_STATUS_CHECK_INTERVAL = 0.5

class Deadly(Dataset):
    def __init__(self, dataset):
        self.dataset = dataset
    def __len__(self):
        return len(self.dataset)
    def __getitems__(self, indices):
        if 60 in indices:  # as where memory runs out
            os.kill(os.getpid(), signal.SIGKILL)
        return self.dataset.__getitems__(indices)

got = []
try:
    loader = DataLoader(Deadly(SARH5Dataset(sys.argv[1])), 2, num_workers=2, multiprocessing_context="fork")
    for batch in loader:
        got.append(batch)
except (RuntimeError, OSError, EOFError) as error:  # PyTorch's, or of a batch on its way from the one that is gone
    print(error, file=sys.stderr)
    sys.stdout.buffer.write(torch.cat(got).numpy().tobytes())
    sys.stdout.flush()
    os._exit(7)
"""


def test_a_worker_that_is_killed_is_the_loaders_error(file: Path, expected: np.ndarray) -> None:
    # In a process of its own: PyTorch raises from a signal handler, wherever the interpreter may be.
    done = subprocess.run([sys.executable, "-c", KILLED, str(file)], capture_output=True, timeout=120)
    assert done.returncode == 7, done.stderr
    assert re.search(rb"DataLoader worker .* (killed by signal|exited unexpectedly)|Connection|EOF", done.stderr)
    assert expected.tobytes().startswith(done.stdout)
    assert len(done.stdout) >= 10 * expected[:2].nbytes


def test_a_segment_is_free_once_the_worker_itself_has_let_go() -> None:
    memory = shared_batches.SharedBatchMemory()
    first = memory.batch((2, 3), np.dtype(np.float32))
    place = first.data_ptr()
    second = memory.batch((2, 3), np.dtype(np.float32))
    assert second.data_ptr() != place
    row = first[1]
    del first
    assert memory.batch((2, 3), np.dtype(np.float32)).data_ptr() != place  # a row of it is held
    del row
    assert memory.batch((2, 3), np.dtype(np.float32)).data_ptr() == place
