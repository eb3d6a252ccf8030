"""Mutations that keep enough of a format to get past its front door: integers at their limits, sound checksums."""

from __future__ import annotations

import random
from collections.abc import Callable

from tests.fuzz.seeds import TOKENS

_EDGES = [0, 1, 2, 3, 7, 8, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0x8000, 0xFFFF, 1 << 16, 1 << 20, 1 << 24]
_EDGES += [(1 << 31) - 1, 1 << 31, (1 << 32) - 1, 1 << 32, 1 << 40, (1 << 63) - 1, 1 << 63, (1 << 64) - 1]


def mutate(
    target: str, data: bytes, most_nbytes: int, generator: random.Random, at_random: Callable[[bytes, int], bytes]
) -> bytes:
    """Change an input in one to four places."""
    changed = bytearray(data)
    for _ in range(generator.randint(1, 4)):
        kind = generator.random()
        if kind < 0.35 or not changed:
            changed = bytearray(at_random(bytes(changed), most_nbytes))
        elif kind < 0.65:
            _put_integer(changed, generator)
        elif kind < 0.85:
            _put_token(changed, generator.choice(TOKENS[target]), generator)
        else:
            _move(changed, generator)
    if target == "hdf5":
        restore_checksums(changed)
    return bytes(changed[:most_nbytes])


def _put_integer(data: bytearray, generator: random.Random) -> None:
    width = generator.choice((1, 2, 4, 8))
    place = generator.randrange(len(data))
    value = generator.choice(_EDGES) % (1 << 8 * width)
    data[place : place + width] = value.to_bytes(width, generator.choice(("little", "big")))


def _put_token(data: bytearray, token: bytes, generator: random.Random) -> None:
    place = generator.randrange(len(data) + 1)
    data[place : place + generator.choice((0, len(token)))] = token


def _move(data: bytearray, generator: random.Random) -> None:
    start, length, place = (generator.randrange(len(data)) for _ in range(3))
    piece = data[start : start + min(length, 4096)]
    data[place : place + generator.choice((0, len(piece)))] = piece


def restore_checksums(data: bytearray) -> None:
    """Make the checksums of an HDF5 file's superblock and object headers those of their contents.

    HDF5 File Format Specification 3.0: II.A (version 2 and 3), IV.A.1.b (version 2). Otherwise HDF5 refuses all
    changes there, and what lies behind is never reached.
    """
    if data[8:9] in (b"\2", b"\3") and len(data) >= 48:
        data[44:48] = checksum(bytes(data[:44])).to_bytes(4, "little")
    start = data.find(b"OHDR\x02")
    while start >= 0:
        flags = data[start + 5] if start + 5 < len(data) else 0
        place = start + 6 + (16 if flags & 0x20 else 0) + (4 if flags & 0x10 else 0)
        width = 1 << (flags & 3)
        end = place + width + int.from_bytes(data[place : place + width], "little")
        if end + 4 <= len(data) and end - start < 4096:
            data[end : end + 4] = checksum(bytes(data[start:end])).to_bytes(4, "little")
        start = data.find(b"OHDR\x02", start + 4)


def _rotate(value: int, bits: int) -> int:
    return (value << bits | value >> 32 - bits) & 0xFFFFFFFF


def checksum(data: bytes) -> int:
    """Bob Jenkins' lookup3 (hashlittle, initial value 0), with which HDF5 checks its metadata."""
    mask = 0xFFFFFFFF
    a = b = c = 0xDEADBEEF + len(data) & mask
    place = 0
    while len(data) - place > 12:
        a, b, c = (
            value + int.from_bytes(data[place + at : place + at + 4], "little") & mask
            for value, at in ((a, 0), (b, 4), (c, 8))
        )
        for bits in (4, 6, 8, 16, 19, 4):
            a = (a - c & mask) ^ _rotate(c, bits)
            c = c + b & mask
            a, b, c = b, c, a
        place += 12
    rest = data[place:].ljust(12, b"\0")
    if place == len(data):
        return c
    a, b, c = (value + int.from_bytes(rest[at : at + 4], "little") & mask for value, at in ((a, 0), (b, 4), (c, 8)))
    for bits in (14, 11, 25, 16, 4, 14, 24):
        c = (c ^ b) - _rotate(b, bits) & mask
        a, b, c = b, c, a
    return b
