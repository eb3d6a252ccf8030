"""The content digest: one SHA-256 that says whether two files hold the same patches.

It covers the settings, each scene's name, and each patch's place and content, so that it does not depend on the
codec, the
layout, the number of jobs or the machine. The content of a patch is its codes where they stand for digital numbers, and
its float32 values where the source was scaled or float: digital numbers are the same everywhere, while the last bit of
a float32 logarithm is not (see ``radiometry``); scaled values come from the source as they are, whatever the palette.
"""

from __future__ import annotations

import hashlib
import itertools
import struct
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from sar_h5.conversion_kernels import look_up
from sar_h5.radiometry import Floats
from sar_h5.schema import FORMAT, FileSettings


def patch_content(patch: npt.NDArray[np.generic], lut: Floats | None, *, from_dn: bool) -> npt.NDArray[np.generic]:
    """Return what counts as the content of a stored patch (P, P): codes of digital numbers, else values.

    Args:
        patch: the patch as stored; every code must lie in the table.
        lut: the file's table, or None for values.
        from_dn: whether the codes stand for digital numbers.
    """
    content = patch
    if lut is not None and not from_dn:
        content = np.empty(patch.shape, dtype=np.float32)
        look_up(np.ascontiguousarray(patch).reshape(-1), lut, content.reshape(-1))
    return np.ascontiguousarray(content.astype(content.dtype.newbyteorder("<"), copy=False))


class ContentDigest:
    """Accumulates the digest of a file in the order of its patches.

    Args:
        settings: the file's settings; of the bounds 0.001 dB count, since the last bit of percentiles depends on the
            machine.
        from_dn: whether codes stand for digital numbers.
    """

    def __init__(self, settings: FileSettings, *, from_dn: bool) -> None:
        content = settings.encoding if from_dn else "values"
        bounds = f"{settings.vmin:.3f} {settings.vmax:.3f}"
        parts = (FORMAT, settings.polarization, str(settings.patch_size), content, bounds)
        self._hash = hashlib.sha256("\0".join(parts).encode())

    def start_scene(self, name: str) -> None:
        """Note that the following patches belong to the named scene."""
        self._hash.update(b"scene\0" + name.encode() + b"\0")

    def add(self, row: int, col: int, content: bytes) -> None:
        """Add a patch: its place, and the SHA-256 of its content."""
        self._hash.update(struct.pack("<ii", row, col) + content)

    def copy(self) -> ContentDigest:
        """Return an independent copy, to come back to where a scene has to be taken out again."""
        twin = object.__new__(ContentDigest)
        twin._hash = self._hash.copy()
        return twin

    def hexdigest(self) -> str:
        """Return the digest of all that was added."""
        return self._hash.hexdigest()


def file_digest(
    settings: FileSettings,
    names: Sequence[str],
    counts: Sequence[int],
    places: Iterable[tuple[int, int, npt.NDArray[np.uint8]]],
    *,
    from_dn: bool,
) -> str:
    """Return the digest of a file whose patches have been hashed.

    Args:
        settings: the file's.
        names: of its scenes.
        counts: how many patches each of them has.
        places: row, column and SHA-256 of the content, uint8 (32,), of each patch, scene by scene.
        from_dn: whether codes stand for digital numbers.
    """
    digest = ContentDigest(settings, from_dn=from_dn)
    rest = iter(places)
    for name, count in zip(names, counts, strict=True):
        digest.start_scene(name)
        for row, col, content in itertools.islice(rest, count):
            digest.add(row, col, content.tobytes())
    return digest.hexdigest()


def hash_patches(patches: Iterable[npt.NDArray[np.generic]]) -> Sequence[bytes]:
    """Return the SHA-256 of each patch's content."""
    return [hashlib.sha256(patch.data).digest() for patch in patches]
