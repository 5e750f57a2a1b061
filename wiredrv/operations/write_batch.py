"""Batches of inserts, updates or deletes: how many statements fit into one, and how their replies add up.

CRUD specification, "Bulk Write"; retryable-writes specification, "Supported Write Operations"; PyMongo's form of
``BulkWriteError.details``.

Rules kept here:

* What fits depends on the selected server, so a batch is cut when its command is first built, and then stays the same:
  a retry sends the same statements with the same transaction number.
* Documents are sent as a sequence, encoded once, with the codec options of the handle.
* A batch with a ``multi`` statement is not retryable, whatever the batches beside it are.
* A statement that is too large to be sent is a failure of its own: those before it are sent, and, in an unordered bulk,
  those after it.
* Indexes in results and errors are those of the user's list.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from reprlib import repr as shown
from typing import NamedTuple

from wiredrv.concerns import DEFAULT_WRITE_CONCERN
from wiredrv.errors import BulkWriteError, DocumentTooLarge, InvalidDocument, UnreadableReply
from wiredrv.operations.base import (
    RETRIED_WRITE,
    Limits,
    Operation,
    Target,
    add_options,
    count_in,
    decoded,
    field_of,
    unencodable,
)
from wiredrv.operations.failures import check_statement
from wiredrv.operations.results import BulkWriteResult
from wiredrv.server_facts import MIN_WIRE_VERSION, ErrorCode
from wiredrv.types import Address, Document, PlainDocument, Reply
from wiredrv.wire.codec import encode
from wiredrv.wire.op_msg import DocumentSequence

#: What every supported server (4.2 and later) accepts; used before a server is selected.
USUAL_LIMITS = Limits(
    max_wire_version=MIN_WIRE_VERSION,
    max_bson_object_size=16_777_216,
    max_message_size=48_000_000,
    max_write_batch_size=100_000,
)
#: Bytes kept free in a message for the command around the statements: session, cluster time, concerns, API version.
COMMAND_RESERVE = 16_384
#: How much larger than a document a statement (or a command) that contains one may be.
STATEMENT_RESERVE = 16_382

#: The server's code for a document that is too large; a plain number, since users see it.
_TOO_LARGE = ErrorCode.BSONObjectTooLarge.value

#: The field of each command for its statements.
_FIELDS = {"insert": "documents", "update": "updates", "delete": "deletes"}
#: The order of the commands of an unordered bulk.
_UNORDERED_RANK = {name: rank for rank, name in enumerate(_FIELDS)}


class Statement(NamedTuple):
    """One write of a bulk: the command that it belongs to, and the document that is sent.

    ``body`` is the document itself for an insert, ``{"q": ..., "u": ...}`` for an update, ``{"q": ..., "limit": ...}``
    for a delete.
    """

    command: str
    body: Document

    @property
    def multi(self) -> bool:
        """Whether it may touch many documents."""
        return multi(self.command, self.body)


def multi(command: str, body: Document) -> bool:
    """Whether a statement of ``command`` may touch many documents."""
    if command == "update":
        return bool(body.get("multi"))
    return command == "delete" and body["limit"] == 0


@dataclass(frozen=True, slots=True)
class StatementGroup:
    """Statements for one command, in order, with their indexes in the user's list."""

    command: str
    bodies: Sequence[Document]
    indexes: Sequence[int]


def group_statements(statements: Sequence[Statement], ordered: bool) -> list[StatementGroup]:
    """Group statements by command: only consecutive ones in an ordered bulk, else all of a kind together.

    Then inserts come first and deletes last, as with PyMongo: a bulk that deletes what it inserts deletes it there too.
    """
    groups: list[tuple[str, list[Document], list[int]]] = []
    open_groups: dict[str, tuple[str, list[Document], list[int]]] = {}
    for index, statement in enumerate(statements):
        group = open_groups.get(statement.command)
        if group is None:
            if ordered:
                open_groups.clear()
            group = (statement.command, [], [])
            open_groups[statement.command] = group
            groups.append(group)
        group[1].append(statement.body)
        group[2].append(index)
    if not ordered:
        groups.sort(key=lambda group: _UNORDERED_RANK[group[0]])
    return [StatementGroup(*group) for group in groups]


class StatementTooLarge(DocumentTooLarge):
    """The first statement of a batch cannot be sent. The bulk continues without it, or ends: users never see this
    error.
    """


@dataclass(frozen=True, slots=True)
class Cut:
    """The part of a group that goes into one message: the encoded statements, and the limits that were applied."""

    limits: Limits
    documents: tuple[bytes, ...]


def cut(group: StatementGroup, start: int, limits: Limits, target: Target, reserve: int = COMMAND_RESERVE) -> Cut:
    """Take as many statements of ``group`` from ``start`` on as one message may carry: at least one.

    :param reserve: bytes of the message that belong to the rest of the command.
    :raises StatementTooLarge: the first one is larger than a message may carry; what comes before one is a batch.
    :raises InvalidDocument: a statement cannot be encoded.
    """
    documents: list[bytes] = []
    bytes_left = limits.max_message_size - reserve
    largest = _largest(group.command, target, limits)
    options = target.codec_options
    for body in group.bodies[start : start + limits.max_write_batch_size]:
        try:
            document = encode(body, options)
        except InvalidDocument as error:
            statement = f"statement {group.indexes[start + len(documents)]}: "
            raise unencodable(error, group.command, target.namespace, statement) from error.__cause__
        size = len(document)
        if size > largest:
            if documents:
                break
            raise StatementTooLarge(
                f"{group.command}: statement {group.indexes[start]} has {size} bytes; "
                f"this server accepts {limits.max_bson_object_size}"
            )
        bytes_left -= size
        if bytes_left < 0 and documents:
            break
        documents.append(document)
    return Cut(limits, tuple(documents))


def _largest(command: str, target: Target, limits: Limits) -> int:
    """How many bytes a statement may have."""
    if command == "insert" and not target.write_concern.acknowledged:
        return limits.max_bson_object_size
    # The server itself refuses a document that is a little too large, if the write is acknowledged.
    return limits.max_bson_object_size + STATEMENT_RESERVE


def check_document_size(command: str, size: int, target: Target, limits: Limits) -> None:
    """Refuse a document that cannot be sent.

    :raises DocumentTooLarge: it has too many bytes.
    """
    if size > _largest(command, target, limits):
        raise DocumentTooLarge(
            f"{command} on {target.namespace} was not sent: the document has {size} bytes; "
            f"this server accepts {limits.max_bson_object_size}"
        )


def id_first(document: Document) -> PlainDocument:
    """A document as it is sent: BSON's encoder puts the ``_id`` first."""
    return {"_id": document["_id"], **document} if "_id" in document else dict(document)


@dataclass(slots=True, eq=False)
class WriteBatch(Operation[Reply]):
    """One command of a bulk. The value is the reply; ``taken`` says how many statements it answers for.

    Not frozen, unlike the other operations: it stores how it was cut.

    :raises BulkWriteError: a statement or the write concern failed; ``details`` is the reply.
    :raises StatementTooLarge: the first statement cannot be sent.
    """

    traits = RETRIED_WRITE

    target: Target
    group: StatementGroup
    start: int
    ordered: bool
    options: Document
    operation_id: int = 0
    _cut: Cut | None = field(default=None, init=False)
    _built: bool = field(default=False, init=False)

    @property
    def name(self) -> str:  # type: ignore[override]  # one class for three commands, which differ in their names
        return self.group.command

    @property
    def taken(self) -> int:
        """How many statements the batch has."""
        return len(self._fit(None).documents)

    def answered(self) -> WriteBatch:
        """The same batch with the server's own write concern, so that it is answered."""
        target = replace(self.target, write_concern=DEFAULT_WRITE_CONCERN)
        batch = WriteBatch(target, self.group, self.start, self.ordered, self.options, self.operation_id)
        batch._cut = self._cut
        return batch

    def command(self, limits: Limits) -> PlainDocument:
        self._check_statements(limits)
        before = self._cut if self._built else None
        if before is not None and len(self._fit(limits).documents) < len(before.documents):
            # Statements of the first attempt beyond the shorter batch would be executed again with the next one.
            self._cut = before
            raise DocumentTooLarge(f"{self.name}: the server selected for a retry accepts only smaller batches")
        self._fit(limits)
        self._built = True
        options = self.options
        if self.name == "insert" and "let" in options:
            # Variables are for the updates and deletes of the bulk; the insert command has none.
            options = {name: value for name, value in options.items() if name != "let"}
        return add_options({self.name: self.target.collection, "ordered": self.ordered}, options, limits)

    def sequences(self, limits: Limits) -> Sequence[DocumentSequence]:
        return (DocumentSequence(_FIELDS[self.name], self._fit(limits).documents),)

    def described(self, command: Document) -> Document:
        bodies = self.group.bodies[self.start : self.start + self.taken]
        shown = map(id_first if self.name == "insert" else dict, bodies)
        return {**command, _FIELDS[self.name]: list(shown)}

    def parse(self, reply: Reply, address: Address) -> Reply:
        reply = decoded(reply, self.target)
        _check_reply(reply, self.taken)
        if reply.get("writeErrors") or reply.get("writeConcernError"):
            labels = reply.get("errorLabels") or ()
            labels = [*labels, *((reply.get("writeConcernError") or {}).get("errorLabels") or ())]
            raise BulkWriteError(_as_details(reply), labels)
        return reply

    @property
    def touches_many(self) -> bool:
        if self.name == "insert":
            return False
        bodies = self.group.bodies[self.start : self.start + self.taken]
        return any(multi(self.name, body) for body in bodies)

    def _fit(self, limits: Limits | None) -> Cut:
        """Cut the batch once a server is known; before that, by the limits of all supported servers."""
        known = self._cut
        if known is not None and (limits is None or as_wide(limits, known.limits)):
            return known
        reserve = COMMAND_RESERVE + (len(encode(self.options, self.target.codec_options)) if self.options else 0)
        self._cut = cut(self.group, self.start, limits or USUAL_LIMITS, self.target, reserve)
        return self._cut

    def _check_statements(self, limits: Limits) -> None:
        if self.name == "insert" or self.target.write_concern.acknowledged:
            return
        for body in self.group.bodies:
            check_statement(body, self.target, limits)


def as_wide(limits: Limits, used: Limits) -> bool:
    """Whether a batch that was cut by the limits ``used`` also fits a server with ``limits``."""
    return (
        limits.max_bson_object_size >= used.max_bson_object_size
        and limits.max_message_size >= used.max_message_size
        and limits.max_write_batch_size >= used.max_write_batch_size
    )


def _check_reply(reply: Reply, taken: int) -> None:
    """Check the fields of a reply that results are computed from.

    :raises UnreadableReply: a field has the wrong type, or names a statement that the batch does not have.
    """
    count_in(reply, "n")
    count_in(reply, "nModified")
    for name in ("writeErrors", "upserted"):
        entries = reply.get(name) or []
        if not isinstance(entries, list):
            raise UnreadableReply(f"its {name!r} is a {type(entries).__name__}")
        for entry in entries:
            if not 0 <= field_of(entry, "index", int) < taken or (name == "upserted" and "_id" not in entry):
                raise UnreadableReply(f"its {name!r} holds {shown(entry)}, which matches none of {taken} statements")
    if reply.get("writeConcernError") and not isinstance(reply["writeConcernError"], Mapping):
        raise UnreadableReply("its 'writeConcernError' is not a document")


def _as_details(reply: Reply) -> PlainDocument:
    """A failed batch in the shape that :class:`BulkWriteError` describes itself from."""
    details = dict(reply)
    concern_error = details.get("writeConcernError")
    details["writeConcernErrors"] = [concern_error] if concern_error else []
    details["writeErrors"] = details.get("writeErrors") or []
    return details


class BulkFailures:
    """What decides how a bulk goes on, of a collection and of a client alike. ``details`` are those of its error."""

    __slots__ = ("details",)

    details: PlainDocument

    @property
    def has_write_errors(self) -> bool:
        """Whether a write failed, after which an ordered bulk sends no more."""
        return bool(self.details["writeErrors"])

    @property
    def failed(self) -> bool:
        """Whether the bulk ends in an error."""
        return bool(self.details["writeErrors"] or self.details["writeConcernErrors"])


class BulkTotals(BulkFailures):
    """The counts and failures of all batches of a bulk, in the form of ``BulkWriteError.details``."""

    __slots__ = ("acknowledged",)

    def __init__(self, acknowledged: bool = True) -> None:
        #: Whether the server answers: in a transaction it does, whatever the write concern of the handle.
        self.acknowledged = acknowledged
        self.details: PlainDocument = {
            "writeErrors": [],
            "writeConcernErrors": [],
            "nInserted": 0,
            "nUpserted": 0,
            "nMatched": 0,
            "nModified": 0,
            "nRemoved": 0,
            "upserted": [],
        }

    def refuse(self, group: StatementGroup, position: int, reason: str) -> None:
        """Add a statement that was too large to be sent."""
        failure = {"index": group.indexes[position], "code": _TOO_LARGE, "errmsg": reason, "op": group.bodies[position]}
        self.details["writeErrors"].append(failure)

    def add(self, group: StatementGroup, start: int, reply: Document) -> None:
        """Add the reply to the batch that began at ``start`` of ``group``; an empty one means that there was no answer.

        :raises UnreadableReply: the reply is not of the form that a write's replies have.
        """
        self.acknowledged = self.acknowledged or bool(reply)
        try:
            self._add(group, start, reply)
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise UnreadableReply(f"the reply to {group.command!r} cannot be read: {error!r}") from error

    def _add(self, group: StatementGroup, start: int, reply: Document) -> None:
        self._count(group, start, reply)
        for entry in reply.get("writeErrors") or ():
            position = start + entry["index"]
            failure = {**entry, "index": group.indexes[position], "op": group.bodies[position]}
            self.details["writeErrors"].append(failure)
        concern_error = reply.get("writeConcernError")
        if concern_error:
            self.details["writeConcernErrors"].append(dict(concern_error))

    def _count(self, group: StatementGroup, start: int, reply: Document) -> None:
        details = self.details
        affected = int(reply.get("n", 0))
        if group.command == "insert":
            details["nInserted"] += affected
        elif group.command == "delete":
            details["nRemoved"] += affected
        else:
            upserted = reply.get("upserted") or ()
            details["nUpserted"] += len(upserted)
            details["nMatched"] += affected - len(upserted)
            details["nModified"] += int(reply.get("nModified", 0))
            details["upserted"] += [{**entry, "index": group.indexes[start + entry["index"]]} for entry in upserted]

    def finish(self) -> PlainDocument:
        """The details, with failures in the order of the user's list."""
        self.details["writeErrors"].sort(key=lambda failure: failure["index"])
        return self.details

    def result(self) -> BulkWriteResult:
        """The results so far; nothing is known about unacknowledged writes."""
        return BulkWriteResult(self.finish() if self.acknowledged else {}, self.acknowledged)
