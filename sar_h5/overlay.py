"""A file whose changes stay in memory, page by page, and what they are; what is new may go straight to the file."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from typing import Any

_PAGE = 4096
_GATHERED_NBYTES = 1 << 20
"""How much is written to the file at once: each write lets go of the interpreter, and threads compete for it."""


class Overlay(io.RawIOBase):
    """A file whose changes stay in memory.

    Args:
        raw: the file, unbuffered; only read below ``kept_below``.
        kept_below: what is written from there on goes straight to the file; None keeps everything in memory.

    Attributes:
        nbytes: the length.
    """

    def __init__(self, raw: io.FileIO, kept_below: int | None = None) -> None:
        self._raw = raw
        self._kept_below = sys.maxsize if kept_below is None else kept_below
        self._forgetful = False
        self._failure: OSError | None = None
        self._gathered = bytearray()
        self._gathered_from = self._gathered_nbytes = 0
        self._place = 0
        self._pages: dict[int, bytearray] = {}
        self.nbytes = os.fstat(raw.fileno()).st_size

    def __repr__(self) -> str:
        """Return the path of the file: h5py takes this as its name."""
        return str(getattr(self._raw, "name", "a file in memory"))

    def readable(self) -> bool:
        """Return whether it can be read."""
        return True

    def writable(self) -> bool:
        """Return whether it can be written to."""
        return True

    def seekable(self) -> bool:
        """Return whether the place can be moved."""
        return True

    def tell(self) -> int:
        """Return the place of the next read or write."""
        return self._place

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Move the place of the next read or write."""
        if whence != os.SEEK_SET:
            offset += {os.SEEK_CUR: self._place, os.SEEK_END: self.nbytes}[whence]
        self._place = offset
        return self._place

    def truncate(self, size: int | None = None, /) -> int:
        """Set the length."""
        self.nbytes = self._place if size is None else size
        return self.nbytes

    def readinto(self, buffer: Any, /) -> int:
        """Read from memory where something was written, else from the file."""
        view = memoryview(buffer).cast("B")
        count = max(min(len(view), self.nbytes - self._place), 0)
        if count:
            view[:count] = self.content(self._place, count)
        self._place += count
        return count

    def write(self, data: Any, /) -> int:
        """Keep bytes in memory, or put them into the file."""
        view = memoryview(data).cast("B")
        if not self._forgetful:
            kept = max(min(len(view), self._kept_below - self._place), 0)
            if kept:
                self._keep(view[:kept])
            if kept < len(view):
                self._put(self._place + kept, view[kept:])
        self._place += len(view)
        self.nbytes = max(self.nbytes, self._place) if view else self.nbytes
        return len(view)

    def flush(self) -> None:
        """Write to the file what goes there and has been gathered in memory."""
        view = memoryview(self._gathered)[: self._gathered_nbytes]
        self._gathered_nbytes = 0
        self._write(self._gathered_from, view)

    def forget(self) -> None:
        """Take nothing of what follows, without a word: for closing what is not wanted any more."""
        self._forgetful = True
        self._gathered_nbytes = 0

    def check(self) -> None:
        """Raise what went wrong while writing to the file, if anything did.

        HDF5 does not see it: where it cannot write it cannot close either, and tries again when Python is long gone.

        Raises:
            OSError: as the system said it.
        """
        if self._failure is not None:
            raise self._failure

    def content(self, start: int, count: int) -> bytes:
        """Return bytes as they would be read."""
        found = bytearray(self._old(start, count))
        for number in range(start // _PAGE, (start + count - 1) // _PAGE + 1):
            if number in self._pages:
                page = self._pages[number]
                first, last = max(start, number * _PAGE), min(start + count, number * _PAGE + len(page))
                if last <= first:
                    continue
                found[first - start : last - start] = page[first - number * _PAGE : last - number * _PAGE]
        return bytes(found)

    def changes(self, stop: int) -> Iterator[tuple[int, bytes, bytes]]:
        """Yield what differs from the file below ``stop``, from the front: the place, the old bytes, the new ones."""
        for number in sorted(self._pages):
            start = number * _PAGE
            count = min(len(self._pages[number]), stop - start, self.nbytes - start)
            old, new = self._old(start, count), self._pages[number][: max(count, 0)]
            differing = [place for place in range(max(count, 0)) if old[place] != new[place]]
            if differing:
                first, last = differing[0], differing[-1] + 1
                yield start + first, old[first:last], bytes(new[first:last])

    def _keep(self, view: memoryview) -> None:
        done = 0
        while done < len(view):
            number, start = divmod(self._place + done, _PAGE)
            count = min(_PAGE - start, len(view) - done)
            if number not in self._pages:
                # Of the page in which memory ends and the file begins, only the first part is kept.
                length = min(_PAGE, self._kept_below - number * _PAGE)
                self._pages[number] = bytearray(self._old(number * _PAGE, length))
            self._pages[number][start : start + count] = view[done : done + count]
            done += count

    def _put(self, place: int, view: memoryview) -> None:
        end = self._gathered_nbytes + len(view)
        if place != self._gathered_from + self._gathered_nbytes or end > _GATHERED_NBYTES:
            self.flush()
            self._gathered_from, end = place, len(view)
        if len(view) > _GATHERED_NBYTES:
            self._write(place, view)
        else:
            self._gathered = self._gathered or bytearray(_GATHERED_NBYTES)
            self._gathered[self._gathered_nbytes : end] = view
            self._gathered_nbytes = end

    def _write(self, place: int, view: memoryview) -> None:
        try:
            while view and not self._forgetful:
                self._raw.seek(place)
                count = self._raw.write(view)
                place, view = place + count, view[count:]
        except OSError as error:
            self._failure = error
            self._forgetful = True

    def _old(self, start: int, count: int) -> bytes:
        """Read from the file; zeros beyond its end."""
        self.flush()
        self._raw.seek(start)
        pieces: list[bytes] = []
        missing = max(count, 0)
        while missing and (piece := self._raw.read(missing)):
            pieces.append(piece)
            missing -= len(piece)
        return b"".join(pieces) + bytes(missing)
