"""Every exception that wiredrv raises. ``server_errors`` makes those that stand for a server's answer.

The names are PyMongo's, so that existing handlers work unchanged; the root class is wiredrv's own::

    DriverError
     ├─ ConfigurationError
     │   ├─ InvalidURI
     │   └─ UnknownOption          (also a TypeError)
     ├─ CredentialsError
     ├─ InvalidTimeline
     ├─ InvalidOperation
     ├─ InvalidToken
     ├─ InvalidName
     ├─ CollectionInvalid
     │   └─ CollectionExists        (also an OperationFailure)
     ├─ InvalidDocument            (also a bson.errors.InvalidDocument)
     │   └─ DocumentTooLarge
     ├─ ProtocolError
     ├─ UnreadableReply            (also a bson.errors.InvalidBSON)
     ├─ TransactionTimeoutError
     │   └─ TransactionLimitExceeded
     ├─ OperationTimeout
     ├─ GridFSError
     │   ├─ NoFile
     │   ├─ FileExists
     │   └─ CorruptGridFile
     ├─ ConnectionFailure
     │   ├─ WaitQueueTimeoutError
     │   └─ AutoReconnect
     │       ├─ NetworkTimeout
     │       ├─ NotPrimaryError
     │       ├─ PoolClearedError
     │       └─ ServerSelectionTimeoutError
     └─ OperationFailure
         ├─ CursorNotFound
         ├─ ExecutionTimeout
         ├─ SnapshotTooOld
         ├─ WriteConcernError
         │   └─ WTimeoutError
         ├─ WriteError
         │   └─ DuplicateKeyError
         ├─ ClientBulkWriteException
         └─ BulkWriteError
             └─ BulkDocumentTooLarge (also a DocumentTooLarge)

Rules kept here:

* Error labels are kept in the root class, as a set of strings: they do not depend on the error's class, and an
  application can check for a label that this version does not know (transactions specification, "Error Labels").
* No message, repr or attribute of an error contains a credential.
* Every error can be copied and pickled; as with all of Python's errors, the copy has no ``__cause__``.
* The classes can be given further bases, so that they are another driver's errors too: no constructor calls that of an
  unknown class, and attributes that another driver may define as properties are properties here, with setters.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bson.errors import InvalidBSON
from bson.errors import InvalidDocument as BsonInvalidDocument
from bson.objectid import ObjectId

from wiredrv.description import TopologyDescription
from wiredrv.server_facts import ErrorCode
from wiredrv.types import Document, PlainDocument, RecordedTimeline, TransactionRecord

TRANSIENT_TRANSACTION = "TransientTransactionError"
UNKNOWN_COMMIT_RESULT = "UnknownTransactionCommitResult"
RETRYABLE_WRITE = "RetryableWriteError"
NO_WRITES_PERFORMED = "NoWritesPerformed"
SYSTEM_OVERLOADED = "SystemOverloadedError"
RETRYABLE = "RetryableError"


class _Root(Exception):
    """A base between Exception and DriverError: Python cannot replace the bases of a class whose only base is built
    in.
    """


class DriverError(_Root):
    """The root of all errors raised by wiredrv.

    :param message: what went wrong, and what can be done about it.
    :param error_labels: labels that the server sent or the driver adds (transactions specification, "Error Labels").
    """

    #: On an error that ended a transaction: the record of what was sent before it.
    transaction: TransactionRecord | None = None
    #: On an error that ended a bulk: the result of the batches that were answered before it.
    partial_result: Any = None
    #: On an error that kept a connection from being made, behind a load balancer: which server it leads to, if known.
    service_id: ObjectId | None = None

    def __init__(self, message: str = "", error_labels: Iterable[str] = ()) -> None:
        Exception.__init__(self, message)
        self._labels: set[str] = set(error_labels)

    def __reduce__(self) -> tuple[Any, ...]:
        # Without calling the constructor: constructors differ, and some build the message from their arguments.
        return _remade, (type(self), self.args), {**self.__dict__, "_labels": set(self._labels)}

    @property
    def error_labels(self) -> frozenset[str]:
        """The labels that the server sent and those that the driver added."""
        return frozenset(self._labels)

    def has_error_label(self, label: str) -> bool:
        """Whether the error has ``label``, known to this version or not.

        :param label: as ``"TransientTransactionError"``.
        :returns: whether the error has it.
        """
        return label in self._labels

    def add_error_label(self, label: str) -> None:
        """Add a label to the error. For the driver's own use and for wrappers that re-raise.

        :param label: as ``"TransientTransactionError"``.
        """
        self._labels.add(label)

    @property
    def timeline(self) -> RecordedTimeline | None:
        """On an error that ended a transaction: its part of the recording; None if nothing was recorded."""
        return None if self.transaction is None else self.transaction.timeline

    @property
    def timeout(self) -> bool:
        """Whether the error means that a time limit passed."""
        return False


def _remade(kind: type[DriverError], args: tuple[Any, ...]) -> DriverError:
    """A copied or unpickled error, before its attributes are set."""
    return kind.__new__(kind, *args)


#: PyMongo's name for the root class, for existing handlers.
PyMongoError = DriverError


class ConfigurationError(DriverError):
    """An option is unknown, has a value of the wrong kind, or contradicts another."""


class InvalidURI(ConfigurationError):
    """The connection string cannot be read."""


class UnknownOption(ConfigurationError, TypeError):
    """A call has a keyword argument that there is not. The message names the options, or the one that was meant.

    Also a TypeError, as for any other Python function.
    """


class ConfigurationWarning(UserWarning):
    """A part of a connection string is ignored or outdated. A warning: the driver never raises it.

    Connection-string specification.
    """


class CredentialsError(DriverError):
    """A callback or a service gave no credentials that can be used. ``__cause__`` may say why."""


class InvalidTimeline(DriverError):
    """A file is not a timeline that this version can read. The message names the line."""


class InvalidOperation(DriverError):
    """The call does not fit the state of the object that it was made on."""


class InvalidToken(DriverError):
    """A causal token, or that of a snapshot, cannot be used. This driver's own: no specification has tokens.

    :param message: what is wrong with it. The token itself is not repeated.
    :param reason: one of ``"malformed"`` (altered, cut off, or of another version), ``"kind"`` (a token of a snapshot
        where a causal one is needed, or the reverse), ``"signature"`` (not signed with one of the keys), ``"foreign"``
        (of another deployment), ``"old"``, ``"unconfirmed"`` (later than the deployment's own time) and
        ``"unavailable"`` (the deployment could not be asked whether it is).
    """

    #: Why it cannot be used.
    reason: str = "malformed"

    def __init__(self, message: str = "", reason: str = "malformed") -> None:
        super().__init__(message)
        self.reason = reason


class InvalidName(DriverError):
    """A database or collection name that the server would refuse."""


class CollectionInvalid(DriverError):
    """A collection failed validation, or exists already."""


class InvalidDocument(DriverError, BsonInvalidDocument):
    """A document cannot be encoded as BSON."""

    #: For the property ``document`` of BSON's class, whose constructor is not called.
    _document: Any = None


class DocumentTooLarge(InvalidDocument):
    """A document or message exceeds what the server said it accepts."""


class ProtocolError(DriverError):
    """The peer sent bytes that are not a valid MongoDB message. The connection is closed."""


class UnreadableReply(DriverError, InvalidBSON):
    """A reply arrived whole, but its content cannot be read. The command took effect; the connection is kept.

    A stored value that Python cannot represent (a date after the year 9999, a string that is not UTF-8), a custom type
    decoder that raised, or a reply of the wrong shape. ``__cause__`` says which. A cursor raises it after the documents
    before, and is closed then.
    """

    #: The database and collection that the command named, as ``shop.orders``.
    namespace: str | None = None
    #: The part of the reply that can be read: for the driver's own use, and removed before the error is raised.
    envelope: Document | None = None


class TransactionTimeoutError(DriverError):
    """``with_transaction`` ran out of time. ``__cause__`` is the last failure; its labels are here too."""

    @property
    def timeout(self) -> bool:
        return True


class TransactionLimitExceeded(TransactionTimeoutError):
    """``with_transaction`` used up its time limit: ``timeoutMS``, ``timeout_ms`` or ``wiredrv.timeout``."""


class OperationTimeout(DriverError):
    """The operation's time limit (``timeoutMS``, ``wiredrv.timeout``) left no time to send its command.

    It was used up by opening the client, waiting for the session's turn, making a connection or earlier attempts, or
    is shorter than a round trip. Where the time ends in another wait, the error is that wait's:
    ServerSelectionTimeoutError, WaitQueueTimeoutError, NetworkTimeout; or the server's ExecutionTimeout. ``timeout`` is
    True for all of them.
    """

    @property
    def timeout(self) -> bool:
        return True


class GridFSError(DriverError):
    """A file of GridFS is not as it should be. GridFS specification."""


class NoFile(GridFSError):
    """There is no such file, or it does not have so many revisions."""


class FileExists(GridFSError):
    """A file with the id that was given exists already, or is being uploaded."""


class CorruptGridFile(GridFSError):
    """The chunks of a file are not those that its document announces: it was damaged, or deleted while it was read."""


class ConnectionFailure(DriverError):
    """A connection to a server could not be made, or broke."""


class WaitQueueTimeoutError(ConnectionFailure):
    """No connection of the pool became free within ``waitQueueTimeoutMS``, or the operation's time limit."""

    @property
    def timeout(self) -> bool:
        return True


class AutoReconnect(ConnectionFailure):
    """A connection broke; the driver makes a new one for the next operation.

    :param errors: what the driver knows of the failure: the server's reply, or a list.
    """

    def __init__(
        self,
        message: str = "",
        errors: Document | Sequence[Any] | None = None,
        error_labels: Iterable[str] = (),
    ) -> None:
        DriverError.__init__(self, message, error_labels)
        self._errors: Any = errors if errors is not None else []
        self._details: Any = errors if isinstance(errors, Mapping) else {}

    @property
    def errors(self) -> Any:
        """What the driver knows of the failure: the server's reply, or a list."""
        return self._errors

    @errors.setter
    def errors(self, value: Any) -> None:
        self._errors = value

    @property
    def details(self) -> Any:
        """The server's reply; empty where none came."""
        return self._details

    @details.setter
    def details(self, value: Any) -> None:
        self._details = value


class NetworkTimeout(AutoReconnect):
    """A connection was open, but an answer did not come in time. The connection is closed."""

    @property
    def timeout(self) -> bool:
        return True


class PoolClearedError(AutoReconnect):
    """The server failed, or left the deployment, while the operation waited for one of its connections."""


class ServerSelectionTimeoutError(AutoReconnect):
    """No server was suitable within ``serverSelectionTimeoutMS``, or the operation's time limit.

    Server-selection specification.

    :param topology_description: what was known of the deployment.
    """

    def __init__(
        self,
        message: str = "",
        topology_description: TopologyDescription | None = None,
        error_labels: Iterable[str] = (),
    ) -> None:
        AutoReconnect.__init__(self, message, error_labels=error_labels)
        #: What was known of the deployment when the time was over.
        self.topology_description = topology_description

    @property
    def timeout(self) -> bool:
        return True


class NotPrimaryError(AutoReconnect):
    """The server answered that it is not (or no longer) the member that the command needs."""

    def __init__(
        self,
        message: str = "",
        errors: Document | Sequence[Any] | None = None,
        error_labels: Iterable[str] = (),
    ) -> None:
        AutoReconnect.__init__(self, message, errors, error_labels)
        self._code = code_of(errors) if isinstance(errors, Mapping) else None
        #: The highest wire version of the server that answered, where it is known.
        self.max_wire_version: int | None = None

    @property
    def code(self) -> int | None:
        """The server's code."""
        return self._code

    @code.setter
    def code(self, value: int | None) -> None:
        self._code = value


class OperationFailure(DriverError):
    """The server refused or failed the operation.

    :param code: the server's code.
    :param details: the server's reply, or the part of it that describes the failure.
    :param max_wire_version: the highest wire version of the server that answered.
    :param error_labels: labels of the error; None takes those in ``details``.
    """

    def __init__(
        self,
        message: str,
        code: int | None = None,
        details: Document | None = None,
        max_wire_version: int | None = None,
        error_labels: Iterable[str] | None = None,
    ) -> None:
        if error_labels is None:
            error_labels = labels_of(details or {})
        DriverError.__init__(self, message, error_labels)
        self._code = code
        self._details = details
        #: The highest wire version of the server that answered.
        self.max_wire_version = max_wire_version

    @property
    def code(self) -> int | None:
        """The server's code."""
        return self._code

    @code.setter
    def code(self, value: int | None) -> None:
        self._code = value

    @property
    def details(self) -> Document | None:
        """The server's reply, or the part of it that describes the failure."""
        return self._details

    @details.setter
    def details(self, value: Document | None) -> None:
        self._details = value

    @property
    def code_name(self) -> str | None:
        """The server's name for ``code``, where it gave one."""
        name = (self.details or {}).get("codeName")
        return name if isinstance(name, str) else None

    @property
    def timeout(self) -> bool:
        return self.code == ErrorCode.MaxTimeMSExpired


class CollectionExists(CollectionInvalid, OperationFailure):
    """A collection was to be created whose name is taken (code 48)."""


class CursorNotFound(OperationFailure):
    """The server no longer has the cursor."""


class ExecutionTimeout(OperationFailure):
    """The server stopped the operation because ``maxTimeMS`` passed, which a time limit sets too."""

    @property
    def timeout(self) -> bool:
        return True


class SnapshotTooOld(OperationFailure):
    """The server's history does not go back to the time of a snapshot (code 239).

    Servers keep it for 300 seconds, unless their parameter ``minSnapshotHistoryWindowInSeconds`` says otherwise.
    """


class WriteConcernError(OperationFailure):
    """The write was applied, but not acknowledged as its write concern asks."""


class WTimeoutError(WriteConcernError):
    """The write concern was not met within ``wtimeout``."""

    @property
    def timeout(self) -> bool:
        return True


class WriteError(OperationFailure):
    """One document of a write was refused."""


class DuplicateKeyError(WriteError):
    """A unique index has the key already."""


#: The code of a bulk's error, as a plain number: users see it.
_SEVERAL = ErrorCode.MultipleErrorsOccurred.value


class BulkWriteError(OperationFailure):
    """One or more writes of a bulk failed. ``details`` counts what was done and lists the failures.

    CRUD specification, "Error Handling".

    :param results: what becomes ``details``: ``nInserted``, ``nMatched``, ``nModified``, ``nRemoved``, ``nUpserted``,
        ``upserted``, ``writeErrors`` and ``writeConcernErrors``.
    """

    def __init__(self, results: Document, error_labels: Iterable[str] | None = None) -> None:
        OperationFailure.__init__(self, _bulk_message(results), _SEVERAL, results, error_labels=error_labels)

    @property
    def details(self) -> Document:
        """The counts and the failures."""
        return self._details or {}

    @details.setter
    def details(self, value: Document | None) -> None:
        self._details = value

    @property
    def timeout(self) -> bool:
        concern_errors = self.details.get("writeConcernErrors") or ()
        errors = (*(self.details.get("writeErrors") or ()), *concern_errors)
        return any(error.get("code") == ErrorCode.MaxTimeMSExpired for error in errors) or any(
            error.get("code") == ErrorCode.WriteConcernTimeout for error in concern_errors
        )


class BulkDocumentTooLarge(BulkWriteError, DocumentTooLarge):
    """Statements of a bulk were too large to be sent; ``details`` lists them among the failures (code 10334)."""


class ClientBulkWriteException(OperationFailure):
    """Writes of ``client.bulk_write`` failed, or an error ended it after some of its results were known.

    CRUD specification, "Bulk Write" of clients. Its labels are also those of the error that ended it, which is its
    ``__cause__`` too.

    :param results: what becomes ``details``: the counts, ``writeErrors``, ``writeConcernErrors`` and ``error``.
    :param partial_result: the result of what is known to have been written.
    :param error_labels: labels of the error.
    """

    def __init__(self, results: Document, partial_result: Any = None, error_labels: Iterable[str] = ()) -> None:
        error = results.get("error")
        message = _bulk_message(results) if error is None else f"a bulk write ended early: {error}"
        OperationFailure.__init__(self, message, _SEVERAL, results, error_labels=error_labels)
        #: The result of what is known to have been written; None if that may be nothing.
        self.partial_result = partial_result

    @property
    def error(self) -> Any:
        """The error that ended the bulk early, or None."""
        return (self.details or {}).get("error")

    @property
    def write_errors(self) -> list[PlainDocument]:
        """A document for each write that failed: ``idx`` (of the user's list), ``code``, ``errmsg``, ``op``..."""
        found: list[PlainDocument] = (self.details or {}).get("writeErrors", [])
        return found

    @property
    def write_concern_errors(self) -> list[PlainDocument]:
        """A document for each command that was not acknowledged as asked."""
        found: list[PlainDocument] = (self.details or {}).get("writeConcernErrors", [])
        return found

    @property
    def timeout(self) -> bool:
        return bool(getattr(self.error, "timeout", False))


def _bulk_message(results: Document) -> str:
    write_errors = results.get("writeErrors") or ()
    concern_errors = results.get("writeConcernErrors") or ()
    first = next((str(error.get("errmsg")) for error in (*write_errors, *concern_errors)), "")
    return (
        f"{len(write_errors)} write error(s) and {len(concern_errors)} write concern error(s) in a bulk write; "
        f"the first: {first}"
    )


def is_timeout(error: BaseException) -> bool:
    """Whether an error means that a time limit passed."""
    return isinstance(error, DriverError) and error.timeout


def labels_of(document: Document) -> set[str]:
    """The error labels in what a server answered, or in a part of it."""
    labels = document.get("errorLabels")
    return {str(label) for label in labels} if isinstance(labels, (list, tuple)) else set()


def code_of(document: Document) -> int | None:
    """The error code in it; None where there is none."""
    code = document.get("code")
    return code if isinstance(code, int) and not isinstance(code, bool) else None
