"""``SARDataModule``: files of patches in, loaders for training, validation, test and prediction out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch.utils.data import DataLoader

from sar_h5.bad_samples import Policy
from sar_h5.contents import holds_codes
from sar_h5.dataset import SARH5Dataset
from sar_h5.decoder import PatchDecoder
from sar_h5.epoch_loader import EpochLoader
from sar_h5.errors import SettingError
from sar_h5.lightning_base import DataModuleBase
from sar_h5.loader_settings import LoaderSettings, make_loader
from sar_h5.patch_dataset import check_choice
from sar_h5.samplers.kinds import DistributedPatchSampler
from sar_h5.samplers.patch_sampler import PatchSampler
from sar_h5.samplers.state import SamplerState
from sar_h5.schema import DEFAULT_SPLIT
from sar_h5.stores.patch_join import How

Stage = Literal["train", "val", "test", "predict"]

STAGES: Mapping[str, tuple[Stage, ...]] = {
    "fit": ("train", "val"),
    "validate": ("val",),
    "test": ("test",),
    "predict": ("predict",),
}
"""Which datasets each stage of a trainer needs."""


class SARDataModule(DataModuleBase):
    """Loaders of a file's splits, for a ``lightning.Trainer`` on any number of processes, or a loop of one's own.

    ==================== ===================================== ==================================================
    setting              default                               reason
    ==================== ===================================== ==================================================
    augmentation         training only                         validation is the same in every epoch
    last batch           dropped in training                   a small one would weigh as much as the others
    order                shuffled in training, by epoch        reproducible, and resumable in mid-epoch
    samples of ranks     even; in training the rest (fewer     uneven ranks would wait for ever for each other; no
                         than ranks) is dropped, otherwise     sample counts twice in a gradient
                         repeated
    page-locked memory   with an accelerator                   copies to it need not wait; else it only costs
    workers              0 on Windows, else one less than the  starting them is slow there; threads are as fast
                         cores of the rank, 4 at most
    workers between      kept                                  starting them may take longer than an epoch of
    epochs                                                     validation
    scaling, symmetry    on the accelerator, if there is one   half or a quarter of the bytes to copy
                         and no ``transform``
    prediction           all patches, in order, with their     results can be put back where they belong
                         places
    ==================== ===================================== ==================================================

    In a loop of one's own::

        data = SARDataModule("data/h5/vv.h5", batch_size=64)
        data.setup("fit")
        for epoch in range(data.epoch, 10):  # from 0, or from that of a state that was loaded
            data.set_epoch(epoch)
            for batch in data.train_dataloader():
                x = data.to_device(batch, device)  # float32 (64, 1, 256, 256) in [0, 1]

    Args:
        path: a file of this package, or several, as of :class:`SARH5Dataset`.
        batch_size, eval_batch_size, num_workers, pin_memory, prefetch_factor: of the loaders; see
            :class:`sar_h5.loader_settings.LoaderSettings` for what None means.
        split_name: which of the file's ways of splitting; ``sar-h5 split`` makes one.
        predict_split: "train", "val" or "test" to predict on; None for all patches.
        augment: whether training samples get one of the eight symmetries of the square.
        seed: of the order and the augmentation.
        sampler: makes the sampler of the training dataset, such as ``functools.partial(BlockShuffleSampler, seed=1)``;
            None for all of its samples in random order.
        scale_on_device: whether codes are looked up and turned in ``on_after_batch_transfer``, on the device of the
            batch, rather than when batches are made. None for yes where there is an accelerator and no ``transform``,
            which would get codes; never for files that hold values.
        transform: called with each sample of every stage, on the CPU: of values, or with ``scale_on_device=True`` of
            codes, as :class:`SARH5Dataset` gives them; for prediction as a dict.
        how, fill, on_bad_sample, cache_nbytes, where, manifest, verify: as of :class:`SARH5Dataset`.

    Attributes:
        train_dataset, val_dataset, test_dataset, predict_dataset: after ``setup``; None for stages not set up.
    """

    train_dataset: SARH5Dataset | None = None
    val_dataset: SARH5Dataset | None = None
    test_dataset: SARH5Dataset | None = None
    predict_dataset: SARH5Dataset | None = None

    def __init__(
        self,
        path: str | Path | Sequence[str | Path],
        *,
        batch_size: int = 64,
        eval_batch_size: int | None = None,
        num_workers: int | None = None,
        pin_memory: bool | None = None,
        prefetch_factor: int = 2,
        split_name: str = DEFAULT_SPLIT,
        predict_split: str | None = None,
        augment: bool = True,
        seed: int = 0,
        sampler: Callable[[SARH5Dataset], PatchSampler] | None = None,
        scale_on_device: bool | None = None,
        transform: Callable[[Any], Any] | None = None,
        how: How = "inner",
        fill: float = 0.0,
        on_bad_sample: Policy = "raise",
        cache_nbytes: int = 0,
        where: str | None = None,
        manifest: str | Path | None = None,
        verify: Literal["never", "always"] = "never",
    ) -> None:
        super().__init__()
        check_choice("verify", verify, ("never", "always"))
        self.settings = LoaderSettings(batch_size, eval_batch_size, num_workers, pin_memory, prefetch_factor)
        self._path = [path] if isinstance(path, (str, Path)) else list(path)
        self._split_name, self._predict_split = split_name, predict_split
        self._augment, self._seed, self._sampler = augment, seed, sampler
        self._scale_on_device, self._transform = scale_on_device, transform
        self._how, self._fill, self._on_bad_sample, self._cache_nbytes = how, fill, on_bad_sample, cache_nbytes
        self._where, self._manifest, self._verify = where, manifest, verify
        self._train_loader: EpochLoader | None = None
        self._files: SARH5Dataset | None = None
        self._epoch = 0
        self._position: Mapping[str, object] | None = None
        self._decoder: PatchDecoder | None = None

    def setup(self, stage: str | None = None) -> None:
        """Open the datasets that a stage needs.

        Args:
            stage: "fit", "validate", "test" or "predict"; None for all of them.

        Raises:
            SourceError, FormatError, SettingError: as :class:`SARH5Dataset` does; such as where the file has no splits.
        """
        if stage is not None and stage not in STAGES:
            raise SettingError(f"expected stage {', '.join(STAGES)} or None; found {stage!r}")
        for name in STAGES[stage] if stage else ("train", "val", "test", "predict"):
            if getattr(self, f"{name}_dataset") is None:
                setattr(self, f"{name}_dataset", self._open(name))

    def train_dataloader(self) -> EpochLoader:
        """Return the loader of the training split, shuffled; the same one each time, with its workers."""
        if self._train_loader is None:
            dataset = _opened(self.train_dataset, "fit")
            make = self._sampler or (lambda data: DistributedPatchSampler(data, seed=self._seed, drop_last=True))
            sampler = _checked(make(dataset), self.settings.batch_size)
            loader = make_loader(EpochLoader, dataset, self.settings, training=True, sampler=sampler)
            if self._position is None:
                loader.sampler.set_epoch(self._epoch)
            else:
                loader.resume(self._position)
                _agree_on_progress(self.trainer, loader.batches_before)
            self._train_loader, self._position = loader, None
        return self._train_loader

    def val_dataloader(self) -> DataLoader[Any]:
        """Return the loader of the validation split, in order."""
        return self._eval_loader(_opened(self.val_dataset, "fit"))

    def test_dataloader(self) -> DataLoader[Any]:
        """Return the loader of the test split, in order."""
        return self._eval_loader(_opened(self.test_dataset, "test"))

    def predict_dataloader(self) -> DataLoader[Any]:
        """Return the loader of the patches to predict on, in order; Lightning shares them out to its ranks."""
        return make_loader(DataLoader, _opened(self.predict_dataset, "predict"), self.settings, training=False)

    @property
    def epoch(self) -> int:
        """The epoch of training, 0 at first."""
        return self._epoch if self._train_loader is None else self._train_loader.sampler.epoch

    def set_epoch(self, epoch: int) -> None:
        """Go to an epoch: another order, another draw of symmetries. Lightning does so itself."""
        if self._train_loader is not None:
            self._train_loader.sampler.set_epoch(epoch)
        elif self._position is None or epoch != self._epoch:
            self._epoch, self._position = epoch, None

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int = 0) -> Any:  # noqa: ARG002 - Lightning's signature
        """Turn codes into values on the device that the batch is on, each under its symmetry; leave others as they are.

        Args:
            batch: as a loader of this module yields it.
            dataloader_idx: of several loaders; it makes no difference.

        Returns:
            float32 (n, C, H, W); or a dict with that as ``image`` where the batch tells places.
        """
        if not isinstance(batch, Mapping) or "codes" not in batch or self._decoder is None:
            return batch
        self._decoder = self._decoder.to(batch["codes"].device)
        image = self._decoder(batch)
        rest = {name: values for name, values in batch.items() if name not in ("codes", "symmetry")}
        return {"image": image} | rest if rest else image

    def to_device(self, batch: Any, device: torch.device | str) -> Any:
        """Move a batch to a device and scale it there, in a loop of one's own: what Lightning does with its hooks."""
        if isinstance(batch, Mapping):
            moved = {name: values.to(device, non_blocking=True) for name, values in batch.items()}
        else:
            moved = batch.to(device, non_blocking=True)
        return self.on_after_batch_transfer(moved)

    def state_dict(self) -> dict[str, Any]:
        """Return where training is, as plain data; Lightning keeps it in its checkpoints."""
        if self._train_loader is None:
            return {} if self._position is None else {"train": dict(self._position)}
        return {"train": self._train_loader.position(_unfinished_batches(self.trainer))}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on where training was: the samples of that epoch that were missing, on any number of ranks.

        Raises:
            SettingError: where the state is of another dataset, sampler or seed; at once, or once the data are open.
        """
        position = state_dict.get("train")
        if position is None:
            return
        if not isinstance(position, Mapping):
            raise SettingError(f"expected the state of a SARDataModule; found train={position!r:.100}")
        if self._train_loader is None:
            self._position, self._epoch = position, SamplerState.from_dict(position).epoch
        else:
            self._train_loader.resume(position)

    def _open(self, stage: Stage) -> SARH5Dataset:
        by_device = self._scales_on_device()
        if self._files is None:
            self._files = SARH5Dataset(
                self._path, how=self._how, fill=self._fill, cache_nbytes=self._cache_nbytes, verify=self._verify
            )
        dataset = SARH5Dataset(
            self._files,
            split=self._predict_split if stage == "predict" else stage,
            split_name=self._split_name,
            where=self._where,
            manifest=self._manifest,
            augment=self._augment and stage == "train",
            seed=self._seed,
            transform=self._transform,
            sample="dict" if stage == "predict" else "tensor",
            output="codes" if by_device else "values",
            on_bad_sample=self._on_bad_sample,
        )
        if by_device and self._decoder is None:
            self._decoder = dataset.decoder()
        return dataset

    def _scales_on_device(self) -> bool:
        wanted = self._scale_on_device
        if wanted is None:
            wanted = self._transform is None and _has_accelerator(self.trainer)
        return wanted and all(holds_codes(path) for path in self._path)

    def _eval_loader(self, dataset: SARH5Dataset) -> DataLoader[Any]:
        sampler = DistributedPatchSampler(dataset, shuffle=False, drop_last=False)
        return make_loader(DataLoader, dataset, self.settings, training=False, sampler=sampler)


def _checked(sampler: object, batch_size: int) -> PatchSampler:
    if not isinstance(sampler, PatchSampler):
        raise SettingError(
            "expected sampler to make a sampler of this package, such as BlockShuffleSampler, which knows epochs and "
            f"ranks; found {type(sampler).__name__}"
        )
    samples = sampler.samples_per_rank()
    if samples < batch_size:
        raise SettingError(
            f"expected at least one batch of {batch_size} in an epoch of training, found {samples} samples for each "
            "rank, which would be dropped; choose a smaller batch_size"
        )
    return sampler


def _has_accelerator(trainer: Any) -> bool:
    if trainer is None:
        return torch.accelerator.is_available()
    return bool(trainer.strategy.root_device.type != "cpu")


def _unfinished_batches(trainer: Any) -> int:
    """Return how many batches Lightning's loop has taken, but not yet made its step with: one, after an error in it."""
    if trainer is None:
        return 0
    current = trainer.fit_loop.epoch_loop.batch_progress.current
    return int(current.ready - current.processed)


def _agree_on_progress(trainer: Any, batches: int) -> None:
    """Have Lightning's loop count on from where the epoch is, which on another number of ranks is another batch."""
    if trainer is None:
        return
    current = trainer.fit_loop.epoch_loop.batch_progress.current
    shift = batches - current.processed
    for name in ("ready", "started", "processed", "completed"):
        setattr(current, name, max(getattr(current, name) + shift, 0))


def _opened(dataset: SARH5Dataset | None, stage: str) -> SARH5Dataset:
    if dataset is None:
        raise SettingError(f'the data are not open yet; call setup("{stage}") first')
    return dataset
