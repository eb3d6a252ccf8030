"""The shards of one polarization below a directory, without rasters and all that reading those needs."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from sar_h5.errors import BadSource, BadSourceError, SettingError, SourceError
from sar_h5.radiometry import Bounds
from sar_h5.schema import UNKNOWN
from sar_h5.sources.naming import POLARIZATIONS
from sar_h5.sources.shard_set import METADATA, read_shard_set
from sar_h5.sources.shards import NpyShard
from sar_h5.sources.walk import FoundFiles, find_files


@dataclass(frozen=True)
class ChosenShards:
    """Shards that can be read as one.

    Attributes:
        polarization: theirs.
        shards: in the order of ``file_index``, or by name where there is none.
        bounds: in dB, or None where nothing tells them.
        stride: distance of neighbouring patches in pixels, -1 where nothing tells it.
        broken: those left out.
    """

    polarization: str
    shards: tuple[NpyShard, ...]
    bounds: Bounds | None = None
    stride: int = UNKNOWN
    broken: tuple[BadSource, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether none of the polarization's shards was left out."""
        return not self.broken


def choose_shards(directory: Path, polarization: str | None, *, skip_broken: bool) -> ChosenShards:
    """Find the shards of a directory.

    Args:
        directory: of shards, with or without their metadata.
        polarization: which ones; also given to shards that tell none. None where there is only one kind.
        skip_broken: whether to leave broken shards out, as long as others are left.

    Raises:
        SourceError: where there is none.
        BadSourceError: where some are broken, each named.
        SettingError: where there are several polarizations and none was chosen.
        BoundsError: where the directory contradicts itself about the bounds.
    """
    if polarization is not None and polarization not in POLARIZATIONS:
        raise SettingError(f"expected polarization {', '.join(POLARIZATIONS)}; found {polarization!r}")
    if not directory.is_dir():
        found = "a file" if directory.exists() else "no such directory"
        raise SourceError(f"{directory}: expected a directory of .npy shards, found {found}")
    wanted = () if polarization is None else (polarization,)
    files = _list_shards(directory)
    found_set = read_shard_set(directory, files, wanted, polarization)
    shards, odd = _one_size(found_set.shards)
    broken = (*found_set.broken, *odd)
    if broken and not (skip_broken and shards):
        raise BadSourceError(broken, _ADVICE, "nothing can be read")
    if not shards:
        of_kind = "" if polarization is None else f" of polarization {polarization}"
        raise SourceError(f"{directory}: found no .npy shard{of_kind} among {len(files)} .npy files")
    chosen = shards[0].info.polarization
    several = sorted({shard.info.polarization for shard in shards}, key=POLARIZATIONS.index)
    if len(several) > 1:
        raise SettingError(
            f'{directory}: found shards of {" and ".join(several)}; say which to read, with polarization="{several[0]}"'
        )
    return ChosenShards(chosen, shards, found_set.bounds.get(chosen), found_set.stride, broken)


_ADVICE = 'Repair or remove them; on_bad_source="skip" goes on without them, as long as others are left.'


def _list_shards(directory: Path) -> list[Path]:
    """List the shards below a directory; metadata in folders below it would be of several sets of shards."""
    found = FoundFiles()
    find_files(directory, found)
    files = list(found.shards.values())
    homes = sorted(
        {str(path.parent) for path in files if path.parent != directory and (path.parent / METADATA).exists()}
    )
    if homes and not (directory / METADATA).exists():
        raise SourceError(
            f"{directory}: expected one directory of shards, found {METADATA} in {', '.join(homes)}; name one of them"
        )
    return files


def _one_size(shards: tuple[NpyShard, ...]) -> tuple[tuple[NpyShard, ...], tuple[BadSource, ...]]:
    """Keep the shards whose patches have the commonest size; the others are broken."""
    if not shards:
        return (), ()
    common = Counter(shard.patch_size for shard in shards).most_common(1)[0][0]
    reason = f"expected patches of {common} x {common} pixels as most shards have, found {{0}} x {{0}}"
    odd = [
        BadSource(shard.info.path, reason.format(shard.patch_size)) for shard in shards if shard.patch_size != common
    ]
    return tuple(shard for shard in shards if shard.patch_size == common), tuple(odd)
