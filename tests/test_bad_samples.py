"""Patches that cannot be read: each policy, in any process, with a message that finds them and a count of all."""

from __future__ import annotations

import logging
import os
import pickle
import re
from collections.abc import Iterable
from copy import deepcopy
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from sar_h5 import BackgroundLoader, SARH5Dataset
from sar_h5.bad_samples import MOST_ATTEMPTS, BadSamples, draw_substitute
from sar_h5.errors import CorruptPatchError, FormatError, SettingError
from tests.patch_files import Place, chunk_place, make_lut, overwrite, read_plain, set_places, write_file

COUNT, SIZE, BATCH = 20, 16, 4
START_METHODS = ["fork", "spawn"] if os.name == "posix" else ["spawn"]
FORK = START_METHODS[0]


def damage(path: Path, patches: Iterable[int]) -> Path:
    for number in patches:
        overwrite(path, chunk_place(path, number)[0], b"\xff" * 16)  # the frame's header
    return path


def write(path: Path, bad: Iterable[int] = (), count: int = COUNT) -> Path:
    codes = np.arange(SIZE * SIZE).reshape(SIZE, SIZE) // 5 + np.arange(count)[:, None, None]  # all of them compress
    return damage(write_file(path, codes.astype(np.uint8), make_lut(200)), bad)


@pytest.fixture
def intact(tmp_path: Path) -> np.ndarray:
    """All values, from a file that is not damaged."""
    return read_plain(write(tmp_path / "intact.h5"))


def batches_of(dataset: SARH5Dataset, workers: int = 0, **options: Any) -> list[Any]:
    if workers:
        options |= {"num_workers": workers, "multiprocessing_context": options.get("multiprocessing_context", FORK)}
        options |= {"timeout": 60}
    iterator, batches, errors = iter(DataLoader(dataset, **{"batch_size": BATCH} | options)), [], []
    while True:  # to the end: PyTorch waits ten seconds for workers that are given up
        try:
            batches.append(next(iterator))
        except StopIteration:
            break
        except CorruptPatchError as error:
            errors.append(error)
    if errors:
        raise errors[0]
    return batches


@given(st.integers(-(2**70), 2**70), st.integers(0, 2**40), st.integers(1, 10**6))
def test_a_substitute_is_a_function_of_its_arguments_and_in_range(seed: int, number: int, count: int) -> None:
    drawn = [draw_substitute(seed, number, attempt, count) for attempt in range(MOST_ATTEMPTS)]
    assert drawn == [draw_substitute(seed, number, attempt, count) for attempt in range(MOST_ATTEMPTS)]
    assert all(0 <= position < count for position in drawn)


def test_substitutes_are_drawn_from_all_samples_alike() -> None:
    drawn = np.bincount([draw_substitute(1, number, 0, 10) for number in range(5000)], minlength=10)
    assert ((drawn - 500) ** 2 / 500).sum() < 27.9  # 0.1 % of fair draws exceed it; the draw is fixed by the seed
    assert len({draw_substitute(seed, 3, 0, 10**6) for seed in range(100)}) > 95


def test_an_unknown_policy_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r'expected on_bad_sample "raise", "skip" or "substitute"; found \'ignore\''):
        SARH5Dataset(write(tmp_path / "a.h5"), on_bad_sample="ignore")  # type: ignore[arg-type]


# --- raise -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("output", ["values", "codes"])
def test_raise_names_file_patch_and_place(tmp_path: Path, workers: int, output: Any) -> None:
    path = write(tmp_path / "vv.h5", [9])
    dataset = SARH5Dataset(path, indices=range(5, 15), output=output)
    place = rf"{re.escape(str(path))}: patch 9 cannot be read: .* \(sample 4, scene b, row 27, column 63\); run `sar-h5 verify"
    with pytest.raises(CorruptPatchError, match=place):
        batches_of(dataset, workers)
    assert dataset.bad_samples == {}


def test_the_error_carries_what_a_program_needs(tmp_path: Path) -> None:
    path = write(tmp_path / "vv.h5", [9])
    with pytest.raises(CorruptPatchError) as caught:
        SARH5Dataset(path, indices=[3, 9])[-1]
    assert (caught.value.path, caught.value.patch) == (str(path), 9)
    assert isinstance(caught.value.__cause__, CorruptPatchError)


def test_of_joined_files_the_message_names_the_bad_one_and_its_own_number(tmp_path: Path) -> None:
    places: list[Place] = [(scene, row, 8 * row) for scene in "ab" for row in range(COUNT // 2)]
    vv = set_places(write(tmp_path / "vv.h5"), places, "vv")
    vh = set_places(write(tmp_path / "vh.h5", [2], COUNT - 5), places[:4:-1], "vh")
    options: dict[str, Any] = {"indices": slice(None, None, -1)}
    message = (
        r"vh\.h5: patch 2 cannot be read: .* \(sample 2, scene b, row 7, column 56\); run `sar-h5 verify .*vh\.h5`"
    )
    for output in ("values", "codes"):
        with pytest.raises(CorruptPatchError, match=message):
            batches_of(SARH5Dataset([vv, vh], output=output, **options))
    dataset = SARH5Dataset([vv, vh], on_bad_sample="skip", **options)
    assert sum(map(len, batches_of(dataset))) == COUNT - 5 - 1
    assert dataset.bad_samples == {COUNT - 5 - 3: 1}  # counted by the joined patch's number


def test_places_of_others_and_of_damaged_columns_are_left_out(tmp_path: Path) -> None:
    path = write(tmp_path / "vv.h5", [9])
    with h5py.File(path, "r+") as file:
        del file["scenes"]
    with pytest.raises(CorruptPatchError, match=r"patch 9 cannot be read: .* \(sample 9\); run"):
        SARH5Dataset(path)[9]


# --- skip and substitute ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("cache_nbytes", [0, 10**6])
@pytest.mark.parametrize("bad", [[4], [7], [4, 7, 13], [0, 5, 6, 19]], ids=str)
def test_skip_leaves_bad_patches_out_and_keeps_all_others_in_order(
    tmp_path: Path, intact: np.ndarray, workers: int, cache_nbytes: int, bad: list[int]
) -> None:
    dataset = SARH5Dataset(write(tmp_path / "a.h5", bad), on_bad_sample="skip", cache_nbytes=cache_nbytes)
    batches = batches_of(dataset, workers)
    good = [number for number in range(COUNT) if number not in bad]
    assert torch.cat(batches).numpy().tobytes() == intact[good].tobytes()
    assert [len(batch) for batch in batches] == [
        sum(number // BATCH == position for number in good) for position in range(COUNT // BATCH)
    ]
    assert dataset.bad_samples == dict.fromkeys(bad, 1)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("bad", [[4], [7], [4, 5, 6, 7], range(12)], ids=str)
def test_substitute_keeps_batches_whole_and_every_good_patch_in_its_place(
    tmp_path: Path, intact: np.ndarray, workers: int, bad: Iterable[int]
) -> None:
    path = write(tmp_path / "a.h5", bad)
    dataset = SARH5Dataset(path, on_bad_sample="substitute", seed=2, sample="dict")
    batches = batches_of(dataset, workers)
    assert [len(batch["image"]) for batch in batches] == [BATCH] * (COUNT // BATCH)
    served = torch.cat([batch["index"] for batch in batches]).tolist()
    assert torch.cat([batch["image"] for batch in batches]).numpy().tobytes() == intact[served].tobytes()
    assert not set(served) & set(bad)
    assert [number for number, found in enumerate(served) if number != found] == list(bad)
    assert dataset.bad_samples == dict.fromkeys(bad, 1)
    again = SARH5Dataset(path, on_bad_sample="substitute", seed=2, sample="dict", threads=3, cache_nbytes=5000)
    assert [again[number]["index"].item() for number in range(COUNT)] == served
    others = SARH5Dataset(path, on_bad_sample="substitute", seed=4, sample="dict")
    assert [others[number]["index"].item() for number in bad] != [served[number] for number in bad]


def test_substitutes_come_from_the_samples_of_the_dataset_and_turn_as_themselves(tmp_path: Path) -> None:
    path = write(tmp_path / "a.h5", [3])
    dataset = SARH5Dataset(path, indices=[3, 8, 11], on_bad_sample="substitute", augment=True, sample="dict", seed=1)
    for epoch in range(4):
        dataset.set_epoch(epoch)
        sample = dataset[0]
        assert (number := sample["index"].item()) in (8, 11)
        assert (
            sample["image"][None].numpy().tobytes()
            == read_plain(path, [number], augment=True, seed=1, epoch=epoch).tobytes()
        )


@pytest.mark.parametrize("policy", ["skip", "substitute"])
def test_codes_are_skipped_and_substituted_like_values(tmp_path: Path, policy: Any) -> None:
    path = write(tmp_path / "a.h5", [1, 6])
    codes = SARH5Dataset(path, output="codes", on_bad_sample=policy)
    values = SARH5Dataset(path, on_bad_sample=policy)
    decoder = codes.decoder()
    for batch, wanted in zip(batches_of(codes), batches_of(values), strict=True):
        assert torch.equal(decoder(batch), wanted)
    assert codes.bad_samples == {1: 1, 6: 1}


@pytest.mark.parametrize("output", ["values", "codes"])
@pytest.mark.parametrize("policy", ["skip", "substitute"])
def test_codes_that_no_table_has_make_a_patch_bad(tmp_path: Path, policy: Any, output: Any) -> None:
    path = write(tmp_path / "a.h5")
    with h5py.File(path, "r+") as file:
        file["patches"][6, 3, 4] = 200
    dataset = SARH5Dataset(path, output=output, on_bad_sample=policy)
    batches = batches_of(dataset)
    if output == "codes":
        assert torch.cat([batch["codes"] for batch in batches]).max() < 200
    assert dataset.bad_samples == {6: 1}


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("policy", ["skip", "substitute"])
def test_a_file_of_which_nothing_can_be_read_is_an_error(tmp_path: Path, policy: Any, workers: int) -> None:
    dataset = SARH5Dataset(write(tmp_path / "a.h5", range(COUNT)), on_bad_sample=policy)
    message = r"patch \d+ cannot be read: .*" + ("nor could any of 16 others" if policy == "substitute" else "sample")
    with pytest.raises(CorruptPatchError, match=message):
        batches_of(dataset, workers)
    with pytest.raises(CorruptPatchError, match=message):
        dataset[5]


def test_a_batch_of_which_nothing_is_left_is_an_error(tmp_path: Path) -> None:
    dataset = SARH5Dataset(write(tmp_path / "a.h5", range(4, 8)), on_bad_sample="skip")
    with pytest.raises(CorruptPatchError, match="patch 7 cannot be read"):
        batches_of(dataset)
    assert dataset.bad_samples == dict.fromkeys(range(4, 8), 1)


@pytest.mark.parametrize("workers", [0, 1])
def test_samples_without_batches_are_substituted_but_cannot_be_skipped(
    tmp_path: Path, intact: np.ndarray, workers: int
) -> None:
    path = write(tmp_path / "a.h5", [6])
    samples = batches_of(SARH5Dataset(path, on_bad_sample="substitute"), workers, batch_size=None)
    assert len(samples) == COUNT
    assert torch.stack(samples[7:]).numpy().tobytes() == intact[7:].tobytes()
    with pytest.raises(CorruptPatchError, match="patch 6"):
        batches_of(SARH5Dataset(path, on_bad_sample="skip"), workers, batch_size=None)


def test_a_background_loader_skips_too(tmp_path: Path, intact: np.ndarray) -> None:
    dataset = SARH5Dataset(write(tmp_path / "a.h5", [6]), on_bad_sample="skip")
    found = torch.cat(list(BackgroundLoader(DataLoader(dataset, batch_size=BATCH))))
    assert found.numpy().tobytes() == np.delete(intact, 6, axis=0).tobytes()


class Numbered(SARH5Dataset):
    """Makes its samples in a way of its own, as users do."""

    def __getitem__(self, index: int) -> Any:
        return super().__getitem__(index), index


def test_samples_of_a_subclass_are_skipped_and_substituted_too(tmp_path: Path, intact: np.ndarray) -> None:
    path = write(tmp_path / "a.h5", [6])
    skipping = Numbered(path, on_bad_sample="skip")
    batches = batches_of(skipping)
    assert torch.cat([numbers for _, numbers in batches]).tolist() == [*range(6), *range(7, COUNT)]
    assert torch.cat([images for images, _ in batches]).numpy().tobytes() == np.delete(intact, 6, axis=0).tobytes()
    assert skipping.bad_samples == {6: 1}
    assert [len(numbers) for _, numbers in batches_of(Numbered(path, on_bad_sample="substitute"))] == [BATCH] * 5
    for policy, indices in (("raise", [5, 6]), ("skip", [6, 6])):
        with pytest.raises(CorruptPatchError, match="patch 6"):
            Numbered(path, on_bad_sample=policy).__getitems__(indices)  # type: ignore[arg-type]


@pytest.mark.parametrize("error", [ValueError, FormatError, CorruptPatchError])
def test_what_a_transform_raises_comes_out(tmp_path: Path, error: type[Exception]) -> None:
    def refuse(sample: torch.Tensor) -> torch.Tensor:
        raise error(f"of the transform, {len(sample)} channel")

    dataset = SARH5Dataset(write(tmp_path / "a.h5", [6]), on_bad_sample="skip", transform=refuse)
    for numbers in ([1, 2], [5, 6]):
        with pytest.raises(error, match="of the transform"):
            dataset.__getitems__(numbers)
    assert dataset.bad_samples == {6: 1}


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("policy", ["raise", "skip", "substitute"])
def test_a_file_cut_short_in_the_middle_of_an_epoch(
    tmp_path: Path, intact: np.ndarray, policy: Any, workers: int
) -> None:
    path = write(tmp_path / "a.h5")
    cut = chunk_place(path, 10)[0]
    with h5py.File(path) as file:
        patches = file["patches"]
        good = [number for number in range(COUNT) if sum(chunk_place(path, number)) <= cut]
        del patches
    dataset = SARH5Dataset(path, on_bad_sample=policy, sample="dict")
    dataset.index, dataset[0]
    order = [number for pair in zip(range(COUNT // 2), range(COUNT // 2, COUNT), strict=True) for number in pair]
    os.truncate(path, cut)
    assert 0 < len(good) < COUNT
    if policy == "raise":
        with pytest.raises(CorruptPatchError, match=r"the file ends \d+ bytes early"):
            batches_of(dataset, workers, sampler=order)
        return
    batches = batches_of(dataset, workers, sampler=order)
    served = torch.cat([batch["index"] for batch in batches]).tolist()
    assert set(served) <= set(good)
    assert torch.cat([batch["image"] for batch in batches]).numpy().tobytes() == intact[served].tobytes()
    assert served == [number for number in order if number in good] or policy == "substitute"
    assert len(served) == (len(good) if policy == "skip" else COUNT)
    assert set(dataset.bad_samples) == set(range(COUNT)) - set(good)


# --- the record ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", START_METHODS)
def test_workers_that_stay_alive_count_together(tmp_path: Path, method: str) -> None:
    dataset = SARH5Dataset(write(tmp_path / "a.h5", [1, 6, 13]), on_bad_sample="skip")
    loader = DataLoader(
        dataset, BATCH, num_workers=2, persistent_workers=True, multiprocessing_context=method, timeout=60
    )
    for epoch in range(1, 4):
        assert sum(map(len, loader)) == COUNT - 3
        assert dataset.bad_samples == {1: epoch, 6: epoch, 13: epoch}


def test_each_bad_patch_is_logged_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write(tmp_path / "a.h5", [1, 6])
    skipping, replacing = (SARH5Dataset(path, on_bad_sample=policy) for policy in ("skip", "substitute"))
    with caplog.at_level(logging.WARNING, logger="sar_h5"):
        for _ in range(3):
            batches_of(skipping)
    assert [record.levelname for record in caplog.records] == ["WARNING"] * 2
    first, second = caplog.messages
    assert re.search(r"a\.h5: patch 1 cannot be read: .*\(sample 1, scene b, row 3, column 7\).* \(left out\)$", first)
    assert "patch 6" in second
    caplog.clear()
    batches_of(replacing)
    assert all(message.endswith("(replaced by another patch)") for message in caplog.messages)
    assert len(caplog.messages) == 2


@pytest.mark.parametrize(
    "copy", [deepcopy, lambda dataset: pickle.loads(pickle.dumps(dataset))], ids=["deepcopy", "pickle"]
)
def test_a_copy_goes_on_counting_on_its_own_and_shares_it_with_its_workers(tmp_path: Path, copy: Any) -> None:
    dataset = SARH5Dataset(write(tmp_path / "a.h5", [1]), on_bad_sample="skip")
    batches_of(dataset)
    copied = copy(dataset)
    assert copied.bad_samples == {1: 1}
    batches_of(copied, workers=2)
    assert (copied.bad_samples, dataset.bad_samples) == ({1: 2}, {1: 1})


def test_nothing_is_counted_or_shared_unless_a_policy_asks_for_it() -> None:
    record = BadSamples("raise", 10**9)
    assert record.counts() == {}
    assert len(pickle.dumps(record)) < 1000
    assert BadSamples("skip", 0).counts() == {}
