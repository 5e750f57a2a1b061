"""What is kept of a command, of a mark and of an error until they become records; and how they become these. Pure.

Redaction is that of the log: no command with credentials is kept, nor the text of its errors, and documents are cut off
at the log's length (command-logging-and-monitoring specification, "Security"; logging specification, "Representing
Documents in Log Messages").
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from itertools import count

from bson import json_util
from bson.timestamp import Timestamp

from wiredrv.errors import DriverError
from wiredrv.execution.exchange import hides
from wiredrv.execution.run import Run
from wiredrv.logs.documents import OPTIONS, to_text
from wiredrv.operations.base import OperationKind
from wiredrv.timeline.buffer import Buffer, Start, tape
from wiredrv.timeline.records import CommandRecord, Failure, Record, Time
from wiredrv.types import Address, Document, PlainDocument, Reply
from wiredrv.wire.envelope import decode_tolerantly
from wiredrv.wire.op_msg import DocumentSequence

#: About how many bytes of memory an entry takes, besides its command.
_ENTRY_BYTES = 700
#: How many bytes of a command are kept as they were encoded: more than a text of the usual length is made from.
_SMALL = 4096
#: Characters of the text of an error.
_MESSAGE_LENGTH = 2000

_COMMAND = OperationKind.COMMAND
_numbers = count(1)


class CommandEntry:
    """An attempt to execute an operation."""

    __slots__ = (
        "_body",
        "_documents",
        "_hidden",
        "_text",
        "address",
        "at",
        "attempt",
        "client",
        "cluster_time",
        "collection",
        "connected",
        "connection",
        "database",
        "failure",
        "implicit",
        "lsid",
        "name",
        "number",
        "ok",
        "operation",
        "operation_time",
        "part",
        "replied",
        "retried",
        "selected",
        "sent",
        "settled",
        "size",
        "transaction",
    )

    def __init__(self, client: int, run: Run[object], now: float) -> None:
        operation = run.operation
        target = operation.target
        self.client = client
        self.name = operation.name
        self.database = target.database
        self.collection = target.collection
        self.number = self.operation = next(_numbers)
        self.attempt = 1
        before = run.entry
        if type(before) is CommandEntry:
            self.operation = before.operation
            self.attempt = before.attempt + 1
        session = run.server_session
        self.lsid: bytes | None = None if session is None else session.lsid["id"]
        self.implicit = run.session is None
        self.transaction = session.txn_number if run.in_transaction and session is not None else None
        self.at = now
        self.selected = self.connected = self.sent = self.replied = 0.0
        self.address: Address | None = None
        self.connection = 0
        self.part: Buffer | None = None
        self.ok: bool | None = None
        self.failure: Failure | None = None
        self.retried = self.settled = False
        self.cluster_time: object = None
        self.operation_time: object = None
        self.size = _ENTRY_BYTES
        self._hidden = run.traits.kind is _COMMAND and hides(operation)
        self._body: bytes | None = None
        self._documents: Sequence[tuple[str, list[bytes]]] = ()
        self._text: str | None = None

    # --- what happens to it ---

    def going_out(self, run: Run[object], now: float, body: bytes, sequences: Sequence[DocumentSequence]) -> None:
        """Its command is encoded and being sent: keep it in the recordings.

        :param body: the command.
        :param sequences: the documents that are sent besides it.
        """
        if self.sent or self.settled:
            return  # a later attempt, and the recording has ended meanwhile
        self.sent = now
        if not self._hidden:
            if len(body) <= _SMALL and (not sequences or self._keep_documents(sequences)):
                self._body = body
                self.size += len(body)
            else:
                # Now: the documents are the caller's, who may change them later.
                self._text = _text_now(run, body)
                self.size += 4 * len(self._text)
        self.keep()

    def _keep_documents(self, sequences: Sequence[DocumentSequence]) -> bool:
        """Keep the first documents that are sent besides the command; False if one of them is large."""
        left = _SMALL
        for sequence in sequences:
            documents: list[bytes] = []
            for document in sequence.documents:
                if left < 0:
                    break
                if len(document) > _SMALL:
                    return False
                left -= len(document)
                documents.append(document)
            self._documents = (*self._documents, (sequence.identifier, documents))
        self.size += _SMALL - left
        return True

    def keep(self) -> None:
        """Keep it in the recordings."""
        for buffer in tape.buffers:
            buffer.add(self)
        if self.part is not None:
            self.part.add(self)
            self.part = None  # which refers to this entry now

    def answered(self, now: float, reply: Reply, acknowledged: bool) -> None:
        """Its reply arrived; an empty one if it is unacknowledged."""
        self.replied = now
        self.ok = not acknowledged or reply.get("ok") == 1
        try:
            self.operation_time = reply["operationTime"]
            self.cluster_time = reply["$clusterTime"]["clusterTime"]
        except Exception:
            pass  # a server without them, or one that sends something else

    def fail(self, now: float, error: BaseException, retried: bool = False) -> None:
        """It failed.

        :param retried: whether another attempt follows.
        """
        self.settled = True
        self.ok = False
        self.retried = retried
        self.failure = failure_of(error, hidden=self._hidden)
        self.replied = self.replied or now

    def complete(self, before: float) -> bool:
        """Whether it ended before that time, so that no more becomes known of it."""
        return bool(self.replied) and self.replied < before

    # --- the record ---

    def record(self, start: Start) -> CommandRecord:
        """The record, for a recording that began then."""

        def when(moment: float) -> int | None:
            return start.microseconds(moment) if moment else None

        return CommandRecord(
            id=self.number,
            at=start.microseconds(self.at),
            name=str(self.name),  # a user's command may have a name that is none, which is refused later
            client=self.client,
            operation=self.operation,
            attempt=self.attempt,
            selected=when(self.selected),
            connected=when(self.connected),
            sent=when(self.sent),
            replied=when(self.replied),
            database=self.database,
            collection=self.collection,
            server=None if self.address is None else str(self.address),
            connection=self.connection or None,
            session=None if self.lsid is None else self.lsid.hex(),
            implicit=self.implicit and self.lsid is not None,
            transaction=self.transaction,
            command=self._command(start.length),
            ok=self.ok,
            error=self.failure,
            retried=self.retried,
            cluster_time=_time(self.cluster_time),
            operation_time=_time(self.operation_time),
        )

    def _command(self, length: int) -> str | None:
        if self._body is None:
            return self._text
        command = _decoded(self._body)
        for name, documents in self._documents:
            command[name] = [_decoded(document) for document in documents]
        return text_of(_without_signature(command), length)


class MarkEntry:
    """Anything but a command.

    :param at: when it happened, on the monotonic clock.
    :param make: makes its record, with the time in microseconds as ``at``.
    """

    __slots__ = ("_make", "at", "size")

    def __init__(self, at: float, make: Callable[..., Record]) -> None:
        self.at = at
        self.size = _ENTRY_BYTES
        self._make = make

    def record(self, start: Start) -> Record:
        """The record, for a recording that began then."""
        return self._make(at=start.microseconds(self.at))


def failure_of(error: BaseException, *, hidden: bool = False) -> Failure:
    """What is kept of an error: neither itself nor its traceback, which would keep users' objects.

    :param hidden: whether its text may contain credentials.
    """
    try:
        text = str(error)
    except Exception:  # that of a user's class
        text = ""
    if len(text) > _MESSAGE_LENGTH:
        text = f"{text[:_MESSAGE_LENGTH]}..."
    code = getattr(error, "code", None)
    return Failure(
        type=type(error).__name__,
        message="(redacted)" if hidden else text,
        code=code if type(code) is int and code >= 0 else None,
        labels=tuple(sorted(error.error_labels)) if isinstance(error, DriverError) else (),
    )


def text_of(document: PlainDocument, length: int) -> str:
    """A small document that was decoded, as in log messages; several times as fast.

    Code is a text like any other here.
    """
    try:
        text = json.dumps(document, default=_as_json, allow_nan=False)
    except Exception:  # a number that JSON does not have, for instance
        return to_text(document, length)
    return text if len(text) <= length else f"{text[:length]}..."


def _as_json(value: object) -> object:
    return json_util.default(value, OPTIONS)


def _text_now(run: Run[object], body: bytes) -> str:
    try:
        return to_text(_without_signature(run.operation.described(_decoded(body))), tape.length)
    except Exception:  # that of a user's class: no reason not to send the command
        return "(cannot be shown)"


def _without_signature(command: Document) -> PlainDocument:
    """A command without the signature of its cluster time, which takes much room and tells nothing."""
    sent = command.get("$clusterTime")
    shown = {"$clusterTime": {"clusterTime": sent.get("clusterTime")}} if isinstance(sent, Mapping) else {}
    return {**command, **shown}


def _decoded(document: bytes) -> PlainDocument:
    found = decode_tolerantly(document)
    return {"(cannot be decoded)": len(document)} if found is None else found


def _time(value: object) -> Time | None:
    return (value.time, value.inc) if isinstance(value, Timestamp) else None
