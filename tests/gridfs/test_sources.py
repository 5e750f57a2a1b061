"""Where the bytes of an upload come from, and where those of a download go, on both event loops."""

from __future__ import annotations

import io
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from wiredrv.errors import ConfigurationError
from wiredrv.gridfs.sources import reader, writer

pytestmark = pytest.mark.anyio

DATA = bytes(range(256)) * 40


async def _all(source: object, size: int = 1000) -> bytes:
    read = reader(source)
    found = []
    while piece := await read(size):
        found.append(bytes(piece))
    assert not await read(size)
    return b"".join(found)


class _Recorded(io.RawIOBase):
    """An unbuffered file that notes the threads it is used in, and takes at most 100 bytes at a time."""

    def __init__(self) -> None:
        self.threads: set[int] = set()
        self.data = b""

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        self.threads.add(threading.get_ident())
        taken, self.data = self.data[:size], self.data[size:]
        return taken

    def write(self, data: Any) -> int:
        self.threads.add(threading.get_ident())
        self.data += bytes(data)[:100]
        return min(len(data), 100)


class _Plain:
    """An object that is not of the standard library, and may belong to the event loop."""

    def __init__(self) -> None:
        self.threads: set[int] = set()
        self.data = b""
        self.drained = 0

    def write(self, data: bytes) -> None:
        self.threads.add(threading.get_ident())
        self.data += data

    async def drain(self) -> None:
        self.drained += 1


class _Asynchronous:
    def __init__(self) -> None:
        self.data = b""

    async def read(self, size: int) -> bytes:
        await anyio.lowlevel.checkpoint()
        taken, self.data = self.data[:size], self.data[size:]
        return taken

    async def send(self, data: bytes) -> None:
        await anyio.lowlevel.checkpoint()
        self.data += data


async def _pieces() -> AsyncIterator[bytes]:
    for start in range(0, len(DATA), 700):
        yield DATA[start : start + 700]
        yield b""


async def test_every_kind_of_source_is_read_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "data"
    path.write_bytes(DATA)
    assert await _all(DATA) == DATA
    assert await _all(bytearray(DATA)) == DATA
    assert await _all(memoryview(DATA)) == DATA
    assert await _all(io.BytesIO(DATA)) == DATA
    with path.open("rb") as file:
        assert await _all(file) == DATA
        assert not file.closed
    async with await anyio.open_file(path, "rb") as asynchronous:
        assert await _all(asynchronous) == DATA
    source = _Asynchronous()
    source.data = DATA
    assert await _all(source) == DATA
    assert await _all(_pieces()) == DATA


async def test_every_kind_of_destination_gets_all_bytes(tmp_path: Path) -> None:
    memory, plain, asynchronous = io.BytesIO(), _Plain(), _Asynchronous()
    with (tmp_path / "file").open("wb") as file:
        async with await anyio.open_file(tmp_path / "other", "wb") as other:
            for destination in (memory, plain, asynchronous, file, other):
                write = writer(destination)
                for start in range(0, len(DATA), 700):
                    await write(DATA[start : start + 700])
        assert not file.closed
    assert memory.getvalue() == plain.data == asynchronous.data == DATA
    assert plain.drained == len(range(0, len(DATA), 700))
    assert (tmp_path / "file").read_bytes() == (tmp_path / "other").read_bytes() == DATA


async def test_files_that_may_block_are_used_in_a_worker_thread_and_others_are_not() -> None:
    file, plain = _Recorded(), _Plain()
    await writer(file)(DATA[:950])
    assert file.data == DATA[:950]  # ten times a part
    assert await _all(file, 300) == DATA[:950]
    await writer(plain)(DATA)
    assert threading.get_ident() not in file.threads
    assert plain.threads == {threading.get_ident()}


@pytest.mark.parametrize("source", ["text", 3, None, [b"a"], object()])
async def test_what_cannot_be_read_is_refused(source: object) -> None:
    with pytest.raises(ConfigurationError, match="the source must be bytes, a file object with read"):
        reader(source)


@pytest.mark.parametrize("destination", [b"", 3, None, io.StringIO()])
async def test_what_cannot_be_written_to_is_refused(destination: object) -> None:
    with pytest.raises(ConfigurationError, match="the destination must be a file object with write"):
        writer(destination)


async def test_text_is_refused_with_advice() -> None:
    with pytest.raises(ConfigurationError, match="must give bytes, not str: open the file in binary mode"):
        await _all(io.StringIO("text"))


async def test_an_error_of_a_source_is_raised_as_it_is() -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"a"
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await _all(broken())
