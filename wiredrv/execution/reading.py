"""Replies that cannot be decoded: the part that can be read, and the error to raise. Pure.

The message arrived whole and the command took effect, so the connection is kept and the topology does not react
(``wiredrv/failures.py``). A refusal of the server is raised as such, also if its text is not UTF-8: servers truncate
keys and documents in the middle of a character.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from reprlib import repr as shown

from wiredrv.errors import DriverError, UnreadableReply
from wiredrv.operations.base import NEVER_ENCODED, Operation
from wiredrv.server_errors import command_error
from wiredrv.types import Address, Body, Document, Reply
from wiredrv.wire.batch import cut
from wiredrv.wire.codec import decode, decode_raw, error_text
from wiredrv.wire.envelope import decode_tolerantly, pick_envelope

_FAILURES = ("writeErrors", "writeConcernError")


def salvage(body: Body, error: UnreadableReply, operation: Operation[object], address: Address) -> Reply:
    """The part of a reply that a caller can use although decoding it failed.

    An error whose structure is intact: its texts are decoded with replacement characters. A batch that is read document
    by document: the cursor raises for the one that cannot be decoded.

    :param body: the reply, encoded.
    :param error: what decoding it raised.
    :raises UnreadableReply: in all other cases.
    """
    if operation.encoded_from < NEVER_ENCODED:
        with contextlib.suppress(UnreadableReply):
            cut_reply = cut(body, operation.target.codec_options)
            if cut_reply is not None:
                return cut_reply
    reply = decode_tolerantly(body)
    if reply is None:
        raise unreadable(error, operation, address, pick_envelope(body)) from error.__cause__
    if reply.get("ok") == 0 or any(name in reply for name in _FAILURES):
        return reply
    raise unreadable(error, operation, address, reply) from error.__cause__


def cut_or_decode(body: Body, operation: Operation[object]) -> Reply:
    """A reply whose batch stays encoded; decoded as a whole if it contains none, as the server's refusal.

    :raises UnreadableReply: it cannot be decoded.
    """
    reply = cut(body, operation.target.codec_options)
    if reply is not None:
        return reply
    return decode(body) if operation.target.plain else decode_raw(body)


def read_for_listeners(body: Body, operation: Operation[object], address: Address) -> tuple[Reply, Reply]:
    """A reply as the operation reads it, and as listeners see it: with the documents of its batch decoded.

    :raises UnreadableReply: it cannot be decoded.
    """
    plain = operation.target.plain
    raw = len(body) >= operation.encoded_from and (not plain or operation.encoded_from == 0)
    try:
        if not raw:
            reply: Reply = decode(body) if plain else decode_raw(body)
            return reply, reply
        reply = cut_or_decode(body, operation)
    except UnreadableReply as error:
        reply = salvage(body, error, operation, address)
    # With substitutes for what Python cannot represent: the error is raised where the documents are read.
    shown = decode_tolerantly(body)
    return reply, reply if shown is None else shown


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
