"""A file whose changes stay in memory, page by page, and what they are."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from typing import Any

_PAGE = 4096


class Overlay(io.RawIOBase):
    """A file whose changes stay in memory.

    Args:
        raw: the file, unbuffered; only read.
    """

    def __init__(self, raw: io.FileIO) -> None:
        self._raw = raw
        self._place = 0
        self._pages: dict[int, bytearray] = {}
        self.nbytes = os.fstat(raw.fileno()).st_size

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
        self._place = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self.nbytes}[whence]
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
        """Keep bytes in memory."""
        view = memoryview(data).cast("B")
        done = 0
        while done < len(view):
            number, start = divmod(self._place + done, _PAGE)
            count = min(_PAGE - start, len(view) - done)
            if number not in self._pages:
                self._pages[number] = bytearray(self._old(number * _PAGE, _PAGE))
            self._pages[number][start : start + count] = view[done : done + count]
            done += count
        self._place += done
        self.nbytes = max(self.nbytes, self._place)
        return done

    def content(self, start: int, count: int) -> bytes:
        """Return bytes as they would be read."""
        found = bytearray(self._old(start, count))
        for number in range(start // _PAGE, (start + count - 1) // _PAGE + 1):
            if number in self._pages:
                first, last = max(start, number * _PAGE), min(start + count, (number + 1) * _PAGE)
                page = self._pages[number]
                found[first - start : last - start] = page[first - number * _PAGE : last - number * _PAGE]
        return bytes(found)

    def changes(self, stop: int) -> Iterator[tuple[int, bytes, bytes]]:
        """Yield what differs from the file below ``stop``, from the front: the place, the old bytes, the new ones."""
        for number in sorted(self._pages):
            start = number * _PAGE
            count = min(_PAGE, stop - start, self.nbytes - start)
            old, new = self._old(start, count), self._pages[number][:count]
            differing = [place for place in range(max(count, 0)) if old[place] != new[place]]
            if differing:
                first, last = differing[0], differing[-1] + 1
                yield start + first, old[first:last], bytes(new[first:last])

    def _old(self, start: int, count: int) -> bytes:
        """Read from the file; zeros beyond its end."""
        self._raw.seek(start)
        pieces: list[bytes] = []
        missing = max(count, 0)
        while missing and (piece := self._raw.read(missing)):
            pieces.append(piece)
            missing -= len(piece)
        return b"".join(pieces) + bytes(missing)
