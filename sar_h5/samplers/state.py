"""How far an epoch has come, as plain data for a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields

from sar_h5.errors import SettingError

STATE_VERSION = 1

Setting = int | float | str | bool | None


@dataclass(frozen=True)
class SamplerState:
    """Where a sampler is in its epoch, and what it must be to go on from there.

    All ranks take their samples from one order, in turns, so that what a job has consumed is always the beginning of
    that order, however many ranks there were.

    Attributes:
        kind: of the sampler.
        settings: of the sampler, as far as they change the order.
        seed: of the order.
        fingerprint: of the dataset.
        length: samples in an epoch, of all ranks together.
        epoch: its number.
        consumed: how many samples of the order all ranks together have consumed.
        world_size: how many ranks there were. For the reader: it may be another number from now on.
        version: of this layout.
    """

    kind: str
    settings: Mapping[str, Setting]
    seed: int
    fingerprint: str
    length: int
    epoch: int
    consumed: int
    world_size: int
    version: int = STATE_VERSION

    def to_dict(self) -> dict[str, object]:
        """Return it as numbers, strings and dictionaries, fit for JSON and for ``torch.save``."""
        return {**asdict(self), "settings": dict(self.settings)}

    @classmethod
    def from_dict(cls, state: Mapping[str, object]) -> SamplerState:
        """Read what :meth:`to_dict` made.

        Raises:
            SettingError: where it is something else.
        """
        types = {field.name: str if field.name in ("kind", "fingerprint") else int for field in fields(cls)}
        expected: dict[str, type] = {**types, "settings": Mapping}
        if not isinstance(state, Mapping) or set(state) != set(expected):
            found = ", ".join(sorted(map(str, state))) if isinstance(state, Mapping) else type(state).__name__
            raise SettingError(
                f"expected what state_dict() of a sampler returned, with {', '.join(sorted(expected))}; found {found}"
            )
        for name, kind in expected.items():
            if not isinstance(state[name], kind) or isinstance(state[name], bool):
                raise SettingError(f"sampler state: expected {name} as {kind.__name__}, found {state[name]!r}")
        made = cls(**state)  # type: ignore[arg-type]  # checked above, name by name
        if made.version != STATE_VERSION:
            raise SettingError(f"sampler state: expected version {STATE_VERSION}, found {made.version}; update sar_h5")
        if not 0 <= made.consumed <= made.length:
            raise SettingError(f"sampler state: expected 0 to {made.length} samples consumed, found {made.consumed}")
        return made

    def check_fits(self, here: SamplerState) -> None:
        """Check that a sampler can go on from this state.

        Args:
            here: a state of that sampler.

        Raises:
            SettingError: where the rest of the epoch would be other samples than those that are missing; it names
                every difference.
        """
        ours, theirs = _identity(here), _identity(self)
        differences = [
            f"{name}: the state has {theirs.get(name, 'none')}, this sampler has {ours.get(name, 'none')}"
            for name in {**ours, **theirs}
            if ours.get(name) != theirs.get(name)
        ]
        if differences:
            raise SettingError(
                f"the state is of another sampler or dataset: {'; '.join(differences)}. Make the sampler as it was, "
                "with the same file, split, indices, seed and settings; or do not load the state, and begin an epoch"
            )


def _identity(state: SamplerState) -> dict[str, Setting]:
    return {
        "kind of sampler": state.kind,
        "samples in an epoch": state.length,
        "seed": state.seed,
        **state.settings,
        "fingerprint of the dataset": state.fingerprint,
    }
