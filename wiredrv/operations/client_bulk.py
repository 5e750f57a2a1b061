"""bulkWrite: writes to several collections in one command (server 8.0). CRUD specification, "Bulk Write" of clients.

Rules kept here:

* What fits depends on the selected server, so a batch is cut when its command is first built, and then stays the same:
  a retry sends the same writes with the same transaction number.
* The writes and their namespaces are sent as two document sequences. A batch names only the namespaces of its writes.
* The document of an insert is encoded once, with its ``_id`` first, and not copied into a document of Python's.
* Indexes in results and errors are those of the user's list.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from reprlib import repr as shown
from struct import Struct
from typing import Any, ClassVar

from wiredrv.errors import (
    ClientBulkWriteException,
    DocumentTooLarge,
    DriverError,
    InvalidDocument,
    InvalidOperation,
    UnreadableReply,
)
from wiredrv.operations.base import (
    RETRIED_WRITE,
    Limits,
    Operation,
    Target,
    add_options,
    count_in,
    unencodable,
)
from wiredrv.operations.cursors import CursorReply, parse_cursor
from wiredrv.operations.results import ClientBulkWriteResult, DeleteResult, InsertOneResult, UpdateResult
from wiredrv.operations.write_batch import (
    STATEMENT_RESERVE,
    USUAL_LIMITS,
    BulkFailures,
    Statement,
    as_wide,
    id_first,
)
from wiredrv.server_facts import SERVER_8_0
from wiredrv.types import Address, Document, PlainDocument, Reply
from wiredrv.wire.codec import encode
from wiredrv.wire.op_msg import DocumentSequence

#: Bytes of a message that the specification reserves for the fields that every command may have ("Total Message Size").
MESSAGE_OVERHEAD = 1_000

_INSERT_HEAD = Struct("<i8si10s")  # {"insert": place, "document": ...
#: How much larger than its document an insert is.
_INSERT_FRAME = _INSERT_HEAD.size + 1

_COUNTS = ("nInserted", "nUpserted", "nMatched", "nModified", "nDeleted")


@dataclass(frozen=True, slots=True)
class ClientWrite:
    """One write of a bulk: the collection's name with its database's, and the statement as collections have it."""

    namespace: str
    statement: Statement

    def described(self, place: int) -> PlainDocument:
        """The write as the command has it; ``place`` is that of its namespace among those of the batch."""
        command, body = self.statement.command, self.statement.body
        if command == "insert":
            return {"insert": place, "document": id_first(body)}
        if command == "delete":
            rest = {name: value for name, value in body.items() if name not in ("q", "limit")}
            return {"delete": place, "filter": body["q"], "multi": body["limit"] == 0, **rest}
        rest = {name: value for name, value in body.items() if name not in ("q", "u")}
        return {"update": place, "filter": body["q"], "updateMods": body["u"], **rest}

    def encoded(self, place: int, target: Target) -> bytes:
        """As :meth:`described`, encoded.

        :raises InvalidDocument: it cannot be encoded.
        """
        if self.statement.command != "insert":
            return encode(self.described(place), target.codec_options)
        document = encode(self.statement.body, target.codec_options)
        head = _INSERT_HEAD.pack(len(document) + _INSERT_FRAME, b"\x10insert\0", place, b"\x03document\0")
        return b"".join((head, document, b"\0"))


@dataclass(frozen=True, slots=True)
class ClientCut:
    """The writes that go into one message, encoded, with their namespaces, and the limits that were applied."""

    limits: Limits
    writes: tuple[bytes, ...]
    places: Mapping[str, int]
    namespaces: tuple[bytes, ...]


def cut(writes: Sequence[ClientWrite], start: int, limits: Limits, target: Target, command_size: int) -> ClientCut:
    """Take as many writes from ``start`` on as one message may carry: at least one. Specification, "Command Batching".

    :param command_size: how many bytes the command itself has.
    :raises DocumentTooLarge: the first one is larger than a message may carry.
    :raises InvalidDocument: a write cannot be encoded.
    """
    taken: list[bytes] = []
    places: dict[str, int] = {}
    namespaces: list[bytes] = []
    room = limits.max_message_size - MESSAGE_OVERHEAD - command_size
    for number, write in enumerate(writes[start : start + limits.max_write_batch_size], start):
        place = places.get(write.namespace)
        namespace = encode({"ns": write.namespace}) if place is None else b""
        try:
            encoded = write.encoded(len(places) if place is None else place, target)
        except InvalidDocument as error:
            raise unencodable(error, "bulkWrite", write.namespace, f"write {number}: ") from error.__cause__
        room -= len(encoded) + len(namespace)
        if room < 0 or len(encoded) > _largest(write, target, limits):
            if taken:
                break
            raise DocumentTooLarge(
                f"bulkWrite: write {number}, to {_short(write.namespace)}, has {len(encoded)} bytes; "
                f"this server accepts documents of {limits.max_bson_object_size}, and messages of "
                f"{limits.max_message_size}"
            )
        if place is None:
            places[write.namespace] = len(places)
            namespaces.append(namespace)
        taken.append(encoded)
    return ClientCut(limits, tuple(taken), places, tuple(namespaces))


def _largest(write: ClientWrite, target: Target, limits: Limits) -> int:
    """How many bytes a write may have: the server can read no more, or would refuse it without saying so."""
    if write.statement.command == "insert" and not target.write_concern.acknowledged:
        return limits.max_bson_object_size + _INSERT_FRAME
    return limits.max_bson_object_size + STATEMENT_RESERVE


def _short(namespace: str) -> str:
    return namespace if len(namespace) <= 255 else f"{namespace[:60]}..."


@dataclass(slots=True, eq=False)
class ClientBulkBatch(Operation[CursorReply]):
    """One bulkWrite command. The value is its reply: the counts, and a cursor over the results of single writes.

    Not frozen, unlike the other operations: it stores how it was cut, and its replies.

    :raises InvalidOperation: the server is older than 8.0.
    :raises DocumentTooLarge: the first write cannot be sent.
    """

    name: ClassVar[str] = "bulkWrite"
    traits = replace(RETRIED_WRITE, opens_cursor=True)

    target: Target
    writes: Sequence[ClientWrite]
    start: int
    ordered: bool
    verbose: bool
    options: Document
    operation_id: int = 0
    #: The replies that could be read: that of the last attempt, and of those before it that failed by their write
    #: concern. Each may have opened a cursor.
    answers: list[CursorReply] = field(default_factory=list, init=False)
    _cut: ClientCut | None = field(default=None, init=False)
    _built: bool = field(default=False, init=False)

    @property
    def taken(self) -> int:
        """How many writes the batch has."""
        return len(self._fit(None).writes)

    @property
    def touches_many(self) -> bool:
        return any(write.statement.multi for write in self.writes[self.start : self.start + self.taken])

    def command(self, limits: Limits) -> PlainDocument:
        if limits.max_wire_version < SERVER_8_0:
            raise InvalidOperation("client.bulk_write needs server 8.0 or later; each collection has bulk_write()")
        before = self._cut if self._built else None
        if before is not None and len(self._fit(limits).writes) < len(before.writes):
            # Writes of the first attempt beyond the shorter batch would be executed again with the next one.
            self._cut = before
            raise DocumentTooLarge("bulkWrite: the server selected for a retry accepts only smaller batches")
        self._fit(limits)
        self._built = True
        return self._own_fields(limits)

    def _own_fields(self, limits: Limits) -> PlainDocument:
        command: PlainDocument = {"bulkWrite": 1, "errorsOnly": not self.verbose, "ordered": self.ordered}
        return add_options(command, self.options, limits)

    def sequences(self, limits: Limits) -> Sequence[DocumentSequence]:
        found = self._fit(limits)
        return DocumentSequence("ops", found.writes), DocumentSequence("nsInfo", found.namespaces)

    def described(self, command: Document) -> Document:
        found = self._fit(None)
        writes = self.writes[self.start : self.start + len(found.writes)]
        ops = [write.described(found.places[write.namespace]) for write in writes]
        return {**command, "ops": ops, "nsInfo": [{"ns": namespace} for namespace in found.places]}

    def parse(self, reply: Reply, address: Address) -> CursorReply:
        if not reply:
            return CursorReply(0, "", [], address, reply)
        for name in (*_COUNTS, "nErrors"):
            count_in(reply, name)
        answer = parse_cursor(reply, address, self.target)
        self.answers.append(answer)
        return answer

    def _fit(self, limits: Limits | None) -> ClientCut:
        """Cut the batch once a server is known; before that, by the limits of all supported servers."""
        known = self._cut
        if known is not None and (limits is None or as_wide(limits, known.limits)):
            return known
        limits = limits or USUAL_LIMITS
        try:
            size = len(encode(self._own_fields(limits), self.target.codec_options))
        except InvalidDocument as error:
            raise unencodable(error, "bulkWrite", self.target.namespace) from error.__cause__
        self._cut = cut(self.writes, self.start, limits, self.target, size)
        return self._cut


class ClientBulkTotals(BulkFailures):
    """The counts, results and failures of all batches of a bulk. ``details`` are those of its result or error."""

    __slots__ = ("_labels", "_ordered", "_verbose", "_writes", "any_successful")

    def __init__(self, writes: Sequence[ClientWrite], ordered: bool, verbose: bool) -> None:
        self._writes = writes
        self._ordered = ordered
        self._verbose = verbose
        self._labels: set[str] = set()
        #: Whether at least one write is known to have succeeded ("Handling the bulkWrite Server Response").
        self.any_successful = False
        self.details: PlainDocument = {
            **dict.fromkeys(_COUNTS, 0),
            "writeErrors": [],
            "writeConcernErrors": [],
            "insertResults": {},
            "updateResults": {},
            "deleteResults": {},
        }

    def add(self, batch: ClientBulkBatch, reply: Document) -> None:
        """Add the counts of a reply, and the failure of its write concern."""
        for name in _COUNTS:
            self.details[name] += count_in(reply, name)
        failures = count_in(reply, "nErrors")
        # Of an ordered batch with a failure, its index says whether writes came before it.
        if failures == 0 or (not self._ordered and failures < batch.taken):
            self.any_successful = True
        concern_error = reply.get("writeConcernError")
        if isinstance(concern_error, Mapping):
            self.details["writeConcernErrors"].append(dict(concern_error))
            for source in (reply, concern_error):
                self._labels.update(map(str, source.get("errorLabels") or ()))

    def record(self, batch: ClientBulkBatch, entry: Document) -> bool:
        """Add the result of a single write. Returns whether it failed.

        :raises UnreadableReply: it is not of the form that such results have.
        """
        index = count_in(entry, "idx")
        if "idx" not in entry or index >= batch.taken:
            raise UnreadableReply(f"a result of bulkWrite, {shown(entry)}, matches none of {batch.taken} writes")
        number = batch.start + index
        if not entry.get("ok"):
            self.any_successful = self.any_successful or (self._ordered and index > 0)
            failure = {**entry, "idx": number, "op": self._writes[number].statement.body}
            self.details["writeErrors"].append(failure)
            return True
        self.any_successful = True
        if self._verbose:
            self._keep(number, entry)
        return False

    def _keep(self, number: int, entry: Document) -> None:
        statement = self._writes[number].statement
        details = self.details
        count_in(entry, "n")
        if statement.command == "insert":
            details["insertResults"][number] = InsertOneResult(statement.body.get("_id"), True)
        elif statement.command == "delete":
            details["deleteResults"][number] = DeleteResult(entry, True)
        else:
            details["updateResults"][number] = _OneUpdate(_as_update(entry), True)

    def result(self) -> ClientBulkWriteResult:
        """The results so far."""
        return ClientBulkWriteResult(self.details, True, self._verbose)

    def failure(self, error: DriverError | None = None) -> ClientBulkWriteException:
        """The error of the bulk.

        :param error: what ended it early.
        """
        self.details["writeErrors"].sort(key=lambda entry: entry["idx"])
        labels = self._labels | (error.error_labels if error is not None else frozenset())
        partial = self.result() if self.any_successful else None
        return ClientBulkWriteException({"error": error, **self.details}, partial, labels)


class _OneUpdate(UpdateResult):
    """The result of one update of a bulk: an upsert counts as a match, as the server says it."""

    __slots__ = ()

    @property
    def matched_count(self) -> int:
        return int(self._reply.get("n", 0))


def _as_update(entry: Document) -> PlainDocument:
    """The result of an update in the form of the update command's reply."""
    count_in(entry, "nModified")
    reply: PlainDocument = {name: entry[name] for name in ("n", "nModified") if name in entry}
    upserted: Any = entry.get("upserted")
    if upserted is not None:
        if not isinstance(upserted, Mapping) or "_id" not in upserted:
            raise UnreadableReply(f"the 'upserted' of a result of bulkWrite is {shown(upserted)}")
        reply["upserted"] = [{"index": 0, "_id": upserted["_id"]}]
    return reply
