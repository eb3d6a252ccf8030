"""The content digest: one SHA-256 that says whether two files hold the same patches.

It covers the settings, each scene's name, and each patch's place and content, so that it does not depend on the
codec, the
layout, the number of jobs or the machine. The content of a patch is its codes where they stand for digital numbers, and
its float32 values where the source was scaled or float: digital numbers are the same everywhere, while the last bit of
a float32 logarithm is not (see ``radiometry``); scaled values come from the source as they are, whatever the palette.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from sar_h5.radiometry import Floats
from sar_h5.schema import FORMAT, FileSettings


def patch_content(patch: npt.NDArray[np.generic], lut: Floats | None, *, from_dn: bool) -> npt.NDArray[np.generic]:
    """Return what counts as the content of a stored patch (P, P): codes of digital numbers, else values.

    Args:
        patch: the patch as stored.
        lut: the file's table, or None for values.
        from_dn: whether the codes stand for digital numbers.
    """
    content: npt.NDArray[np.generic] = patch if lut is None or from_dn else lut[patch.astype(np.intp)]
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


def hash_patches(patches: Iterable[npt.NDArray[np.generic]]) -> Sequence[bytes]:
    """Return the SHA-256 of each patch's content."""
    return [hashlib.sha256(patch.data).digest() for patch in patches]
