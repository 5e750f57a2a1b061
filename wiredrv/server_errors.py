"""Converts servers' answers to errors; no other module does. Pure.

Specifications: server-discovery-and-monitoring ("not writable primary" and "node is recovering"), read-write-concern,
transactions ("Error Labels").
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import bson
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.raw_bson import RawBSONDocument

from wiredrv.errors import (
    RETRYABLE,
    SYSTEM_OVERLOADED,
    CursorNotFound,
    DriverError,
    DuplicateKeyError,
    ExecutionTimeout,
    NotPrimaryError,
    OperationFailure,
    SnapshotTooOld,
    WriteConcernError,
    WriteError,
    WTimeoutError,
    code_of,
    labels_of,
)
from wiredrv.server_facts import NOT_PRIMARY_CODES, RECOVERING_CODES, ErrorCode
from wiredrv.types import Document, PlainDocument

#: The options for decoding the details of errors: with these, decoding never fails.
_DETAILS: CodecOptions[PlainDocument] = CodecOptions(
    unicode_decode_error_handler="replace", datetime_conversion=DatetimeConversion.DATETIME_AUTO
)

_CLASS_OF_CODE: dict[int, type[OperationFailure]] = {
    ErrorCode.CursorNotFound: CursorNotFound,
    ErrorCode.MaxTimeMSExpired: ExecutionTimeout,
    ErrorCode.SnapshotTooOld: SnapshotTooOld,
    ErrorCode.WriteConcernTimeout: WTimeoutError,
    ErrorCode.DuplicateKey: DuplicateKeyError,
    ErrorCode.DuplicateKeyOnUpdate: DuplicateKeyError,
    ErrorCode.DuplicateKeyOnCappedInsert: DuplicateKeyError,
}


#: What follows the server's words where its history does not go back far enough.
_KEEP_HISTORY = (
    "; servers keep the history that snapshots need for 300 seconds, or as long as their parameter "
    "minSnapshotHistoryWindowInSeconds says: set it on each member, to more than the longest read takes"
)


def command_error(reply: Document, max_wire_version: int | None = None) -> DriverError:
    """Turn an ``ok: 0`` reply into the error that stands for it.

    Not-primary and recovering codes become :class:`NotPrimaryError`; the message heuristics apply only to replies
    without a code (SDAM, "not writable primary and node is recovering").
    """
    code = code_of(reply)
    message = str(reply.get("errmsg") or reply.get("$err") or "the server gave no message")
    labels = labels_of(reply)
    if code in NOT_PRIMARY_CODES or code in RECOVERING_CODES or (code is None and _says_not_primary(message)):
        refusal = NotPrimaryError(f"{message} (code {code})", _plain(reply), labels)
        refusal.max_wire_version = max_wire_version
        return refusal
    error = _CLASS_OF_CODE.get(code, OperationFailure) if code is not None else OperationFailure
    name = reply.get("codeName")
    suffix = f" (code {code}{f', {name}' if name else ''})" if code is not None else ""
    if error is SnapshotTooOld:
        suffix += _KEEP_HISTORY
    return error(message + suffix, code, _plain(reply), max_wire_version, labels)


def handshake_error(reply: Document, max_wire_version: int | None = None) -> DriverError:
    """As :func:`command_error`, for the refusal of a handshake or an authentication.

    No operation was sent, so labels about an operation or its transaction are dropped.
    """
    labels = labels_of(reply) & {SYSTEM_OVERLOADED, RETRYABLE}
    return command_error({**reply, "errorLabels": sorted(labels)}, max_wire_version)


def write_error(entry: Document, reply: Document, max_wire_version: int | None = None) -> WriteError:
    """Turn one element of ``writeErrors`` into its error."""
    code = code_of(entry)
    error = _CLASS_OF_CODE.get(code, WriteError) if code is not None else WriteError
    chosen = error if issubclass(error, WriteError) else WriteError
    return chosen(str(entry.get("errmsg")), code, _plain(entry), max_wire_version, labels_of(reply))


def write_concern_error(entry: Document, reply: Document, max_wire_version: int | None = None) -> WriteConcernError:
    """Turn a ``writeConcernError`` into its error."""
    code = code_of(entry)
    # The code or the errInfo indicates a timeout (read-write-concern, "WriteConcernError").
    info = entry.get("errInfo")
    timed_out = code == ErrorCode.WriteConcernTimeout or (isinstance(info, Mapping) and bool(info.get("wtimeout")))
    error = WTimeoutError if timed_out else WriteConcernError
    labels = labels_of(reply) | labels_of(entry)
    return error(str(entry.get("errmsg")), code, _plain(entry), max_wire_version, labels)


def _plain(value: Any) -> Any:
    """The parts of a reply that were not decoded, as dictionaries, for an error's details.

    They are not decoded with the user's options: a value that these refuse must not hide the failure itself. Values
    that cannot be decoded at all stay bytes.
    """
    if isinstance(value, RawBSONDocument):
        try:
            return bson.decode(value.raw, _DETAILS)
        except Exception:
            if not _is_readable(value):
                return value.raw
    if isinstance(value, Mapping):
        return {name: _plain(part) for name, part in value.items()}
    return [_plain(part) for part in value] if isinstance(value, list) else value


def _is_readable(document: RawBSONDocument) -> bool:
    """Whether the outermost level of a document can be taken apart."""
    try:
        len(document)
    except Exception:
        return False
    return True


def _says_not_primary(message: str) -> bool:
    return "not master" in message or "node is recovering" in message
