"""What a file holds, in a screenful: settings, bounds, scenes, size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from sar_h5 import schema
from sar_h5.contents import find_patches, read_columns, split_codes
from sar_h5.errors import FormatError
from sar_h5.opening import name_damage, open_as_it_is
from sar_h5.pending import tell_unfinished
from sar_h5.recovered_count import RecoveredCount
from sar_h5.schema import FileSettings
from sar_h5.splits.bounds_scenes import scenes_outside_train
from sar_h5.splits.leakage import SplitOverlap, count_noun, measure_stored, read_split_source

_MOST_SCENES = 12


@dataclass(frozen=True)
class FileInfo:
    """A file at a glance.

    Attributes:
        path: the file.
        nbytes: its size.
        patches: how many patches it holds.
        dtype: of what is stored.
        levels: how many codes there are, 0 for float32.
        blocks: how many blocks make up the patches, 0 where each is stored by itself.
        settings: what holds for all patches.
        attributes: further attributes of the root, as text.
        filter: name and options of the compression filter.
        scenes: one dict per scene: name, start_time, size in pixels, patches, dropped.
        splits: what the splits in the file hold and share.
        bounds_outside_train: the scenes that gave the bounds and are not wholly in train, by the name of the splits.
        valid_pixels: how many valid pixels the histogram counts, 0 where there is none.
        left_out: how many patches of its scenes have been left out since the conversion; None where that is not known.
        left_out_scenes: how many scenes have been left out.
        recovered: how many places were recovered from shared pixels; None where none were.
    """

    path: str
    nbytes: int
    patches: int
    dtype: str
    levels: int
    blocks: int
    settings: FileSettings
    attributes: dict[str, str]
    filter: str
    scenes: tuple[dict[str, Any], ...]
    splits: tuple[SplitOverlap, ...]
    bounds_outside_train: Mapping[str, Sequence[str]]
    valid_pixels: int
    left_out: int | None = 0
    left_out_scenes: int = 0
    recovered: RecoveredCount | None = None

    @property
    def ratio(self) -> float:
        """Size as float32 over size stored."""
        return self.patches * self.settings.patch_size**2 * 4 / self.nbytes

    def to_dict(self) -> dict[str, object]:
        """Return all values as plain data for JSON."""
        return {
            "path": self.path,
            "nbytes": self.nbytes,
            "ratio": self.ratio,
            "patches": self.patches,
            "dtype": self.dtype,
            "levels": self.levels,
            "blocks": self.blocks,
            **{name: _plain(value) for name, value in self.settings.to_attrs().items()},
            **self.attributes,
            "filter": self.filter,
            "scenes": list(self.scenes),
            "splits": [split.to_dict() for split in self.splits],
            "bounds_outside_train": {name: list(scenes) for name, scenes in self.bounds_outside_train.items()},
            "valid_pixels": self.valid_pixels,
            "left_out": self.left_out,
            "left_out_scenes": self.left_out_scenes,
            "recovered": None if self.recovered is None else self.recovered.to_dict(),
        }

    def to_text(self) -> str:
        """Return the lines that the command prints."""
        settings, attributes = self.settings, self.attributes
        stride = "unknown" if settings.stride < 0 else f"{settings.stride} px"
        codes = f", {self.levels:,} codes in /lut" if self.levels else ""
        lines = [
            f"{self.path}: {attributes['title']} (format {attributes['format_version']})",
            f"  patches    {self.patches:,} x {settings.patch_size} x {settings.patch_size}, {self.dtype}, stride "
            f"{stride}",
            *([f"  layout     {self._layout_text()}"] if self.blocks else []),
            f"  encoding   {settings.encoding}{codes}; {self.filter}",
            f"  bounds     {settings.vmin:.4f} to {settings.vmax:.4f} dB = 0 to 1 ({attributes['bounds_origin']})",
            f"  source     {attributes['quantity']}, units {attributes['units']}",
            f"  filter     least valid fraction {settings.min_valid:g}, measured by {attributes['valid_measure']}",
            *([] if self.recovered is None else [f"  places     {self.recovered}"]),
            *self._describe_left_out(),
            f"  size       {self.nbytes / 1e6:,.2f} MB, {self.ratio:.2f} x smaller than float32",
            f"  digest     {attributes['content_digest']}",
            f"  made by    {attributes['software']}",
        ]
        lines += [f"  history    {line}" for line in attributes["history"].splitlines()]
        lines += [f"  skipped    {line}" for line in attributes["skipped_sources"].splitlines()]
        lines.append(f"  splits     {', '.join(split.name for split in self.splits) or 'none'}")
        for split in self.splits:
            counts = ", ".join(f"{count:,} {name}" for name, count in split.patches.items())
            lines.append(f"    {split.name}: {counts}; {split.method or 'made by others'}")
            lines.append(f"      overlap {split.describe_overlap()}")
            if outside := self.bounds_outside_train.get(split.name):
                lines.append(
                    f"      bounds  warning: computed on {count_noun(len(outside), 'scene')} not wholly in train"
                )
        lines.append(f"  scenes     {len(self.scenes):,}")
        lines += [_scene_line(scene) for scene in self.scenes[:_MOST_SCENES]]
        if len(self.scenes) > _MOST_SCENES:
            lines.append(f"    ... and {len(self.scenes) - _MOST_SCENES:,} more (--json lists all)")
        return "\n".join(map(_printable, lines))

    def _describe_left_out(self) -> list[str]:
        """Say what of the conversion's result is not in the file, if something is not."""
        parts = []
        if self.left_out is None:
            parts.append("patches of its scenes, it is not known how many")
        elif self.left_out:
            parts.append(f"{count_noun(self.left_out, 'patch', 'patches')} of its scenes")
        if self.left_out_scenes:
            parts.append(count_noun(self.left_out_scenes, "scene"))
        return [f"  left out   {', and '.join(parts)}"] if parts else []

    def _layout_text(self) -> str:
        side = self.settings.block_size
        return f"{self.blocks:,} blocks of {side} x {side}, which patches share"


def read_info(path: str | Path, *, splits: bool = True) -> FileInfo:
    """Read what a file holds; no patch is decoded.

    Args:
        path: a file of this package.
        splits: whether to measure what its splits share, too; else none are listed.

    Raises:
        SourceError: where it is not there.
        FormatError: where it is not a file of this package, not finished, or damaged.
    """
    if unfinished := tell_unfinished(Path(path)):
        raise FormatError(f"{path}: expected a finished file, found {unfinished}")
    with name_damage(path):
        return _read_info(path, splits=splits)


def _read_info(path: str | Path, *, splits: bool) -> FileInfo:
    with open_as_it_is(path) as file:
        source = find_patches(file, None)
        if source.settings is None:
            raise FormatError(f"{path}: expected a file made by sar-h5 convert (attribute format={schema.FORMAT!r})")
        attributes = {name: _text(file.attrs.get(name, "")) for name in schema.ROOT_ATTRIBUTES}
        levels = len(file[schema.LUT]) if schema.LUT in file else 0
        pixels = int(file[schema.HISTOGRAM][:].sum()) if schema.HISTOGRAM in file else 0
        measured, outside = _splits(file, path) if splits else ((), {})
        filter_text = _filter_text(file[source.name])
        counts = file.get(f"{schema.SCENES}/{schema.LEFT_OUT_COLUMN.name}")
        left_out = np.zeros(0, np.int64) if counts is None else counts[:]
        left_out_scenes = int(file.attrs.get(schema.LEFT_OUT_SCENES, 0))
        blocks = len(file[source.name]) if source.in_blocks else 0
        component = file.get(f"{schema.INDEX}/{schema.COMPONENT_COLUMN.name}")
        recovered = None if component is None else RecoveredCount.count(component[:])
    return FileInfo(
        path=str(path),
        nbytes=Path(path).stat().st_size,
        patches=source.shape[0],
        dtype=source.dtype.name,
        levels=levels,
        blocks=blocks,
        settings=source.settings,
        attributes=attributes,
        filter=filter_text,
        scenes=_scenes(path),
        splits=measured,
        bounds_outside_train=outside,
        valid_pixels=pixels,
        left_out=None if (left_out < 0).any() else int(left_out.sum()),
        left_out_scenes=left_out_scenes,
        recovered=recovered,
    )


def _splits(file: h5py.File, path: str | Path) -> tuple[tuple[SplitOverlap, ...], dict[str, list[str]]]:
    names = sorted(file[schema.SPLITS]) if schema.SPLITS in file else []
    if not names:
        return (), {}
    source = read_split_source(file, path)
    splits = tuple(measure_stored(file, source, name) for name in names)
    outside = {name: scenes_outside_train(file, source.places, split_codes(file, path, name)) for name in names}
    return splits, {name: scenes for name, scenes in outside.items() if scenes}


def _scenes(path: str | Path) -> tuple[dict[str, Any], ...]:
    columns = read_columns(path, schema.SCENES)
    names = (
        "name",
        "source_path",
        "start_time",
        "platform",
        "orbit",
        "pass",
        "height",
        "width",
        "patch_count",
        "dropped_count",
    )
    return tuple(
        {name: _plain(value) for name, value in zip(names, row, strict=True)}
        for row in zip(*(columns[name] for name in names), strict=True)
    )


def _printable(line: str) -> str:
    """Replace what a terminal would take for a command: names and history come from whoever made the file."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in line)


def _scene_line(scene: dict[str, Any]) -> str:
    size = "size unknown" if scene["height"] < 0 else f"{scene['height']:,} x {scene['width']:,} px"
    time = f", {scene['start_time']}" if scene["start_time"] else ""
    return f"    {scene['name']}{time}, {size}: {scene['patch_count']:,} patches, {scene['dropped_count']:,} dropped"


def _filter_text(patches: h5py.Dataset) -> str:
    filters = patches.id.get_create_plist()
    names = []
    for number in range(filters.get_nfilters()):
        code, _, options, name = filters.get_filter(number)
        if code == schema.BLOSC_FILTER and len(options) >= 7:
            compressor = ("blosclz", "lz4", "lz4hc", "snappy", "zlib", "zstd")[options[6]]
            shuffle = ("no shuffle", "byte shuffle", "bitshuffle")[options[5]]
            names.append(f"Blosc {compressor} level {options[4]}, {shuffle}")
        else:
            names.append(name.decode(errors="replace") or str(code))
    return ", ".join(names) or "no filter"


def _text(value: object) -> str:
    return "\n".join(str(item) for item in value) if isinstance(value, np.ndarray) else str(value)


def _plain(value: object) -> object:
    return value.item() if isinstance(value, np.generic) else value
