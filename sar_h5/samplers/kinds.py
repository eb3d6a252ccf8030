"""Which samples an epoch takes, and in which order: all, some, in blocks for slow disks, or weighted by scene.

Each works in a ``DataLoader``, a ``BackgroundLoader`` and torchdata's ``StatefulDataLoader``, on any number of ranks,
and goes on in the middle of an epoch, also on another number of ranks; see :class:`PatchSampler`::

    sampler = DistributedPatchSampler(dataset, seed=1)
    loader = BackgroundLoader(DataLoader(dataset, batch_size=64, sampler=sampler))
    if checkpoint:
        loader.load_state_dict(checkpoint["loader"])
    for epoch in range(sampler.epoch, epochs):
        sampler.set_epoch(epoch)  # the order
        dataset.set_epoch(epoch)  # the augmentation
        for batch in loader:
            ...  # at any step: checkpoint["loader"] = loader.state_dict()
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from sar_h5.errors import SettingError
from sar_h5.samplers.order import block_sequence, block_shuffled_order, choose_subset, shuffled_order, weighted_order
from sar_h5.samplers.patch_sampler import PatchSampler, whole_number
from sar_h5.samplers.scene_weights import SceneWeights, weights_by_scene
from sar_h5.samplers.source import SampleSource, SampleTable
from sar_h5.samplers.state import Setting


class DistributedPatchSampler(PatchSampler):
    """Takes every sample once in an epoch.

    Args:
        source: a dataset, or a number of samples.
        shuffle: whether in random order, another in each epoch; else as they lie in the file.
        seed: of the order. The order is a pure function of (seed, epoch, number of samples).
        drop_last: whether to leave out what does not fill all ranks; else some samples come twice.
        rank, world_size: which part of how many; None for those of ``torch.distributed`` when the iteration begins,
            or all samples where that is not initialized.

    Raises:
        SettingError: where an argument cannot be honoured.
    """

    kind = "distributed"

    def __init__(
        self,
        source: SampleSource,
        *,
        shuffle: bool = True,
        seed: int = 0,
        drop_last: bool = False,
        rank: int | None = None,
        world_size: int | None = None,
    ) -> None:
        super().__init__(source, seed=seed, shuffle=shuffle, drop_last=drop_last, rank=rank, world_size=world_size)

    def order(self, epoch: int) -> npt.NDArray[np.int64]:
        """Return the samples of an epoch, of all ranks together: int64 (length,)."""
        return shuffled_order(self.length, self.seed, epoch) if self.shuffle else np.arange(self.length)

    def settings(self) -> dict[str, Setting]:
        """Return what changes the order, besides the seed and the dataset."""
        return {"shuffle": self.shuffle}


class SubsetSampler(PatchSampler):
    """Takes some of the samples, the same ones in every epoch: for quick experiments, or learning curves.

    Args:
        source: a dataset, or the scene number of each sample; without ``stratify`` a number of samples does as well.
        n: how many samples to take.
        fraction: which part of them to take, in (0, 1], to the nearest whole number. Give one of the two.
        stratify: whether each scene gets its share, to within one sample.
        redraw: whether to choose other samples in each epoch.
        shuffle: whether in random order, another in each epoch; else as they lie in the file.
        seed, drop_last, rank, world_size: as of :class:`DistributedPatchSampler`.

    Raises:
        SettingError: where an argument cannot be honoured.
    """

    kind = "subset"

    def __init__(
        self,
        source: SampleSource,
        *,
        n: int | None = None,
        fraction: float | None = None,
        stratify: bool = True,
        redraw: bool = False,
        shuffle: bool = True,
        seed: int = 0,
        drop_last: bool = False,
        rank: int | None = None,
        world_size: int | None = None,
    ) -> None:
        table = SampleTable(source)
        self._count = table.count
        self._scenes = table.scenes if stratify else None
        self._redraw = bool(redraw)
        self._chosen: tuple[int, npt.NDArray[np.int64]] | None = None
        super().__init__(
            table,
            _subset_size(table.count, n, fraction),
            seed=seed,
            shuffle=shuffle,
            drop_last=drop_last,
            rank=rank,
            world_size=world_size,
        )

    def order(self, epoch: int) -> npt.NDArray[np.int64]:
        """Return the samples of an epoch, of all ranks together: int64 (length,)."""
        draw = epoch if self._redraw else 0
        if self._chosen is None or self._chosen[0] != draw:
            chosen = choose_subset(self._count, self.length, self.seed, draw, scenes=self._scenes)
            self._chosen = draw, chosen
        _, chosen = self._chosen
        return chosen[shuffled_order(self.length, self.seed, epoch)] if self.shuffle else chosen.copy()

    def settings(self) -> dict[str, Setting]:
        """Return what changes the order, besides the seed and the dataset."""
        return {"shuffle": self.shuffle, "stratify": self._scenes is not None, "redraw": self._redraw}


class BlockShuffleSampler(PatchSampler):
    """Takes every sample once, those of a few runs of neighbours at a time: for files on slow disks.

    ``block`` neighbouring samples are read from one place; the blocks come in random order, and the samples of each
    ``blocks_in_memory`` of them are shuffled. Blocks are announced to the operating system about as many blocks ahead,
    so that it reads each from the disk in one go, as long as the page cache has room for twice as many. All ranks are
    in the same blocks at any time, so those of one machine share them; each machine reads all blocks. For an epoch of
    6,144 patches (805 MB, not cached, ``block=64, blocks_in_memory=16``) Linux counted 837 reads of the disk, against
    6,094 for a full shuffle, 5,430 for the same blocks without announcing them, and 246 in the order of the file.

    How random that is, for 720,953 samples of 60 scenes in batches of 64, as :func:`measure_shuffle` finds it. The
    last number is what a batch is worth in random samples, as far as the mixture of scenes goes; it is close to
    k / (k + batch size) for k blocks in memory, however large they are:

    ======= ================ =================== ================== ================ ===============
    block   blocks_in_memory patches in memory   neighbour_distance groups_per_batch effective_batch
    ======= ================ =================== ================== ================ ===============
    64      256 (default)    16,384              0.995              0.94             0.81
    64      64               4,096               0.986              0.76             0.51
    256     64               16,384              0.986              0.77             0.51
    1024    16               16,384              0.930              0.38             0.21
    256     256              65,536              0.997              0.94             0.82
    full    shuffle          720,953             1.001              1.00             1.00
    none    (file order)                         0.000              0.03             0.02
    ======= ================ =================== ================== ================ ===============

    Args:
        source: a dataset, or a number of samples.
        block: how many neighbouring samples are kept together.
        blocks_in_memory: how many blocks are mixed.
        announce: whether to announce blocks, which takes a :class:`SARH5Dataset` of a file of this package, and a
            system that takes such advice (Linux). Without it, this order saves a disk next to nothing.
        seed, drop_last, rank, world_size: as of :class:`DistributedPatchSampler`.

    Raises:
        SettingError: where an argument cannot be honoured.
    """

    kind = "block shuffle"

    def __init__(
        self,
        source: SampleSource,
        *,
        block: int = 64,
        blocks_in_memory: int = 256,
        announce: bool = True,
        seed: int = 0,
        drop_last: bool = False,
        rank: int | None = None,
        world_size: int | None = None,
    ) -> None:
        self._block = whole_number("block", block)
        self._blocks_in_memory = whole_number("blocks_in_memory", blocks_in_memory)
        if self._block < 1 or self._blocks_in_memory < 1:
            raise SettingError(
                "expected blocks of at least 1 sample, and at least 1 of them in memory; found "
                f"block={block}, blocks_in_memory={blocks_in_memory}"
            )
        table = SampleTable(source)
        self._announcer = table.announcer if announce else None
        super().__init__(table, seed=seed, shuffle=True, drop_last=drop_last, rank=rank, world_size=world_size)

    def order(self, epoch: int) -> npt.NDArray[np.int64]:
        """Return the samples of an epoch, of all ranks together: int64 (length,)."""
        sizes = {"block": self._block, "blocks_in_memory": self._blocks_in_memory}
        return block_shuffled_order(self.length, self.seed, epoch, **sizes)

    def approach(self, epoch: int, places: npt.NDArray[np.int64]) -> Iterator[None]:
        """Announce the blocks to come, before the sample at each place of the order is taken."""
        if self._announcer is None or len(places) == 0:
            yield from super().approach(epoch, places)
            return
        sequence = block_sequence(self.length, self.seed, epoch, block=self._block)
        # All of the window that an iteration begins in, then one block for each that it gets on, and some to spare.
        lead = self._blocks_in_memory + self._blocks_in_memory // 4 + 1
        done = int(places[0]) // self._block // self._blocks_in_memory * self._blocks_in_memory
        for place in (places // self._block).tolist():
            if done < place + lead:
                for number in sequence[done : place + lead].tolist():
                    start = number * self._block
                    self._announcer.announce(np.arange(start, min(start + self._block, self.length)))
                done = place + lead
            yield None

    def settings(self) -> dict[str, Setting]:
        """Return what changes the order, besides the seed and the dataset."""
        return {"block": self._block, "blocks_in_memory": self._blocks_in_memory}


class SceneWeightedSampler(PatchSampler):
    """Takes samples so that each scene has a given share of the epoch, in random order.

    Shares are exact to within one sample. Within a scene each sample comes as often as any other, to within one: where
    its share is smaller than the scene, other samples come in other epochs; where it is larger, they repeat.

    Args:
        source: a dataset, or the scene number of each sample.
        weights: "equal" for the same share for every scene that has samples; a mapping from the names of the scenes
            (or their numbers, where the source is an array) to weights; or one weight per scene number. A share is a
            scene's weight over the sum of those of the scenes that have samples; 0 leaves a scene out.
        n: samples in an epoch; None for as many as there are.
        seed, drop_last, rank, world_size: as of :class:`DistributedPatchSampler`.

    Raises:
        SettingError: where an argument cannot be honoured.
    """

    kind = "scene weights"

    def __init__(
        self,
        source: SampleSource,
        *,
        weights: SceneWeights = "equal",
        n: int | None = None,
        seed: int = 0,
        drop_last: bool = False,
        rank: int | None = None,
        world_size: int | None = None,
    ) -> None:
        table = SampleTable(source)
        length = table.count if n is None else whole_number("n", n)
        if length < 0 or (length > 0 and table.count == 0):
            raise SettingError(f"expected n, 0 or more, of at least one sample; found n={n} of {table.count} samples")
        self._scenes = table.scenes
        self._weights = weights_by_scene(weights, table.scenes, table.scene_names)
        super().__init__(table, length, seed=seed, shuffle=True, drop_last=drop_last, rank=rank, world_size=world_size)

    def order(self, epoch: int) -> npt.NDArray[np.int64]:
        """Return the samples of an epoch, of all ranks together: int64 (length,)."""
        return weighted_order(self._scenes, self._weights, self.length, self.seed, epoch)

    def settings(self) -> dict[str, Setting]:
        """Return what changes the order, besides the seed and the dataset."""
        return {"weights": hashlib.sha256(" ".join(map(str, self._weights)).encode()).hexdigest()[:16]}


def _subset_size(count: int, n: int | None, fraction: float | None) -> int:
    if (n is None) == (fraction is None):
        raise SettingError(f"give n or fraction, one of them; found n={n}, fraction={fraction}")
    if fraction is not None:
        if not 0 < fraction <= 1:
            raise SettingError(f"expected a fraction above 0, up to 1; found {fraction}")
        size = math.floor(fraction * count + 0.5)
    else:
        size = whole_number("n", n)
    if not 1 <= size <= count:
        asked = f"n={n}" if fraction is None else f"fraction={fraction}, which is {size}"
        raise SettingError(f"expected a subset of 1 to {count} samples, as many as there are; found {asked}")
    return size
