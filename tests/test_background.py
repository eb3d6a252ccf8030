"""``BackgroundLoader``: the loader's batches in its order, a few of them ahead, and nothing left behind."""

from __future__ import annotations

import gc
import os
import threading
import time
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, RandomSampler, Subset, WeightedRandomSampler

from sar_h5 import BackgroundLoader, SARH5Dataset
from sar_h5.errors import CorruptPatchError, SettingError
from tests.patch_files import chunk_place, make_codes, make_lut, overwrite, read_plain, write_file

COUNT = 40
needs_fork = pytest.mark.skipif(os.name != "posix", reason="workers are forked here, to be quick")
pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of 40 patches, each of them different."""
    codes = make_codes((COUNT, 16, 16), 300, "<u2")
    return write_file(tmp_path_factory.mktemp("h5") / "a.h5", codes, make_lut(300))


@pytest.fixture(scope="module")
def expected(file: Path) -> np.ndarray:
    """Its values, (40, 1, 16, 16)."""
    return read_plain(file)


def own_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "sar-h5-background"]


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    """Whatever a test does, no thread of it goes on."""
    assert own_threads() == []
    yield
    if own_threads():
        gc.collect()
    assert own_threads() == []


@pytest.mark.parametrize("batches", [1, 2, 100])
@pytest.mark.parametrize("device", [None, "cpu", torch.device("cpu")])
def test_batches_come_in_the_loaders_order_in_every_epoch(
    file: Path, expected: np.ndarray, device: Any, batches: int
) -> None:
    loader = BackgroundLoader(DataLoader(SARH5Dataset(file), batch_size=3), device=device, batches=batches)
    assert len(loader) == 14
    for _ in range(3):
        found = list(loader)
        assert [len(batch) for batch in found] == [3] * 13 + [1]
        assert {type(batch) for batch in found} == {torch.Tensor}
        assert torch.cat(found).numpy().tobytes() == expected.tobytes()


@pytest.mark.parametrize(
    "sampler",
    [
        None,
        lambda dataset: RandomSampler(dataset, replacement=True, num_samples=70),
        lambda _: WeightedRandomSampler(torch.arange(1.0, COUNT + 1), 50),
        lambda dataset: RandomSampler(dataset, generator=torch.Generator().manual_seed(4)),
    ],
)
def test_random_numbers_are_drawn_as_without_the_thread(file: Path, sampler: Any) -> None:
    dataset = SARH5Dataset(file, sample="dict")

    def epochs(*, background: bool) -> list[Any]:
        options = {"shuffle": True} if sampler is None else {"sampler": sampler(dataset)}
        loader: Any = DataLoader(dataset, batch_size=7, **options)
        loader = BackgroundLoader(loader) if background else loader
        torch.manual_seed(3)
        found = []
        for _ in range(3):
            found.append([batch["index"].tolist() for batch in loader])
            found.append(torch.rand(1).item())  # and the generator is left where it would have been
        return found

    plain = epochs(background=False)
    assert plain[0] != plain[2]
    assert epochs(background=True) == plain


def test_random_numbers_that_a_training_step_draws_do_not_change_the_order(file: Path) -> None:
    dataset = SARH5Dataset(file, sample="dict")
    loader = BackgroundLoader(DataLoader(dataset, batch_size=4, shuffle=True))
    torch.manual_seed(1)
    quiet = [batch["index"].tolist() for batch in loader]
    torch.manual_seed(1)
    busy = []
    for batch in loader:
        torch.rand(5)
        busy.append(batch["index"].tolist())
    assert busy == quiet


@pytest.mark.parametrize("batches", [1, 3])
@pytest.mark.parametrize("device", [None, "cpu"])
def test_leaving_an_epoch_ends_its_thread_and_the_next_one_is_whole(
    file: Path, expected: np.ndarray, device: str | None, batches: int
) -> None:
    loader = BackgroundLoader(DataLoader(SARH5Dataset(file), batch_size=2), device=device, batches=batches)
    for last in (0, 1, 5):
        for number, batch in enumerate(loader):
            assert batch.numpy().tobytes() == expected[2 * number : 2 * number + 2].tobytes()
            if number == last:
                break
        gc.collect()
        assert own_threads() == []
    assert torch.cat(list(loader)).numpy().tobytes() == expected.tobytes()


def test_an_iterator_that_is_dropped_or_an_error_in_the_loop_ends_the_thread(file: Path) -> None:
    loader = BackgroundLoader(DataLoader(SARH5Dataset(file), batch_size=2))
    batches = iter(loader)
    next(batches)
    assert len(own_threads()) == 1
    del batches
    gc.collect()
    assert own_threads() == []

    def train() -> None:
        for _ in loader:
            1 / 0  # noqa: B018 - the error of a training step

    with pytest.raises(ZeroDivisionError):
        train()
    gc.collect()
    assert own_threads() == []


def test_a_damaged_patch_is_an_error_in_place_of_its_batch(file: Path, expected: np.ndarray, tmp_path: Path) -> None:
    copied = tmp_path / "a.h5"
    copied.write_bytes(file.read_bytes())
    overwrite(copied, chunk_place(copied, 9)[0], b"\xff" * 16)
    for bad, batch_size in ((9 // 4, 4), (0, 10)):  # in the middle of an epoch, and in its first batch
        got = []
        with pytest.raises(CorruptPatchError, match="patch 9 cannot be read") as caught:
            got.extend(BackgroundLoader(DataLoader(SARH5Dataset(copied), batch_size=batch_size)))
        assert caught.value.patch == 9
        assert len(got) == bad
        for number, batch in enumerate(got):
            assert batch.numpy().tobytes() == expected[batch_size * number : batch_size * (number + 1)].tobytes()


def test_an_empty_dataset_has_no_batches(file: Path) -> None:
    loader = BackgroundLoader(DataLoader(SARH5Dataset(file, indices=[]), batch_size=2))
    assert len(loader) == 0
    assert list(loader) == []


@pytest.mark.parametrize("batches", [0, -1])
def test_it_must_be_ahead_by_a_batch_at_least(file: Path, batches: int) -> None:
    with pytest.raises(SettingError, match=f"at least 1 batch ahead; found batches={batches}"):
        BackgroundLoader(DataLoader(SARH5Dataset(file)), batches=batches)


class Counted(IterableDataset[Any]):
    """Counts how many of its batches are alive."""

    def __init__(self, length: int) -> None:
        self.length, self.alive, self.most, self.made = length, 0, 0, 0

    def __iter__(self) -> Iterator[torch.Tensor]:
        for number in range(self.length):
            batch = np.full(4, number, dtype=np.float32)
            self.made += 1
            self.alive += 1
            self.most = max(self.most, self.alive)
            weakref.finalize(batch, self._gone)
            yield torch.from_numpy(batch)
            del batch

    def _gone(self) -> None:
        self.alive -= 1


@pytest.mark.parametrize("batches", [1, 2, 5])
@pytest.mark.parametrize("device", [None, "cpu"])
def test_no_more_batches_are_alive_than_it_says(batches: int, device: str | None) -> None:
    counted = Counted(30)
    seen = []
    for batch in BackgroundLoader(DataLoader(counted, batch_size=None), device=device, batches=batches):
        seen.append(int(batch[0]))
        deadline = time.monotonic() + 10
        while counted.made < min(30, len(seen) + batches + 1) and time.monotonic() < deadline:
            time.sleep(0.001)  # let it get as far ahead as it will
        time.sleep(0.005)
        assert counted.made <= len(seen) + batches + 1
        assert counted.alive <= batches + 2  # those ahead, one in the thread's hands, one in the consumer's
    assert seen == list(range(30))
    assert counted.most <= batches + 3  # the consumer lets go of one only when it has the next
    del batch
    gc.collect()
    assert counted.alive == 0


def test_batches_of_a_dataset_that_are_held_stay_as_they_are(file: Path, expected: np.ndarray) -> None:
    places = set()
    loader = BackgroundLoader(DataLoader(SARH5Dataset(file), batch_size=2), batches=2)
    held: list[tuple[int, torch.Tensor]] = []
    for number, batch in enumerate(loader):
        held = [*held, (number, batch)][-4:]
        places.add(batch.data_ptr())
        for one, other in held:
            assert other.numpy().tobytes() == expected[2 * one : 2 * one + 2].tobytes()
    assert len(places) <= 4 + 4  # held, ahead and in hands: memory is used again


@needs_fork
@pytest.mark.parametrize("device", [None, "cpu"])
def test_a_loader_with_workers_can_be_in_the_background_too(
    file: Path, expected: np.ndarray, device: str | None
) -> None:
    loader = DataLoader(
        SARH5Dataset(file), 2, num_workers=2, multiprocessing_context="fork", persistent_workers=True, timeout=60
    )
    background = BackgroundLoader(loader, device=device)
    assert torch.cat(list(background)).numpy().tobytes() == expected.tobytes()
    for batch in background:
        assert batch.numpy().tobytes() == expected[:2].tobytes()
        break
    assert torch.cat(list(background)).numpy().tobytes() == expected.tobytes()


def test_subsets_dicts_and_codes_come_as_from_the_loader(file: Path, expected: np.ndarray) -> None:
    subset = Subset(SARH5Dataset(file), [3, 1, 39])
    assert torch.cat(list(BackgroundLoader(DataLoader(subset, 2)))).numpy().tobytes() == expected[[3, 1, 39]].tobytes()
    for batch in BackgroundLoader(DataLoader(SARH5Dataset(file, sample="dict"), 8), device="cpu"):
        assert type(batch) is dict
        assert batch["image"].numpy().tobytes() == expected[batch["index"]].tobytes()
    dataset = SARH5Dataset(file, output="codes")
    decode = dataset.decoder()
    found = [decode(batch) for batch in BackgroundLoader(DataLoader(dataset, 8), device="cpu")]
    assert torch.cat(found).numpy().tobytes() == expected.tobytes()


def test_a_new_epoch_draws_new_symmetries(file: Path) -> None:
    dataset = SARH5Dataset(file, augment=True, seed=2)
    loader = BackgroundLoader(DataLoader(dataset, batch_size=16))
    for epoch in (0, 1, 0, 7):
        dataset.set_epoch(epoch)
        wanted = read_plain(file, augment=True, seed=2, epoch=epoch)
        assert torch.cat(list(loader)).numpy().tobytes() == wanted.tobytes()


def test_two_epochs_at_once_do_not_disturb_each_other(file: Path, expected: np.ndarray) -> None:
    loader = BackgroundLoader(DataLoader(SARH5Dataset(file, threads=3), batch_size=7))
    both = list(zip(loader, loader, strict=True))
    for side in (0, 1):
        assert torch.cat([pair[side] for pair in both]).numpy().tobytes() == expected.tobytes()


class Failing(Dataset[Any]):
    """Raises something other than an ordinary exception."""

    def __len__(self) -> int:
        return 6

    def __getitem__(self, index: int) -> int:
        if index == 4:
            raise KeyboardInterrupt
        return index


def test_whatever_is_raised_in_the_thread_is_raised_in_the_loop() -> None:
    got = []
    with pytest.raises(KeyboardInterrupt):
        got.extend(BackgroundLoader(DataLoader(Failing(), batch_size=None)))
    assert got == [0, 1, 2, 3]


def test_page_locked_memory_is_for_accelerators_only(file: Path) -> None:
    dataset = SARH5Dataset(file)
    BackgroundLoader(DataLoader(dataset), device="cpu")
    BackgroundLoader(DataLoader(dataset))
    assert not dataset.pin_batches
    BackgroundLoader(DataLoader(dataset), device="cuda:0")
    assert dataset.pin_batches


class SlowFirst(Dataset[Any]):
    """Notes which thread makes which sample."""

    def __init__(self) -> None:
        self.makers: list[str] = []

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> int:
        self.makers.append(threading.current_thread().name)
        return index


def test_all_but_the_first_batch_are_made_in_the_thread() -> None:
    dataset = SlowFirst()
    list(BackgroundLoader(DataLoader(dataset)))
    assert dataset.makers == [threading.current_thread().name, *["sar-h5-background"] * 3]
