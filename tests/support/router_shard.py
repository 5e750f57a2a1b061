"""The replica set behind router doubles, and a router's connections to its primary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import anyio
import anyio.abc
import bson

from wiredrv.types import Address
from wiredrv.wire.codec import decode_raw
from wiredrv.wire.framing import Framer
from wiredrv.wire.op_msg import MORE_TO_COME, DocumentSequence, decode_message, encode_message, next_request_id

_STATE_CHANGES = frozenset({91, 189, 10107, 11600, 11602, 13435, 13436})
_PRIMARY_WITHIN = 15.0
_UNANSWERED = bson.encode({"ok": 1.0})


class ShardLost(Exception):
    """The shard's primary does not answer, or there is none."""


class Shard:
    """A replica set. ``times`` are the newest ``$clusterTime`` and ``operationTime`` it has sent."""

    def __init__(self, name: str, members: Sequence[Address]) -> None:
        self.name = name
        self.members = tuple(members)
        self.hello: Mapping[str, Any] = {}
        self.times: dict[str, Any] = {}
        self._primary: Address | None = None

    async def connect(self) -> anyio.abc.SocketStream:
        """A connection to the primary; waits a while if there is none.

        :raises ShardLost: there is none.
        """
        with anyio.move_on_after(_PRIMARY_WITHIN):
            while True:
                for address in [self._primary] if self._primary else self.members:
                    stream = await self._try(address)
                    if stream is not None:
                        return stream
                await anyio.sleep(0.05)
        raise ShardLost(f"Could not find host matching read preference primary for set {self.name}")

    async def _try(self, address: Address) -> anyio.abc.SocketStream | None:
        try:
            stream = await anyio.connect_tcp(address.host, address.port or 0)
        except OSError:
            self._primary = None
            return None
        is_primary = False
        try:
            self.hello = decode_raw(await _round_trip(stream, bson.encode({"hello": 1, "$db": "admin"})))
            is_primary = bool(self.hello.get("isWritablePrimary"))
        except (anyio.EndOfStream, anyio.BrokenResourceError, OSError):
            pass
        finally:
            self._primary = address if is_primary else None
            if not is_primary:
                await _close(stream)
        return stream if is_primary else None

    def learn(self, body: bytes) -> bool:
        """Process a reply's fields; returns whether the server that sent it can still be used as the primary."""
        reply = decode_raw(body)
        cluster_time = reply.get("$clusterTime")
        if cluster_time is not None:
            last = self.times.get("$clusterTime")
            if last is None or cluster_time["clusterTime"] >= last["clusterTime"]:
                self.times = {key: reply[key] for key in ("$clusterTime", "operationTime") if key in reply}
        if not reply.get("ok") and reply.get("code") in _STATE_CHANGES:
            self._primary = None
            return False
        return True


class Backend:
    """One connection to the primary, opened when it is needed; after an error the next command opens a new one."""

    def __init__(self, shard: Shard) -> None:
        self._shard = shard
        self._stream: anyio.abc.SocketStream | None = None

    async def exchange(self, body: bytes, sequences: Sequence[DocumentSequence], flags: int) -> bytes:
        """Send a command to the primary and return the reply's body.

        :raises ShardLost: there is no primary, or the connection broke.
        """
        if self._stream is None:
            self._stream = await self._shard.connect()
        try:
            reply = await _round_trip(self._stream, body, sequences, flags)
        except (anyio.EndOfStream, anyio.BrokenResourceError, OSError) as error:
            await self.close()
            raise ShardLost(f"Error connecting to the shard {self._shard.name}: {error!r}") from error
        except BaseException:
            await self.close()
            raise
        if not self._shard.learn(reply):
            await self.close()
        return reply

    async def close(self) -> None:
        """Drop the connection."""
        if self._stream is not None:
            stream, self._stream = self._stream, None
            await _close(stream)


async def _close(stream: anyio.abc.SocketStream) -> None:
    with anyio.CancelScope(shield=True):
        await anyio.aclose_forcefully(stream)


async def _round_trip(
    stream: anyio.abc.SocketStream, body: bytes, sequences: Sequence[DocumentSequence] = (), flags: int = 0
) -> bytes:
    await stream.send(encode_message(body, next_request_id(), sequences, flags))
    if flags & MORE_TO_COME:
        return _UNANSWERED
    framer = Framer()
    message = None
    while message is None:
        message = framer.feed(await stream.receive())
    return bytes(decode_message(message).body)
