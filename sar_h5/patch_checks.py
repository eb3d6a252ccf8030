"""Is every patch what the file says? Checksums, codes, valid fractions, and the digest over all of them."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from sar_h5 import schema
from sar_h5.compression import decompress
from sar_h5.digest import ContentDigest, patch_content
from sar_h5.progress import Progress
from sar_h5.radiometry import is_inside
from sar_h5.structure_checks import Columns, Structure
from sar_h5.verify_report import Problem, ProblemKind


class PatchCheck:
    """Reads every patch once.

    Args:
        file: the file.
        found: its layout.
        problems: where problems are added.
        progress: told of every patch.
    """

    def __init__(self, file: h5py.File, found: Structure, problems: list[Problem], progress: Progress) -> None:
        self._file, self._found, self._problems, self._progress = file, found, problems, progress

    def check(self) -> int:
        """Check all patches and, where they are sound, the digest; return how many were checked."""
        patches, index, scenes = self._found.patches, self._found.index, self._found.scenes
        lut, settings = self._found.lut, self._found.settings
        from_dn = settings.encoding != "float32" and schema.HISTOGRAM in self._file
        digest = ContentDigest(settings, from_dn=from_dn)
        counted_codes = self._counted_codes()
        self._progress.start("verify", len(patches) * int(np.prod(patches.shape[1:])) * patches.dtype.itemsize)
        before = len(self._problems)
        for number, patch in enumerate(self._decoded(patches, index["checksum"])):
            if patch is None:
                continue
            self._progress.advance(patch.nbytes)
            place = f"/{schema.PATCHES}[{number}]"
            if not self._check_codes(place, patch, lut):
                continue
            if counted_codes is not None:
                self._check_fraction(number, index["valid_fraction"], counted_codes[patch])
            elif lut is None and self._by_range:
                self._check_fraction(number, index["valid_fraction"], is_inside(patch))
            scene = int(index["scene"][number])
            if number == scenes["patch_start"][scene]:
                self._start_scenes(digest, scenes, number, scene)
            content = hashlib.sha256(patch_content(patch, lut, from_dn=from_dn).data).digest()
            digest.add(int(index["row"][number]), int(index["col"][number]), content)
        if len(self._problems) == before:
            self._check_digest(digest, scenes, len(patches))
        return len(patches)

    def _start_scenes(self, digest: ContentDigest, scenes: Columns, number: int, scene: int) -> None:
        """Begin a scene in the digest, and before it those without patches that start at the same number."""
        for empty in np.flatnonzero((scenes["patch_start"] == number) & (scenes["patch_count"] == 0)):
            if empty < scene:
                digest.start_scene(scenes["name"][empty])
        digest.start_scene(scenes["name"][scene])

    def _check_digest(self, digest: ContentDigest, scenes: Columns, count: int) -> None:
        for empty in np.flatnonzero((scenes["patch_start"] == count) & (scenes["patch_count"] == 0)):
            digest.start_scene(scenes["name"][empty])
        stated = self._file.attrs.get("content_digest")
        if stated != digest.hexdigest():
            self._add("/@content_digest", ProblemKind.WRONG_VALUE, f"expected {digest.hexdigest()}, found {stated}")

    def _decoded(self, patches: h5py.Dataset, checksums: npt.NDArray[np.uint32]) -> Iterator[npt.NDArray[Any] | None]:
        """Yield each patch, or None where it is damaged, which is then on the list."""
        nbytes = int(np.prod(patches.shape[1:])) * patches.dtype.itemsize
        for number in range(len(patches)):
            place = f"/{schema.PATCHES}[{number}]"
            try:
                skipped, stored = patches.id.read_direct_chunk((number, 0, 0))
            except (OSError, RuntimeError, ValueError) as error:
                self._add(place, ProblemKind.CORRUPT, f"its chunk cannot be read: {error}")
                yield None
                continue
            if zlib.crc32(stored) != checksums[number]:
                message = f"expected checksum {checksums[number]:08x}, found {zlib.crc32(stored):08x}"
                self._add(place, ProblemKind.CORRUPT, message)
                yield None
                continue
            try:
                raw = stored if skipped & 1 else decompress(stored, nbytes)
                yield np.frombuffer(raw, dtype=patches.dtype).reshape(patches.shape[1:])
            except ValueError as error:
                self._add(place, ProblemKind.CORRUPT, str(error))
                yield None

    def _check_codes(self, place: str, patch: npt.NDArray[Any], lut: npt.NDArray[np.float32] | None) -> bool:
        if lut is not None and int(patch.max()) >= len(lut):
            self._add(place, ProblemKind.WRONG_VALUE, f"expected codes below {len(lut)}, found {patch.max()}")
            return False
        if lut is None and not (patch.min() >= 0 and patch.max() <= 1):
            self._add(place, ProblemKind.WRONG_VALUE, "expected values in [0, 1]")
            return False
        return True

    @property
    def _by_range(self) -> bool:
        return bool(self._file.attrs.get("valid_measure") == "range")

    def _counted_codes(self) -> npt.NDArray[np.bool_] | None:
        """Return which codes count as valid pixels, or None where codes do not tell."""
        lut, invalid_code = self._found.lut, self._found.settings.invalid_code
        if lut is None:
            return None
        if self._by_range:
            return is_inside(lut)
        return None if invalid_code is None else np.arange(len(lut)) != invalid_code

    def _check_fraction(self, number: int, stated: npt.NDArray[np.float32], counted: npt.NDArray[np.bool_]) -> None:
        if stated[number] != np.float32(counted.mean()):
            place = f"/index/valid_fraction[{number}]"
            message = f"expected {counted.mean():.6f} from its pixels, found {stated[number]:.6f}"
            self._add(place, ProblemKind.WRONG_VALUE, message)

    def _add(self, place: str, kind: ProblemKind, message: str) -> None:
        self._problems.append(Problem(place, kind, message))
