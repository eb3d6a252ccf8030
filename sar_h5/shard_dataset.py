"""``LazyPatchDataset``: patches straight from ``.npy`` shards, without a conversion, for PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from sar_h5.bad_samples import Policy
from sar_h5.patch_dataset import PatchDataset, check_choice
from sar_h5.selection import Indices, patch_numbers
from sar_h5.sources.shard_choice import choose_shards
from sar_h5.sources.shard_set import SHUFFLE_INDEX
from sar_h5.sources.shuffle_index import read_shuffle_index
from sar_h5.stores.shard_patches import MOST_OPEN, ShardPatches


class LazyPatchDataset(PatchDataset[ShardPatches]):
    """Patches of a directory of shards as a map-style dataset; samples are those of ``SARH5Dataset``.

    Only headers are read here. Each process opens shards when it needs them and never more than ``most_open``. A shard
    that is cut short while it is read is an error that names the patch. For many epochs, ``convert`` is worth its time:
    the files are several times smaller, and patches that come from products know their place.

    Args:
        directory: of shards, with or without ``metadata.npy`` (its ``file_index`` gives the order),
            ``global_bounds.npy`` and ``shuffle_idx.npy``.
        polarization: which shards to read; needed where there are several.
        shuffled: whether patch i is the one that ``shuffle_idx.npy`` says, where there is one; else shards and their
            patches keep their order.
        on_bad_source: "fail" where a shard is truncated, missing or none, naming every one; "skip" to go on without.
        check_values: whether a patch with NaN or values outside [0, 1] is an error, as in a conversion.
        most_open: how many files a process has open at most.
        indices: see ``SARH5Dataset``, as ``augment``, ``seed``, ``transform``, ``sample``, ``threads`` and
            ``on_bad_sample``.
        augment: see there.
        seed: see there.
        transform: see there.
        sample: see there; ``row`` and ``col`` are -1, since shards do not tell them, ``scene`` is the shard.
        threads: see there.
        on_bad_sample: see there.

    Attributes:
        path: the directory.
        vmin, vmax: bounds in dB that were scaled to 0 and 1; None where nothing tells them.
        polarization: "vv", "vh", "hh" or "hv".
        patch_size: side of a patch in pixels.
        stride: distance of neighbouring patches in pixels, -1 where unknown.
        skipped: the shards left out, each with its ``path`` and the ``reason``.

    Raises:
        SourceError: where there are no shards, or metadata or ``shuffle_idx.npy`` cannot be used.
        BadSourceError: where shards are broken.
        BoundsError: where the directory contradicts itself about the bounds.
        SettingError: where an argument cannot be honoured.
        PatchIndexError: where ``indices`` lie outside.
    """

    def __init__(
        self,
        directory: str | Path,
        *,
        polarization: str | None = None,
        shuffled: bool = True,
        on_bad_source: Literal["fail", "skip"] = "fail",
        check_values: bool = True,
        most_open: int = MOST_OPEN,
        indices: Indices | None = None,
        augment: bool = False,
        seed: int = 0,
        transform: Callable[[Any], Any] | None = None,
        sample: Literal["tensor", "dict"] = "tensor",
        threads: int | None = None,
        on_bad_sample: Policy = "raise",
    ) -> None:
        check_choice("on_bad_source", on_bad_source, ("fail", "skip"))
        place = Path(directory)
        chosen = choose_shards(place, polarization, skip_broken=on_bad_source == "skip")
        order = None
        if shuffled and (place / SHUFFLE_INDEX).is_file():
            shards = [shard.place for shard in chosen.shards]
            order = read_shuffle_index(place / SHUFFLE_INDEX, place, shards, complete=chosen.complete)
        store = ShardPatches(str(directory), chosen.shards, order, most_open=most_open, check=check_values)
        super().__init__(
            store,
            patches=None if indices is None else patch_numbers(indices, store.shape[0]),
            augment=augment,
            seed=seed,
            transform=transform,
            sample=sample,
            threads=threads,
            on_bad_sample=on_bad_sample,
        )
        self.path, self.polarization = str(directory), chosen.polarization
        self.vmin = None if chosen.bounds is None else chosen.bounds.vmin
        self.vmax = None if chosen.bounds is None else chosen.bounds.vmax
        self.patch_size, self.stride = store.shape[2], chosen.stride
        self.skipped = chosen.broken
