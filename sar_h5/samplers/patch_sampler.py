"""What all samplers share: epochs, ranks, and going on in the middle of an epoch."""

from __future__ import annotations

import itertools
import operator
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import SupportsIndex

import numpy as np
import numpy.typing as npt
from torch import distributed
from torch.utils.data import DistributedSampler

from sar_h5.errors import SettingError
from sar_h5.samplers.source import SampleSource, SampleTable
from sar_h5.samplers.state import SamplerState, Setting


@dataclass(frozen=True)
class _Position:
    """A place in an epoch: ``consumed`` samples of its order are behind."""

    epoch: int
    consumed: int


class PatchSampler(DistributedSampler[int], ABC):
    """The base of the samplers: an order per epoch, of which each rank takes its part.

    Rank r of w takes samples r, r + w, r + 2 w, ... of the order. All ranks yield the same number: where w does not
    divide the samples that are left, ``drop_last`` leaves out at most the last w - 1 of the order (others in each
    epoch, where the order is random), and otherwise at most the first w - 1 of the order come twice.

    A sampler is one of PyTorch's ``DistributedSampler``, so that Lightning and others that shard what is not sharded
    leave it as it is.

    Attributes:
        epoch: number of the epoch, 0 at first; change it by :meth:`set_epoch`.
        seed: of the order.
        drop_last: as above.
    """

    kind = ""

    def __init__(
        self,
        source: SampleSource | SampleTable,
        length: int | None = None,
        *,
        seed: int,
        shuffle: bool,
        drop_last: bool,
        rank: int | None,
        world_size: int | None,
    ) -> None:
        self._table = source if isinstance(source, SampleTable) else SampleTable(source)
        self.length = self._table.count if length is None else length
        """Samples in an epoch, of all ranks together."""
        self._given = _check_ranks(rank, world_size)
        super().__init__(
            range(self.length),  # type: ignore[arg-type]  # of which only the length is used
            num_replicas=1,
            rank=0,
            shuffle=bool(shuffle),
            seed=whole_number("seed", seed),
            drop_last=bool(drop_last),
        )
        self._resumed: _Position | None = None
        self._epoch_before_state: int | None = None
        self._iteration: PatchIteration | None = None

    @abstractmethod
    def order(self, epoch: int) -> npt.NDArray[np.int64]:
        """Return the samples of an epoch, of all ranks together: int64 (length,)."""

    @abstractmethod
    def settings(self) -> dict[str, Setting]:
        """Return what changes the order, besides the seed and the dataset."""

    def approach(self, epoch: int, places: npt.NDArray[np.int64]) -> Iterator[None]:
        """Step along with an iteration: do what should be done before the sample at each place of the order is taken.

        Args:
            epoch: number of the epoch.
            places: int64 (n,), ascending; in the order that all ranks share.

        Yields:
            Once for each place.
        """
        del epoch
        yield from itertools.repeat(None, len(places))

    @property
    def iteration(self) -> PatchIteration | None:
        """The latest iteration of this epoch; None where none has begun since ``set_epoch`` or a state was loaded."""
        return self._iteration

    def set_epoch(self, epoch: int) -> None:
        """Go to an epoch; call it before each, and ``dataset.set_epoch`` as well where that augments.

        The epoch of a state that was loaded goes on where it was; any other begins at its beginning.
        """
        self.epoch = whole_number("epoch", epoch)
        if self._iteration is not None and self._iteration.position.epoch != self.epoch:
            self._iteration = None

    def __iter__(self) -> Iterator[int]:
        self._iteration = PatchIteration(self, self._next_position())
        # PyTorch's names for it, for those who look at them.
        self.rank, self.num_replicas = self.ranks()
        self.num_samples = len(self._iteration)
        return self._iteration

    def __len__(self) -> int:
        """Return how many samples this rank gets in the iteration that is under way, or in the next."""
        # An iteration without samples is false, but it is one.
        return len(PatchIteration(self, self._next_position()) if self._iteration is None else self._iteration)

    def state_dict(self, consumed: int | None = None) -> dict[str, object]:
        """Return where the epoch is, as plain data; the same on all ranks, since they keep step.

        Args:
            consumed: how many samples this rank's training has consumed since this iteration began, that is since the
                epoch began or was resumed: ``step * batch_size``, where the last batch may count as a whole one. A
                ``DataLoader`` with workers takes samples ahead of training, and only training knows. None for as many
                as were taken, which is right with ``num_workers=0``.

        Raises:
            SettingError: where ``consumed`` is negative, or not 0 before the iteration has begun.
        """
        consumed = None if consumed is None else whole_number("consumed", consumed)
        if consumed is not None and (consumed < 0 or (consumed > 0 and self._iteration is None)):
            began = "" if self._iteration else ", of which none has been taken since set_epoch or load_state_dict"
            raise SettingError(f"expected how many samples of this epoch were consumed{began}; found {consumed}")
        if self._iteration is not None:
            return self._iteration.state_dict(consumed)
        return self.state_at(self._next_position(), self.ranks()[1]).to_dict()

    def load_state_dict(self, state: Mapping[str, object]) -> None:
        """Go on where a state was taken, with exactly the samples that were missing, on any number of ranks.

        The epochs after that are whole again. A state of the end of an epoch leaves nothing of that epoch.

        Raises:
            SettingError: where it is no state, or that of another dataset, kind of sampler, seed or settings.
        """
        position = self.position_in(state)
        self._epoch_before_state = self.epoch
        self.epoch, self._resumed, self._iteration = position.epoch, position, None

    def samples_per_rank(self) -> int:
        """Return how many samples each rank gets in a whole epoch."""
        _, world_size = self.ranks()
        return self.length // world_size if self.drop_last else -(-self.length // world_size)

    def ranks(self) -> tuple[int, int]:
        """Return this process's rank, and how many there are."""
        if self._given is not None:
            return self._given
        if distributed.is_available() and distributed.is_initialized():
            return distributed.get_rank(), distributed.get_world_size()
        return 0, 1

    def state_at(self, position: _Position, world_size: int) -> SamplerState:
        """Return the state of a position."""
        return SamplerState(
            kind=self.kind,
            settings=self.settings(),
            seed=self.seed,
            fingerprint=self._table.fingerprint,
            length=self.length,
            epoch=position.epoch,
            consumed=position.consumed,
            world_size=world_size,
        )

    def position_in(self, state: Mapping[str, object]) -> _Position:
        """Return the position of a state, where it is one of this sampler."""
        found = SamplerState.from_dict(state)
        found.check_fits(self.state_at(_Position(0, 0), 1))
        return _Position(found.epoch, found.consumed)

    def give_up_resumption(self, position: _Position) -> None:
        """Forget where to go on, since an iteration has been there."""
        if self._resumed is position:
            self._resumed = None

    def hand_over(self, iteration: PatchIteration) -> None:
        """Leave going on to an iteration that was given the state itself, and be as before the state.

        torchdata's ``StatefulDataLoader`` loads a state when its iteration begins, which is after the ``set_epoch`` of
        the training loop, and begins another iteration at once where the state is of the end of an epoch.
        """
        if self._epoch_before_state is not None:
            self.epoch, self._epoch_before_state = self._epoch_before_state, None
        self._resumed, self._iteration = None, iteration

    def __getstate__(self) -> dict[str, object]:
        return self.__dict__ | {"_iteration": None}  # which is this process's own

    def _next_position(self) -> _Position:
        if self._resumed is not None and self._resumed.epoch == self.epoch:
            return self._resumed
        return _Position(self.epoch, 0)


class PatchIteration(Iterator[int]):
    """One pass of one rank over what is left of an epoch; it keeps a state, for torchdata's ``StatefulDataLoader``."""

    def __init__(self, sampler: PatchSampler, position: _Position) -> None:
        self._sampler = sampler
        self._begin(position)

    def _begin(self, position: _Position) -> None:
        self.position = position
        self._rank, self._world_size = self._sampler.ranks()
        left = self._sampler.length - position.consumed
        self._length = left // self._world_size if self._sampler.drop_last else -(-left // self._world_size)
        self._taken = 0
        self._samples: Iterator[int] | None = None

    def __len__(self) -> int:
        return self._length

    def __next__(self) -> int:
        if self._samples is None:
            # Not before: loaders begin iterations that they do not use.
            self._samples = self._own_samples()
        sample = next(self._samples, None)
        if sample is None:
            self._sampler.give_up_resumption(self.position)
            raise StopIteration
        self._taken += 1
        return sample

    def state_dict(self, consumed: int | None = None) -> dict[str, object]:
        """Return where the epoch is; see :meth:`PatchSampler.state_dict`."""
        count = self._taken if consumed is None else consumed
        behind = self.position.consumed + count * self._world_size
        # The end is the end, also of a rank that has dropped some samples or got some twice.
        behind = self._sampler.length if count >= self._length else behind
        return self._sampler.state_at(_Position(self.position.epoch, behind), self._world_size).to_dict()

    def load_state_dict(self, state: Mapping[str, object]) -> None:
        """Go on where a state was taken."""
        self._begin(self._sampler.position_in(state))
        self._sampler.hand_over(self)

    def _own_samples(self) -> Iterator[int]:
        epoch, world_size = self.position.epoch, self._world_size
        order = self._sampler.order(epoch)
        places = self.position.consumed + self._rank + world_size * np.arange(self._length)
        samples = order[places % max(len(order), 1)]  # beyond the end, from the beginning
        for sample, _ in zip(samples, self._sampler.approach(epoch, places), strict=True):
            yield int(sample)


def _check_ranks(rank: int | None, world_size: int | None) -> tuple[int, int] | None:
    if rank is None and world_size is None:
        return None
    if rank is None or world_size is None:
        raise SettingError(f"give both rank and world_size, or neither; found rank={rank}, world_size={world_size}")
    rank, world_size = whole_number("rank", rank), whole_number("world_size", world_size)
    if not 0 <= rank < world_size:
        raise SettingError(f"expected rank from 0 to world_size - 1; found rank={rank}, world_size={world_size}")
    return rank, world_size


def whole_number(name: str, value: SupportsIndex | None) -> int:
    """Return an argument that must be an integer, of NumPy or not, as one.

    Raises:
        SettingError: where it is something else.
    """
    try:
        return operator.index(value)  # type: ignore[arg-type]  # None is no integer either
    except TypeError as error:
        raise SettingError(f"expected {name} as an integer; found {value!r}") from error
