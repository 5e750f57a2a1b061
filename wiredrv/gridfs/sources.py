"""Where the bytes of an upload come from, and where those of a download go.

Rules kept here:

* A file object of the standard library may block, so its methods are called in a worker thread. Methods of other
  objects are called in the event loop, and their result is awaited where it can be.
* Nothing that the user opened is closed.
"""

from __future__ import annotations

import io
from collections.abc import Awaitable, Callable
from functools import partial
from inspect import isawaitable
from typing import Any, TypeAlias

from wiredrv import waits
from wiredrv.errors import ConfigurationError

#: What can be written as it is.
BYTES = (bytes, bytearray, memoryview)
Bytes: TypeAlias = bytes | bytearray | memoryview

_SOURCES = "bytes, a file object with read(), synchronous or not, or an asynchronous iterator of bytes"
_DESTINATIONS = "a file object with write(), synchronous or not, or a stream with send()"


def reader(source: object) -> Callable[[int], Awaitable[Bytes]]:
    """A function that reads at most so many bytes of ``source``, and returns none at its end.

    :raises ConfigurationError: nothing can be read from ``source``.
    """
    if isinstance(source, BYTES):
        source = io.BytesIO(source)
    if callable(getattr(source, "read", None)):
        return _of_file(source)
    if hasattr(source, "__aiter__"):
        return _of_iterator(source)
    raise ConfigurationError(f"the source must be {_SOURCES}, not {_shown(source)}")


def _of_file(source: Any) -> Callable[[int], Awaitable[Bytes]]:
    blocking = _may_block(source)

    async def read(size: int) -> Bytes:
        found = await waits.to_thread(partial(source.read, size)) if blocking else waits.user(source.read, size)
        return _checked(await found if isawaitable(found) else found)

    return read


def _of_iterator(source: Any) -> Callable[[int], Awaitable[Bytes]]:
    iterator = aiter(source)

    async def read(_size: int) -> Bytes:
        async for piece in iterator:
            # Nothing read would mean the end.
            if _checked(piece):
                return _checked(piece)
        return b""

    return read


def _checked(piece: object) -> Bytes:
    """
    :raises ConfigurationError: these are not bytes.
    """
    if isinstance(piece, BYTES):
        return piece
    advice = ": open the file in binary mode, or encode the text" if isinstance(piece, str) else ""
    raise ConfigurationError(f"a source must give bytes, not {_shown(piece)}{advice}")


def writer(destination: object) -> Callable[[bytes], Awaitable[None]]:
    """A function that writes all of some bytes to ``destination``.

    :raises ConfigurationError: nothing can be written to it.
    """
    method = getattr(destination, "write", None) or getattr(destination, "send", None)
    if not callable(method) or isinstance(destination, io.TextIOBase):
        raise ConfigurationError(f"the destination must be {_DESTINATIONS}, of bytes, not {_shown(destination)}")
    blocking = _may_block(destination)
    drain = getattr(destination, "drain", None)
    # Only an unbuffered file may write a part of what it is given.
    in_parts = isinstance(getattr(destination, "wrapped", destination), io.RawIOBase)

    async def write(data: bytes) -> None:
        rest: Bytes = data
        while rest:
            send = partial(method, rest)
            done = await waits.to_thread(send) if blocking else waits.user(send)
            done = await done if isawaitable(done) else done
            if not in_parts:
                break
            rest = memoryview(rest)[done or 0 :]
        if drain is not None:
            await drain()

    return write


def _may_block(file: object) -> bool:
    """Whether it is a file object of the standard library, or looks like one, and not only in memory."""
    if isinstance(file, io.BytesIO):
        return False
    return isinstance(file, io.IOBase) or (hasattr(file, "fileno") and not hasattr(file, "__aenter__"))


def _shown(value: object) -> str:
    return f"{type(value).__name__}"
