"""One round trip: encode the command, publish events, send, receive, decode the reply.

The event for a command is published once it is encoded and about to be sent, and one for its end in every case,
including cancellation. Without listeners no event is built.

Specification: command-logging-and-monitoring.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from wiredrv import events, waits
from wiredrv.connection.connection import Connection
from wiredrv.errors import DocumentTooLarge, InvalidDocument, UnreadableReply
from wiredrv.execution.reading import cut_or_decode, read_for_listeners, salvage
from wiredrv.execution.run import Run
from wiredrv.listeners import ListenerHub
from wiredrv.operations.base import Operation, unencodable
from wiredrv.server_errors import command_error
from wiredrv.server_facts import HELLO_COMMANDS, SENSITIVE_COMMANDS
from wiredrv.types import Buffers, Document, Limits, PlainDocument, Reply
from wiredrv.waits import monotonic
from wiredrv.wire.codec import decode, decode_raw, encode
from wiredrv.wire.op_msg import (
    EXHAUST_ALLOWED,
    MORE_TO_COME,
    DocumentSequence,
    encode_message,
    encode_request,
    next_request_id,
)

#: From how many bytes on a reply is decoded while other threads may use the client.
_LARGE = 65_536

#: The bytes that a command may have besides a document of the largest size.
_COMMAND_OVERHEAD = 16 * 1024


async def exchange(connection: Connection, command: PlainDocument, run: Run[object], hub: ListenerHub) -> Reply:
    """Send a decorated command and return the reply; an empty one if the command is unacknowledged.

    :raises InvalidDocument: the command cannot be encoded, or (DocumentTooLarge) is too large; nothing was sent.
    :raises AutoReconnect: the connection broke, or (NetworkTimeout) the time limit ended before the reply.
    :raises OperationTimeout: there is no time for a round trip; nothing was sent.
    :raises ProtocolError: the reply is malformed.
    :raises UnreadableReply: it is whole, but cannot be decoded.
    """
    operation = run.operation
    target = operation.target
    limits = connection.handshake.limits
    try:
        body = encode(command, target.codec_options)
    except InvalidDocument as error:
        raise unencodable(error, operation.name, target.namespace) from error.__cause__
    if len(body) > limits.max_bson_object_size:
        _check_size(len(body), run, limits)
    sequences = operation.sequences(limits)
    request_id = next_request_id()
    flags = 0 if run.acknowledged else MORE_TO_COME
    message: Buffers | None
    if operation.exhaust:
        message = _exhaust(connection, body, request_id)
    elif sequences:
        message = encode_request(body, request_id, sequences, flags)
    else:
        message = encode_message(body, request_id, (), flags)
    if connection.compressor is not None and message is not None:
        message = waits.apart(connection.compress, message, next(iter(command)))
    now = monotonic()
    if run.deadline is not None:
        run.seconds_left(now)  # again: encoding a large command takes its time
    run.sending(now, body, sequences)
    if hub.command:
        return await _observed(connection, command, sequences, message, request_id, run, hub)
    if not run.acknowledged and message is not None:
        await _send_only(connection, message, run.deadline)
        return {}
    if run.deadline is None:
        reply = await connection.round_trip(message, request_id)
    else:
        reply = await connection.round_trip_until(run.deadline, message, request_id)
    try:
        if len(reply) >= operation.encoded_from:
            return cut_or_decode(reply, operation)
        if len(reply) >= _LARGE and target.plain:
            return waits.apart(decode, reply)
        return decode(reply) if target.plain else decode_raw(reply)
    except UnreadableReply as error:
        return salvage(reply, error, operation, connection.address)


def _exhaust(connection: Connection, body: bytes, request_id: int) -> bytes | None:
    """The message that lets a server stream its replies; None if it streams already (OP_MSG, "moreToCome")."""
    if connection.more_to_come:
        return None
    # Routers do not stream: the cursor is read with ordinary getMores.
    return encode_message(body, request_id, (), 0 if connection.handshake.is_mongos else EXHAUST_ALLOWED)


def _check_size(size: int, run: Run[object], limits: Limits) -> None:
    """Check a command that is larger than a document may be."""
    largest = limits.max_bson_object_size
    if size > largest + _COMMAND_OVERHEAD:
        raise DocumentTooLarge(
            f"the command {run.operation.name!r} is {size} bytes long; the server accepts documents of up to "
            f"{largest} bytes"
        )


async def _send_only(connection: Connection, message: Buffers, deadline: float | None) -> None:
    if deadline is None:
        await connection.send(message)
    else:
        await connection.send_until(deadline, message)
    # Sending did not wait, and a loop of such writes must let other tasks run.
    await waits.checkpoint()


async def _observed(
    connection: Connection,
    command: PlainDocument,
    sequences: Sequence[DocumentSequence],
    message: Buffers | None,
    request_id: int,
    run: Run[object],
    hub: ListenerHub,
) -> Reply:
    operation = run.operation
    common: dict[str, Any] = {
        "command_name": next(iter(command)),
        "database_name": operation.target.database,
        "request_id": request_id,
        "operation_id": run.identify(),
        "address": connection.address,
        "connection_id": connection.id,
        "server_connection_id": connection.handshake.server_connection_id,
        "service_id": connection.service_id,
    }
    hidden = is_sensitive(command)
    described: Document = {} if hidden else (operation.described(command) if sequences else dict(command))
    hub.publish(hub.command, events.CommandStartedEvent(**common, command=described))
    started = monotonic()
    try:
        if run.acknowledged or message is None:
            if run.deadline is None:
                body = await connection.round_trip(message, request_id)
            else:
                body = await connection.round_trip_until(run.deadline, message, request_id)
            reply, shown = read_for_listeners(body, operation, connection.address)
        else:
            await _send_only(connection, message, run.deadline)
            reply = shown = {}
    except BaseException as error:
        event = events.CommandFailedEvent(**common, failure=error, duration=monotonic() - started)
        hub.publish(hub.command, event)
        raise
    duration = monotonic() - started
    if not run.acknowledged:
        hub.publish(hub.command, events.CommandSucceededEvent(**common, reply={"ok": 1}, duration=duration))
    elif reply.get("ok") == 1:
        shown = {} if hidden else shown
        hub.publish(hub.command, events.CommandSucceededEvent(**common, reply=shown, duration=duration))
    else:
        failure = command_error(_redacted(reply) if hidden else reply)
        hub.publish(hub.command, events.CommandFailedEvent(**common, failure=failure, duration=duration))
    return reply


def _redacted(reply: Reply) -> Reply:
    """The part of an error reply that may be shown if the command is sensitive."""
    told = {name: reply[name] for name in ("code", "codeName", "errorLabels") if name in reply}
    return {"ok": 0, "errmsg": "(redacted)", **told}


def hides(operation: Operation[object]) -> bool:
    """Whether an operation, and the text of its errors, may contain secrets."""
    body = getattr(operation, "body", None)
    command = body if isinstance(body, Mapping) and body else {operation.name: 1}
    # A user's command that has no proper name is refused later.
    return not isinstance(next(iter(command)), str) or is_sensitive(command)


def is_sensitive(command: Document) -> bool:
    """Whether a command, or its reply, contains secrets."""
    name = next(iter(command)).lower()
    return name in SENSITIVE_COMMANDS or (name in HELLO_COMMANDS and "speculativeAuthenticate" in command)
