"""Names of files for texts from anywhere: none leads elsewhere, means something to a system, or is given twice."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

LONGEST_NBYTES = 200
"""File systems take 255 bytes; the rest is for numbers that tell names apart, and for endings."""

_FORBIDDEN = frozenset('<>:"/\\|?*')
"""Not in names on Windows, or separators."""

_DEVICES = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$)(?= *(?:\.|$))", re.IGNORECASE)
"""Devices on Windows, whatever ends their name ("Naming Files, Paths, and Namespaces", Microsoft)."""

_PRODUCT_PARTS = frozenset({"measurement", "annotation", "manifest.safe", "__macosx"})
"""Names by which a product directory is known, or which a walk through directories leaves out."""


class FileNames:
    """Gives out names within one directory, each once.

    Args:
        taken: names that are not to be given.
    """

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self._taken = {_key(name) for name in taken}

    def give(self, text: str, suffix: str = "") -> str:
        """Return a name for a text, as like it as can be.

        Args:
            text: any; only its first :data:`LONGEST_NBYTES` bytes tell.
            suffix: what the name ends with.
        """
        stem = safe_name(text)
        name, number = stem + suffix, 1
        while _key(name) in self._taken:
            number += 1
            name = f"{stem}_{number}{suffix}"
        self._taken.add(_key(name))
        return name


def safe_name(text: str) -> str:
    """Return a text as one part of a path that every system takes for an ordinary, visible name."""
    kept = "".join(_safe(character) for character in text[:LONGEST_NBYTES])
    kept = kept.encode()[:LONGEST_NBYTES].decode(errors="ignore")
    kept = re.sub(r"[. ]+$", "_", kept.lstrip(" ")) or "_"
    if kept[0] in ".-~" or _DEVICES.match(kept) or kept.lower() in _PRODUCT_PARTS:
        kept = f"_{kept}"
    return f"{kept}_" if kept.lower().endswith(".safe") else kept


def _safe(character: str) -> str:
    visible = character.isprintable() and unicodedata.category(character) not in ("Cs", "Co", "Cn")
    return character if visible and character not in _FORBIDDEN else "_"


def _key(name: str) -> str:
    """Return what is the same for names that some system takes for one, whatever their case or composition."""
    return unicodedata.normalize("NFKC", name).casefold()
