"""Replies that cannot be decoded: the part that can be read, and the error to raise. Pure.

The message arrived whole and the command took effect, so the connection is kept and the topology does not react
(``wiredrv/failures.py``). A refusal of the server is raised as such, also if its text is not UTF-8: servers truncate
keys and documents in the middle of a character.
"""

from __future__ import annotations

from collections.abc import Mapping
from reprlib import repr as shown

from wiredrv.errors import DriverError, UnreadableReply
from wiredrv.operations.base import Operation
from wiredrv.server_errors import command_error
from wiredrv.types import Address, Document, Reply
from wiredrv.wire.codec import error_text
from wiredrv.wire.envelope import decode_tolerantly, pick_envelope

_FAILURES = ("writeErrors", "writeConcernError")


def salvage(body: bytes, error: UnreadableReply, operation: Operation[object], address: Address) -> Reply:
    """The reply, if it is an error whose structure is intact: its texts are decoded with replacement characters.

    :param body: the reply, encoded.
    :param error: what decoding it raised.
    :raises UnreadableReply: in all other cases.
    """
    reply = decode_tolerantly(body)
    if reply is None:
        raise unreadable(error, operation, address, pick_envelope(body)) from error.__cause__
    if reply.get("ok") == 0 or any(name in reply for name in _FAILURES):
        return reply
    raise unreadable(error, operation, address, reply) from error.__cause__


def unreadable(error: Exception, operation: Operation[object], address: Address, envelope: Document) -> UnreadableReply:
    """The error to raise for a reply whose reading raised ``error``; ``envelope`` is what can be read of it."""
    cause = error.__cause__ if isinstance(error, UnreadableReply) else error
    namespace = operation.target.namespace.rstrip(".")
    text = str(error) if cause is None else error_text(cause)
    found = UnreadableReply(f"{address}: the reply to {operation.name!r} on {namespace} cannot be read: {text}")
    found.namespace = namespace
    found.envelope = envelope
    return found


def refusal(reply: Reply, max_wire_version: int) -> DriverError:
    """The error for a reply whose ``ok`` is not 1: the server's refusal, or that it does not say."""
    ok = reply.get("ok")
    if ok == 0:
        return command_error(reply, max_wire_version)
    return UnreadableReply("it has no 'ok'" if ok is None else f"its 'ok' is {shown(ok)}")


def cursor_in(envelope: Document, operation: Operation[object]) -> tuple[int, str] | None:
    """Id and namespace of the cursor that is open on the server after this reply, if there is one."""
    cursor = envelope.get("cursor")
    if not isinstance(cursor, Mapping):
        return None
    number, namespace = cursor.get("id"), cursor.get("ns")
    if not isinstance(number, int) or isinstance(number, bool) or number == 0:
        return None
    return number, namespace if isinstance(namespace, str) and "." in namespace else operation.target.namespace
