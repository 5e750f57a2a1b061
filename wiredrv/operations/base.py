"""The base of all operations: a command to build, traits for the executor, a reply to read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from reprlib import repr as shown
from typing import Any, ClassVar, Generic, NoReturn, TypeVar

from bson.code import Code
from bson.codec_options import DEFAULT_CODEC_OPTIONS, CodecOptions
from bson.raw_bson import RawBSONDocument

from wiredrv.concerns import DEFAULT_READ_CONCERN, DEFAULT_WRITE_CONCERN, ReadConcern, ReadPreference, WriteConcern
from wiredrv.errors import ConfigurationError, InvalidDocument, UnreadableReply
from wiredrv.server_facts import SERVER_8_2
from wiredrv.types import Address, Document, Pin, PlainDocument, Reply, TimeLimit
from wiredrv.types import Limits as Limits
from wiredrv.wire.codec import decode_for_user, is_default, sound_document
from wiredrv.wire.op_msg import DocumentSequence

T_co = TypeVar("T_co", covariant=True)
F = TypeVar("F")

#: ``encoded_from`` of an operation whose reply is decoded as a whole: more bytes than any reply has.
NEVER_ENCODED = 1 << 62
#: The same, unless one of the batch's documents cannot be decoded: then the caller gets those before it.
ENCODED_IF_UNREADABLE = NEVER_ENCODED - 1

# Any, since a type variable of a class stands for none that is abstract.
_DOCUMENT: Any = Mapping


class OperationKind(Enum):
    """The kinds of operations in the specifications of retries, concerns and transactions."""

    READ = "read"
    WRITE = "write"
    #: A generic command: the driver does not know whether it reads or writes.
    COMMAND = "command"
    COMMIT = "commit"
    ABORT = "abort"
    #: Sent by the driver itself (endSessions, killCursors, killSessions): retried for overload only.
    HOUSEKEEPING = "housekeeping"


@dataclass(frozen=True, slots=True)
class Target:
    """The namespace and options of a database or collection, for each of its operations.

    ``collection`` is empty for operations on a database.
    """

    database: str
    collection: str = ""
    read_preference: ReadPreference = ReadPreference.PRIMARY
    read_concern: ReadConcern = DEFAULT_READ_CONCERN
    write_concern: WriteConcern = DEFAULT_WRITE_CONCERN
    codec_options: CodecOptions[Any] = DEFAULT_CODEC_OPTIONS
    #: How long each operation may take; None if ``timeoutMS`` is not in use.
    limit: TimeLimit | None = None
    #: Whether replies can be read with the driver's own codec options: computed once, used by every operation.
    plain: bool = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "plain", is_default(self.codec_options))

    @property
    def namespace(self) -> str:
        return f"{self.database}.{self.collection}"


@dataclass(frozen=True, slots=True)
class Traits:
    """The properties of a command that matter to sessions, concerns, selection and retries."""

    kind: OperationKind = OperationKind.READ
    #: Whether the retryable reads or writes specification allows a retry (retries for overload are always allowed),
    #: unless a write is unacknowledged or touches many documents.
    retryable: bool = False
    #: Whether the command takes a ``readConcern`` with a level.
    accepts_read_concern: bool = False
    #: Whether a causally consistent session adds ``afterClusterTime`` to it (read-write-concern specification).
    accepts_cluster_time: bool = False
    #: Whether the command takes a ``writeConcern``.
    accepts_write_concern: bool = False
    #: Whether the reply may contain a cursor, which keeps the implicit session and the server.
    opens_cursor: bool = False
    #: Whether it reads by its name and writes by its contents: an aggregate with ``$out`` or ``$merge``.
    has_write_stage: bool = False
    #: Whether a session id may be sent at all.
    uses_session: bool = True
    #: Whether it takes a session from the pool if it is given none.
    takes_session: bool = True
    #: Whether it waits for its one server (``server``) if that failed, as long as server selection may take.
    waits_for_server: bool = False
    #: Whether it reads from the primary, whatever the read preference of its handle is.
    reads_primary: bool = False
    #: The wire version that every available server must have before a secondary may be used. Only aggregations
    #: that write set it (CRUD specification, "Read Preferences for Aggregations with $out/$merge").
    secondaries_since: int = 0
    #: Whether a time limit only shortens the ``maxTimeMS`` that the command has, and does not add one.
    keeps_max_time: bool = False


#: A read with a single reply, and one that opens a cursor.
READ = Traits(retryable=True, accepts_read_concern=True, accepts_cluster_time=True)
CURSOR_READ = replace(READ, opens_cursor=True)
#: A write that is never retried, and one that is, if the server can distinguish a retry from a second write.
WRITE = Traits(OperationKind.WRITE, accepts_cluster_time=True, accepts_write_concern=True)
RETRIED_WRITE = replace(WRITE, retryable=True)


class Operation(Generic[T_co]):
    """The base of all operations. Subclasses are frozen dataclasses that hold a ``target``."""

    __slots__ = ()

    #: The command's name on the wire.
    name: ClassVar[str]

    target: Target
    #: Identifies the commands of a bulk in events and the log; 0: the operation is one command.
    operation_id: int = 0
    #: The one server that can answer, if there is only one (getMore, killCursors).
    server: Address | None = None
    #: The one connection that can be used, if a cursor is pinned to one behind a load balancer.
    pin: Pin | None = None
    #: The implicit server session that a cursor keeps between its commands.
    lease: Any = None
    #: The size in bytes from which the batch of a reply stays encoded (``wire.batch``), for a caller that decodes its
    #: documents later, or not at all.
    encoded_from: int = NEVER_ENCODED
    #: Whether the server may send further replies without being asked: a getMore of an exhaust cursor (OP_MSG).
    exhaust: bool = False
    #: Of a command for a cursor: the number of the transaction that it was opened in, 0 for none (``session.cursors``).
    opened_in: int | None = None

    @property
    def traits(self) -> Traits:
        """The traits: the same for all operations of a class, except for an aggregate, whose pipeline matters."""
        raise NotImplementedError

    @property
    def touches_many(self) -> bool:
        """Whether a statement may touch more than one document: such a write is not retried."""
        return False

    def command(self, limits: Limits) -> PlainDocument:
        """Build the command; its first key is its name. The executor adds the other fields to this dict."""
        raise NotImplementedError

    def sequences(self, limits: Limits) -> Sequence[DocumentSequence]:
        """Documents that are sent besides the command."""
        return ()

    def described(self, command: Document) -> Document:
        """The command as listeners see it: with the documents of its sequences as a field."""
        return command

    def parse(self, reply: Reply, address: Address) -> T_co:
        """Read a reply with ``ok: 1``.

        :raises OperationFailure: the reply contains the error of a failed write.
        """
        raise NotImplementedError


#: The fields that the driver itself adds to commands: of sessions and transactions, and of the options of handles.
DRIVER_FIELDS = frozenset(
    {
        "lsid",
        "txnNumber",
        "startTransaction",
        "autocommit",
        "recoveryToken",
        "readConcern",
        "writeConcern",
        "$clusterTime",
        "$readPreference",
        "apiVersion",
        "apiStrict",
        "apiDeprecationErrors",
        "$db",
    }
)


def add_options(command: PlainDocument, options: Document, limits: Limits) -> PlainDocument:
    """Add options to a command, except those that the server is too old to ignore.

    Only this function adds users' options to the fields of a command: no option may replace a field.

    :raises ConfigurationError: an option has the name of a field that the command, or the driver, sets itself.
    """
    if not command.keys().isdisjoint(options) or not DRIVER_FIELDS.isdisjoint(options):
        _refuse_replacement(command, options)
    command.update(options)
    if limits.max_wire_version < SERVER_8_2:
        command.pop("rawData", None)  # CRUD specification: never sent to older servers.
    return command


def _refuse_replacement(command: Document, options: Document) -> NoReturn:
    name = next(name for name in options if name in command or name in DRIVER_FIELDS)
    own = next(iter(command))
    if name in ("readConcern", "writeConcern"):
        kind = "read_concern" if name == "readConcern" else "write_concern"
        advice = f"set it on the handle, with with_options({kind}=...)"
    elif name in DRIVER_FIELDS:
        advice = "the driver adds it to commands by itself"
    else:
        advice = f"it is set by the call's other arguments; use database.command() to send your own {own!r}"
    raise ConfigurationError(f"{name!r} cannot be an option of a call that sends {own!r}: {advice}")


def decoded(reply: Reply, target: Target) -> Document:
    """The whole reply, decoded with the codec options of the handle, for users' values outside of a batch.

    :raises UnreadableReply: it cannot be decoded.
    """
    if target.plain or not isinstance(reply, RawBSONDocument):
        return reply
    found: Document = decode_for_user(reply.raw, target.codec_options.with_options(document_class=dict))
    return found


def unencodable(error: InvalidDocument, name: str, namespace: str, what: str = "") -> InvalidDocument:
    """The error to raise for a command that cannot be encoded: nothing was sent.

    :param error: what encoding it, or a statement of it, raised.
    :param what: which statement.
    """
    return InvalidDocument(f"{name!r} on {namespace.rstrip('.')} was not sent: {what}{error}")


def count_in(reply: Document, field: str) -> int:
    """A count of a reply; 0 where it is missing.

    :raises UnreadableReply: it is not a whole number from 0 up.
    """
    value = reply.get(field, 0)
    if type(value) is int and value >= 0:
        return value
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < 2**63 and value == int(value):
        return int(value)
    raise UnreadableReply(f"its {field!r} is {shown(value)}, not a count")


def field_of(document: object, field: str, kind: type[F]) -> F:
    """A field that a document of a reply must have.

    :raises UnreadableReply: it is not a document, or the field is missing or has another type.
    """
    if isinstance(document, RawBSONDocument):
        document = sound_document(document)  # its contents are decoded nowhere else
    value = document.get(field) if isinstance(document, Mapping) else None
    if not isinstance(value, kind) or isinstance(value, Code):  # a text to Python, and code to BSON
        raise UnreadableReply(f"a document of the reply has no {field!r} that is a {kind.__name__}: {shown(document)}")
    return value


def document_in(document: object, field: str) -> Document:
    """A sub-document that a document of a reply must have; as :func:`field_of`."""
    found: Document = field_of(document, field, _DOCUMENT)
    return found
