"""C functions that compiled loops call, so that a slice of a batch is read and decoded in one go without the GIL.

``pread`` comes from the C library and ``blosc_decompress_ctx`` from the extension module of ``numcodecs``, which
exports it on Linux and macOS, and mostly zlib's ``crc32`` as well; Python's own ``zlib`` has that otherwise. Where one
is missing (Windows), patches are read and decoded one by one from Python.
Addresses are passed to the loops as integers, since numba cannot cache code on the disk that has them inside.
"""

from __future__ import annotations

import ctypes
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic
from numcodecs import blosc

_BYTES = ir.IntType(8).as_pointer()
_INT = ir.IntType(32)
_LONG = ir.IntType(8 * ctypes.sizeof(ctypes.c_size_t))


@dataclass(frozen=True)
class NativeReads:
    """Addresses of C functions.

    Attributes:
        pread: ``ssize_t pread(int fd, void *buf, size_t count, off_t offset)``, POSIX.
        decompress: ``int blosc_decompress_ctx(const void *src, void *dest, size_t destsize, int numinternalthreads)``,
            c-blosc 1.x, blosc.h.
        crc32: ``uLong crc32(uLong crc, const Bytef *buf, uInt len)``, zlib.h; 0 where no library exports it.
    """

    pread: int
    decompress: int
    crc32: int = 0


def find_native_reads() -> NativeReads | None:
    """Return the addresses, or None where this machine's libraries do not export the first two."""
    if ctypes.sizeof(ctypes.c_size_t) < 8:
        return None  # off_t may have another width there
    try:
        pread = ctypes.CDLL(None).pread
        decompress = ctypes.CDLL(blosc.__file__).blosc_decompress_ctx
    except (AttributeError, OSError, TypeError):  # not exported, not a library, or no library without a name (Windows)
        return None
    return NativeReads(_address(pread), _address(decompress), _find_crc32())


def _find_crc32() -> int:
    # The extension module's comes first, since it is mostly the newer and faster one.
    for library in (blosc.__file__, getattr(zlib, "__file__", None)):
        try:
            return _address(ctypes.CDLL(library).crc32)
        except (AttributeError, OSError, TypeError):
            continue
    return 0


def _address(function: Callable[..., Any]) -> int:
    return ctypes.cast(function, ctypes.c_void_p).value or 0  # type: ignore[arg-type]  # a foreign function is castable


@intrinsic  # type: ignore[untyped-decorator]  # numba has no types
def call_pread(
    typing_context: Any,  # noqa: ARG001 - numba's signature
    address: Any,  # noqa: ARG001
    descriptor: Any,  # noqa: ARG001
    target: Any,  # noqa: ARG001
    nbytes: Any,  # noqa: ARG001
    offset: Any,  # noqa: ARG001
) -> Any:
    """Call ``pread`` in a compiled loop: (address, descriptor, target address, nbytes, offset) -> bytes read or -1."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:  # noqa: ARG001 - numba's signature
        kind = ir.FunctionType(_LONG, [_INT, _BYTES, _LONG, _LONG])
        function = builder.inttoptr(args[0], kind.as_pointer())
        descriptor = builder.trunc(args[1], _INT)
        return builder.call(function, [descriptor, builder.inttoptr(args[2], _BYTES), args[3], args[4]])

    return types.intp(types.intp, types.intp, types.intp, types.intp, types.intp), emit


@intrinsic  # type: ignore[untyped-decorator]  # numba has no types
def call_decompress(
    typing_context: Any,  # noqa: ARG001 - numba's signature
    address: Any,  # noqa: ARG001
    source: Any,  # noqa: ARG001
    target: Any,  # noqa: ARG001
    nbytes: Any,  # noqa: ARG001
) -> Any:
    """Call ``blosc_decompress_ctx`` in a compiled loop, in one thread.

    (address, frame address, target address, target nbytes) -> bytes decoded, or not positive.
    """

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:  # noqa: ARG001 - numba's signature
        kind = ir.FunctionType(_INT, [_BYTES, _BYTES, _LONG, _INT])
        function = builder.inttoptr(args[0], kind.as_pointer())
        source, target = (builder.inttoptr(pointer, _BYTES) for pointer in args[1:3])
        decoded = builder.call(function, [source, target, args[3], _INT(1)])
        return builder.sext(decoded, _LONG)

    return types.intp(types.intp, types.intp, types.intp, types.intp), emit


@intrinsic  # type: ignore[untyped-decorator]  # numba has no types
def call_crc32(
    typing_context: Any,  # noqa: ARG001 - numba's signature
    address: Any,  # noqa: ARG001
    source: Any,  # noqa: ARG001
    nbytes: Any,  # noqa: ARG001
) -> Any:
    """Call zlib's ``crc32`` in a compiled loop: (address, source address, nbytes) -> CRC-32 of the bytes."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:  # noqa: ARG001 - numba's signature
        kind = ir.FunctionType(_LONG, [_LONG, _BYTES, _INT])
        function = builder.inttoptr(args[0], kind.as_pointer())
        return builder.call(function, [_LONG(0), builder.inttoptr(args[1], _BYTES), builder.trunc(args[2], _INT)])

    return types.intp(types.intp, types.intp, types.intp), emit
