"""One connection: a transport, a framer, and the result of the handshake. One command at a time.

Rules kept here:

* Any failure between the first byte sent and the last byte received closes the connection, except a receive that was
  cancelled. Then a reply is outstanding (``reply_owed``), and :meth:`Connection.settle` can still read it, so that a
  cancelled operation need not cost a connection, nor leave an unknown cursor open on the server.
* Every malformed message is a :class:`~wiredrv.errors.ProtocolError` and closes the connection. A whole message with a
  document that cannot be decoded (:class:`~wiredrv.errors.UnreadableReply`) does not.
* A connection on which unexpected data arrived is never used again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from bson.objectid import ObjectId

from wiredrv import waits
from wiredrv.connection.handshake import Handshake, declare_api
from wiredrv.connection.settings import ServerApi
from wiredrv.errors import AutoReconnect, ConfigurationError, InvalidOperation, NetworkTimeout, ProtocolError
from wiredrv.net.transport import Transport
from wiredrv.server_errors import command_error
from wiredrv.types import Address, Body, Buffers, Document, PlainDocument, Reply
from wiredrv.wire.codec import decode, encode
from wiredrv.wire.compression import Compressor, decompress
from wiredrv.wire.framing import READ_SIZE, Framer
from wiredrv.wire.op_msg import EXHAUST_ALLOWED, MORE_TO_COME, Message, decode_message, encode_message, next_request_id


class Relogin(Protocol):
    """How a connection was authenticated."""

    async def again(self, connection: Connection, operation: waits.CancelScope | None) -> None:
        """Authenticate it once more; if that fails, it is closed.

        :param operation: the block with the time limit of the operation that waits for it; None if it has none.
        """
        ...


class Connection:
    """A connection to one server. ``id`` numbers it within its pool; ``generation`` is the pool's when it was made.

    ``socket_timeout`` limits each send and each receive of a reply, in seconds; None sets no limit.

    Specifications: message (OP_MSG), compression, mongodb-handshake.
    """

    __slots__ = (
        "_framer",
        "_owed",
        "_pending",
        "_transport",
        "accepts_compressed",
        "address",
        "api",
        "closed",
        "compressor",
        "failure",
        "generation",
        "handshake",
        "hello_duration",
        "id",
        "last_used",
        "login",
        "more_to_come",
        "person_seconds",
        "pinned_by",
        "service_id",
        "socket_timeout",
    )

    #: The result of the handshake, once it is done.
    handshake: Handshake

    def __init__(self, transport: Transport, address: Address, connection_id: int = 0, generation: int = 0) -> None:
        self._transport = transport
        self._framer = Framer()
        self._pending = self._framer.pending
        self._owed = 0
        #: The server's address.
        self.address = address
        #: Its number within its pool.
        self.id = connection_id
        #: The pool's generation when it was made.
        self.generation = generation
        #: The Stable API version that its commands declare.
        self.api: ServerApi | None = None
        #: Whether it is closed.
        self.closed = False
        #: The last error of an operation on it, for the event of its closing.
        self.failure: BaseException | None = None
        #: The compressor for requests; None until the handshake negotiated one.
        self.compressor: Compressor | None = None
        #: Whether replies may be compressed: true once the handshake has offered compression; covers its reply too.
        self.accepts_compressed = False
        #: The seconds between the handshake and its answer.
        self.hello_duration = 0.0
        #: When it was last checked in, in seconds of the monotonic clock.
        self.last_used = 0.0
        #: How it was authenticated; None without a user.
        self.login: Relogin | None = None
        #: Whether the server streams replies.
        self.more_to_come = False
        #: Seconds that a person took to log in, which do not count for the operation that waited for it.
        self.person_seconds = 0.0
        #: Behind a load balancer, what it is pinned by: a cursor or a transaction.
        self.pinned_by: str | None = None
        #: Which server behind a load balancer this leads to, known after the handshake; None elsewhere.
        self.service_id: ObjectId | None = None
        #: Seconds for each send and each receive of a reply; None for no limit.
        self.socket_timeout: float | None = None

    def accept(self, handshake: Handshake) -> None:
        """Apply the result of the handshake.

        :param handshake: the server's answer.
        """
        self.handshake = handshake
        self.service_id = handshake.service_id
        self._framer.max_message_size = handshake.limits.max_message_size

    def compress(self, message: Buffers, command_name: str) -> bytes:
        """Compress a message, if compression was negotiated (``compressor``).

        :param message: the encoded message.
        :param command_name: its command; some are never compressed.
        :returns: the compressed message, or the message itself.
        """
        assert self.compressor is not None
        whole = message if isinstance(message, bytes) else b"".join(message)
        return self.compressor.compress(whole, command_name, self.handshake.limits.max_message_size)

    @property
    def reply_owed(self) -> bool:
        """Whether a request was sent completely and its reply was not read yet."""
        return self._owed != 0 and not self.closed

    @property
    def is_out_of_step(self) -> bool:
        """Whether the connection cannot be used again: the next data would not be the reply to the next command."""
        return self._owed != 0 or bool(self._pending)

    def close(self, *, wake: bool = True) -> None:
        """Close the connection; tasks that wait on it get an AutoReconnect. May be called twice.

        :param wake: False after a fork, where the waiting tasks are the parent's.
        """
        if not self.closed:
            self.closed = True
            self._transport.close(wake=wake)

    def is_stale(self) -> bool:
        """Whether an idle connection is broken, or unexpected data arrived on it.

        :returns: whether it cannot be used again.
        """
        return self.closed or self.is_out_of_step or self._transport.is_readable()

    async def round_trip(self, message: Buffers | None, request_id: int) -> Body:
        """Send a message and wait for its reply.

        :param message: the message to send; None waits for the next reply of a stream (``more_to_come``).
        :param request_id: the number of the message.
        :returns: the body of the reply, still encoded.
        :raises AutoReconnect: the connection broke.
        :raises NetworkTimeout: ``socket_timeout`` passed.
        :raises ProtocolError: the reply is malformed.
        :raises InvalidOperation: the reply to the message before was not read yet.
        """
        if self.socket_timeout is not None:
            return await self._bounded_round_trip(message, request_id, self.socket_timeout)
        if message is not None:
            await self.send(message)
            self._owed = request_id
        return (await self.receive()).body

    async def _bounded_round_trip(self, message: Buffers | None, request_id: int, seconds: float) -> Body:
        limit = f"socketTimeoutMS ({seconds * 1000:.0f} ms)"
        return await self._round_trip_in(seconds, message, request_id, limit)

    async def round_trip_until(self, deadline: float, message: Buffers | None, request_id: int) -> Body:
        """As :meth:`round_trip`, but until ``deadline``, whatever ``socket_timeout`` is.

        :param deadline: when the reply must have arrived, on the monotonic clock.
        :param message: the message to send; None waits for the next reply of a stream.
        :param request_id: the number of the message.
        :returns: the body of the reply, still encoded.
        :raises NetworkTimeout: it did not arrive; the connection is closed.
        :raises AutoReconnect: the connection broke.
        :raises ProtocolError: the reply is malformed.
        :raises InvalidOperation: the reply to the message before was not read yet.
        """
        seconds = deadline - waits.monotonic()
        return await self._round_trip_in(seconds, message, request_id, "the operation's time limit")

    async def _round_trip_in(self, seconds: float, message: Buffers | None, request_id: int, limit: str) -> Body:
        try:
            with waits.fail_after(seconds):
                if message is not None:
                    await self.send(message)
                    self._owed = request_id
                return (await self.receive()).body
        except TimeoutError as error:
            self.close()
            raise NetworkTimeout(f"{self.address}: the server did not answer within {limit}") from error

    async def send_until(self, deadline: float, message: Buffers) -> None:
        """As :meth:`send`, but until ``deadline``.

        :param deadline: when the message must have been sent, on the monotonic clock.
        :param message: the message to send.
        :raises NetworkTimeout: it was not; the connection is closed.
        :raises AutoReconnect: the connection broke.
        :raises InvalidOperation: the reply to the message before was not read yet.
        """
        try:
            with waits.fail_after(deadline - waits.monotonic()):
                await self.send(message)
        except TimeoutError as error:
            raise NetworkTimeout(
                f"{self.address}: the command could not be sent within the operation's time limit"
            ) from error

    async def send(self, message: Buffers) -> None:
        """Send a message. If that fails or is cancelled midway, the connection is closed.

        :param message: the message to send.
        :raises AutoReconnect: the connection broke, or unexpected bytes would be taken for the reply. A pool discards
            such a connection, but a pinned one (load-balancers specification) is not checked in in between.
        :raises InvalidOperation: the reply to the message before was not read yet.
        """
        if self._owed and not self.more_to_come:
            if self.closed:
                raise AutoReconnect(f"{self.address}: the connection was closed: a reply that it waited for never came")
            raise InvalidOperation("this connection waits for a reply; a connection carries one command at a time")
        if self._owed or self._pending:
            self.close()
            raise AutoReconnect(f"{self.address}: the server sent more than one reply to a command")
        sent = False
        try:
            await self._transport.send(message)
            sent = True
        finally:
            if not sent:
                self.close()

    async def receive(self) -> Message:
        """Wait for the outstanding reply. Cancelling this loses no part of the reply.

        :returns: the reply, its body still encoded.
        :raises AutoReconnect: the connection broke.
        :raises ProtocolError: the reply is malformed, or answers another request.
        """
        framer = self._framer
        try:
            data = framer.next() if self._pending else None
            while data is None:
                if framer.buffer is None:
                    chunk = await self._transport.receive(READ_SIZE)
                    if not chunk:
                        raise self._ended()
                    data = framer.feed(chunk)
                elif await self._transport.receive_into(framer.buffer):
                    data = framer.filled()
                else:
                    raise self._ended()
            if self.accepts_compressed:
                data = waits.apart(decompress, data, framer.max_message_size)
            message = decode_message(data)
            if message.response_to != self._owed:
                raise ProtocolError(f"a reply answers request {message.response_to}, not {self._owed}")
        except (Exception, KeyboardInterrupt, SystemExit):
            # An interrupt may have struck after bytes were taken from the socket, and before they were kept.
            self.close()
            raise
        self.more_to_come = bool(message.flags & MORE_TO_COME)
        self._owed = message.request_id if self.more_to_come else 0
        return message

    def _ended(self) -> AutoReconnect:
        # Also within a message this is a broken connection, which may be retried.
        where = " in the middle of a reply" if self._pending else ""
        return AutoReconnect(f"{self.address}: the server closed the connection{where}")

    async def settle(self, seconds: float) -> Body | None:
        """Wait a short time for an outstanding reply; close the connection if it does not come.

        Called under a shield, after a cancellation. Errors of the server are not raised.

        :param seconds: how long to wait, in seconds.
        :returns: the reply's body, or None with the connection closed.
        """
        if not self.reply_owed:
            self.close()
            return None
        body = None
        try:
            with waits.move_on_after(seconds):
                body = (await self.receive()).body
        except (AutoReconnect, ProtocolError):
            pass
        if body is None or self.more_to_come:
            self.close()
        return body

    async def command(self, database: str, command: Document, *, timeout: float | None = None) -> Reply:
        """Run one command as given, and return the server's reply.

        :param database: the database to run it on.
        :param command: the command; its first key is the command's name. It is not changed.
        :param timeout: seconds to wait for the reply; None waits without limit.
        :returns: the reply.
        :raises OperationFailure: the server answered ``ok: 0``.
        :raises UnreadableReply: the reply cannot be decoded; the connection stays open.
        :raises AutoReconnect: the connection broke, or (NetworkTimeout) no reply came in time; it is closed then.
        :raises InvalidDocument: the command cannot be encoded; nothing was sent.
        :raises ConfigurationError: an argument is of the wrong kind, or the command is empty.
        :raises ProtocolError: the reply is malformed; the connection is closed.
        """
        reply = await self.ask(database, command, timeout=timeout)
        if not reply.get("ok"):
            raise command_error(reply, self.handshake.limits.max_wire_version)
        return reply

    async def ask(self, database: str, command: Document, *, timeout: float | None = None) -> Reply:
        """As :meth:`command`, but an ``ok: 0`` is returned like any reply.

        :param database: the database to run it on.
        :param command: the command; its first key is the command's name. It is not changed.
        :param timeout: seconds to wait for the reply; None waits without limit.
        :returns: the reply.
        :raises UnreadableReply: the reply cannot be decoded; the connection stays open.
        :raises AutoReconnect: the connection broke, or (NetworkTimeout) no reply came in time; it is closed then.
        :raises InvalidDocument: the command cannot be encoded; nothing was sent.
        :raises ConfigurationError: an argument is of the wrong kind, or the command is empty.
        :raises ProtocolError: the reply is malformed; the connection is closed.
        """
        document = _checked(database, command)
        declare_api(document, self.api)
        request_id = next_request_id()
        message = encode_message(encode(document), request_id)
        if self.compressor is not None:
            message = self.compress(message, next(iter(document)))
        return decode(await self._within(timeout, message, request_id))

    async def _within(self, seconds: float | None, message: bytes, request_id: int) -> Body:
        finished = False
        try:
            with waits.fail_after(seconds):
                body = await self.round_trip(message, request_id)
            finished = True
            return body
        except TimeoutError as error:
            raise NetworkTimeout(f"{self.address}: no reply within {(seconds or 0) * 1000:.0f} ms") from error
        finally:
            # The reply of such a command will not be read later.
            if not finished:
                self.close()

    async def stream(self, database: str, command: Document, *, timeout: float | None = None) -> Reply:
        """Start an exhaust command: as :meth:`command`, but the server may send further replies (``more_to_come``).

        :param database: the database to run it on.
        :param command: the command; its first key is the command's name. It is not changed.
        :param timeout: seconds to wait for the first reply; None waits without limit.
        :returns: the first reply.
        :raises UnreadableReply: the reply cannot be decoded; the connection stays open.
        :raises AutoReconnect: the connection broke, or (NetworkTimeout) no reply came in time; it is closed then.
        :raises InvalidDocument: the command cannot be encoded; nothing was sent.
        :raises ConfigurationError: an argument is of the wrong kind, or the command is empty.
        :raises ProtocolError: the reply is malformed; the connection is closed.
        """
        document = _checked(database, command)
        declare_api(document, self.api)
        request_id = next_request_id()
        message = encode_message(encode(document), request_id, flags=EXHAUST_ALLOWED)
        return decode(await self._within(timeout, message, request_id))

    async def next_reply(self, *, timeout: float | None = None) -> Reply:
        """The next reply of an exhaust command, while ``more_to_come`` holds.

        :param timeout: seconds to wait for it; None waits without limit.
        :returns: the reply.
        :raises NetworkTimeout: it did not come in time; the connection is closed.
        :raises AutoReconnect: the connection broke; it is closed.
        :raises UnreadableReply: the reply cannot be decoded.
        :raises ProtocolError: the reply is malformed; the connection is closed.
        """
        try:
            with waits.fail_after(timeout):
                return decode((await self.receive()).body)
        except TimeoutError as error:
            self.close()
            raise NetworkTimeout(f"{self.address}: no reply within {(timeout or 0) * 1000:.0f} ms") from error

    def __repr__(self) -> str:
        return f"<Connection {self.id} to {self.address}{', closed' if self.closed else ''}>"


def _checked(database: object, command: object) -> PlainDocument:
    """A user's command with its database.

    :raises ConfigurationError: one of them is of the wrong kind, or the command is empty.
    """
    if not isinstance(database, str):
        raise ConfigurationError(f"database must be a database's name, as 'admin', not {database!r}")
    if not isinstance(command, Mapping) or not command:
        raise ConfigurationError(f"command must be a mapping that is not empty, as {{'ping': 1}}, not {command!r}")
    return {**command, "$db": database}
