"""The exception tree: one root, and each class also the nearest builtin.

A message says what was expected, what was found, where, and what to do. The offending values are attributes, so that a
program can act on them without reading the text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class SarH5Error(Exception):
    """The root of every error that this package raises on purpose."""


class SettingError(SarH5Error, ValueError):
    """A setting, option or argument that cannot be honoured."""


class MissingExtraError(SarH5Error, ImportError):
    """An optional library that is not installed."""


class BoundsError(SarH5Error, ValueError):
    """Clip bounds that are missing, contradictory, or do not leave a range to scale to [0, 1]."""


class RadiometryError(SarH5Error, ValueError):
    """Pixels that cannot be turned into dB or [0, 1]: wrong dtype, nothing valid, or a unit that is in doubt."""


class SourceError(SarH5Error, OSError):
    """A source that cannot be found or read."""


class PickleRefusedError(SourceError):
    """Pickled metadata that asks for anything but plain data; nothing of it was run."""


@dataclass(frozen=True)
class BadSource:
    """One input that cannot be used.

    Attributes:
        path: where it is, as the user would type it.
        reason: what was expected and what was found.
    """

    path: str
    reason: str

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


class BadSourceError(SourceError):
    """One or more broken inputs, every one of them named.

    Attributes:
        sources: the broken inputs, in the order in which they were met.
        advice: what to do about them.
        consequence: what has not happened because of them.
    """

    def __init__(
        self, sources: Sequence[BadSource], advice: str | None = None, consequence: str = "nothing was written"
    ) -> None:
        self.sources = tuple(sources)
        self.consequence = consequence
        self.advice = advice or (
            "Repair or remove them; --on-bad-source skip goes on without them, as long as others are left."
        )
        lines = "\n".join(f"  {source}" for source in self.sources)
        count = "1 source is" if len(self.sources) == 1 else f"{len(self.sources)} sources are"
        super().__init__(f"{count} broken; {consequence}:\n{lines}\n{self.advice}")

    def __reduce__(self) -> tuple[type[BadSourceError], tuple[tuple[BadSource, ...], str, str]]:
        # Exceptions are pickled by their message alone; this one is made from its sources.
        return type(self), (self.sources, self.advice, self.consequence)


class OutputError(SarH5Error, OSError):
    """A result that cannot be written where it should go."""


class OutputExistsError(OutputError, FileExistsError):
    """A result that is there already and may not be replaced."""


class InsufficientMemoryError(SarH5Error, MemoryError):
    """Work that takes more memory than this process may have."""


class CannotResumeError(OutputError):
    """An unfinished result that cannot be gone on with as asked; it stays as it is."""


class FormatError(SarH5Error, ValueError):
    """A file that is not what this package reads, or a departure from the format."""


class UnsafeFileError(FormatError):
    """A file that leads to other files, or announces more than it can hold; made by :meth:`at`.

    Built from a message alone as well, since that is how exceptions come back from worker processes.

    Attributes:
        place: of what is refused, within the file.
        reason: what was expected there and what was found.
    """

    def __init__(self, message: str, *, place: str = "/", reason: str = "") -> None:
        self.place = place
        self.reason = reason or message
        super().__init__(message)

    @classmethod
    def at(cls, path: str, place: str, reason: str) -> UnsafeFileError:
        """Describe what is refused at a place within a file, and why."""
        return cls(f"{path}: {place}: {reason}", place=place, reason=reason)


class CorruptPatchError(FormatError):
    """A patch whose stored bytes cannot be turned back into values; made by :meth:`at`.

    Built from a message alone as well, since that is how exceptions come back from worker processes.

    Attributes:
        path: the file.
        patch: the patch's number in the file.
        reason: why it cannot be read.
        advice: what to do about it, where that is not to run ``sar-h5 verify``.
    """

    def __init__(
        self, message: str, *, path: str = "", patch: int = -1, reason: str = "", advice: str | None = None
    ) -> None:
        self.path = path
        self.patch = patch
        self.reason = reason
        self.advice = advice
        super().__init__(message)

    @classmethod
    def at(cls, path: str, patch: int, reason: str, *, place: str = "", advice: str | None = None) -> CorruptPatchError:
        """Describe patch number ``patch`` of a file, where it lies, why it cannot be read, and what to do."""
        where = f" ({place})" if place else ""
        what_to_do = advice or f"run `sar-h5 verify {path}` to list every broken patch"
        message = f"{path}: patch {patch} cannot be read: {reason}{where}; {what_to_do}"
        return cls(message, path=path, patch=patch, reason=reason, advice=advice)


class PatchIndexError(SarH5Error, IndexError):
    """A patch number outside the data set; made by :meth:`outside`.

    Built from a message alone as well, since that is how exceptions come back from worker processes.

    Attributes:
        index: the number asked for.
        length: how many patches there are.
    """

    def __init__(self, message: str, *, index: int = 0, length: int = 0) -> None:
        self.index = index
        self.length = length
        super().__init__(message)

    @classmethod
    def outside(cls, index: int, length: int) -> PatchIndexError:
        """Describe an index that does not lie among ``length`` patches."""
        valid = f"valid are {-length} to {length - 1}" if length else "the data set is empty"
        return cls(f"patch index {index} is out of range for {length} patches: {valid}", index=index, length=length)
