"""Every exception that wiredrv raises, and the one place where a server's error reply becomes one.

The names are PyMongo's, so that handlers move over unchanged; the root is ours::

    DriverError
     ├─ ConfigurationError
     │   └─ InvalidURI
     ├─ InvalidOperation
     ├─ InvalidName
     ├─ CollectionInvalid
     │   └─ CollectionExists        (also an OperationFailure)
     ├─ InvalidDocument            (also a bson.errors.InvalidDocument)
     │   └─ DocumentTooLarge
     ├─ ProtocolError
     ├─ TransactionTimeoutError
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
         ├─ WriteConcernError
         │   └─ WTimeoutError
         ├─ WriteError
         │   └─ DuplicateKeyError
         └─ BulkWriteError
             └─ BulkDocumentTooLarge (also a DocumentTooLarge)

Rules kept here:

* Error labels live on the root class, as a set of strings: they survive whatever class carries them, and an
  application can ask for a label that this version has never heard of (transactions specification, "Error Labels").
* No message, repr or attribute of an error holds a credential.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bson.errors import InvalidDocument as BsonInvalidDocument

TRANSIENT_TRANSACTION = "TransientTransactionError"
UNKNOWN_COMMIT_RESULT = "UnknownTransactionCommitResult"
RETRYABLE_WRITE = "RetryableWriteError"
NO_WRITES_PERFORMED = "NoWritesPerformed"
SYSTEM_OVERLOADED = "SystemOverloadedError"
RETRYABLE = "RetryableError"


class DriverError(Exception):
    """The root of all errors raised by wiredrv.

    ``error_labels`` are those that the server sent and those that the driver added.
    ``transaction`` is set on an error that ended a transaction: the record of what was sent before it.
    ``partial_result`` is set on one that ended a bulk: the result of the batches that were answered before it.
    """

    transaction: Any = None
    partial_result: Any = None

    def __init__(self, message: str = "", error_labels: Iterable[str] = ()) -> None:
        super().__init__(message)
        self._labels: set[str] = set(error_labels)

    @property
    def error_labels(self) -> frozenset[str]:
        """The labels of this error."""
        return frozenset(self._labels)

    def has_error_label(self, label: str) -> bool:
        """Whether the error bears ``label``, known to this version or not."""
        return label in self._labels

    def add_error_label(self, label: str) -> None:
        """Put a label on the error. For the driver's own use and for wrappers that re-raise."""
        self._labels.add(label)

    @property
    def timeout(self) -> bool:
        """Whether the error says that a time limit passed."""
        return False


#: PyMongo's name for the root, for handlers that move over.
PyMongoError = DriverError


class ConfigurationError(DriverError):
    """An option is unknown, has a value of the wrong kind, or contradicts another."""


class InvalidURI(ConfigurationError):
    """The connection string cannot be read."""


class ConfigurationWarning(UserWarning):
    """Something of a connection string is ignored, outdated or of doubtful use. A warning, raised by nobody."""


class InvalidOperation(DriverError):
    """The call does not fit the state of the object that it was made on."""


class InvalidName(DriverError):
    """A database or collection name that the server would refuse."""


class CollectionInvalid(DriverError):
    """A collection failed validation, or exists already."""


class InvalidDocument(DriverError, BsonInvalidDocument):
    """A document cannot be encoded as BSON."""


class DocumentTooLarge(InvalidDocument):
    """A document or message exceeds what the server said it accepts."""


class ProtocolError(DriverError):
    """The peer sent bytes that are no valid MongoDB message. The connection is closed."""


class TransactionTimeoutError(DriverError):
    """``with_transaction`` ran out of time. ``__cause__`` is the last failure; its labels are here too."""

    @property
    def timeout(self) -> bool:
        return True


class ConnectionFailure(DriverError):
    """A connection to a server could not be made, or broke."""


class WaitQueueTimeoutError(ConnectionFailure):
    """No connection of the pool became free within ``waitQueueTimeoutMS``."""

    @property
    def timeout(self) -> bool:
        return True


class AutoReconnect(ConnectionFailure):
    """A connection broke; the driver makes a new one for the next operation.

    ``errors`` and ``details`` hold what the driver knows of the failure.
    """

    def __init__(
        self,
        message: str = "",
        errors: Mapping[str, Any] | Sequence[Any] | None = None,
        error_labels: Iterable[str] = (),
    ) -> None:
        super().__init__(message, error_labels)
        self.errors = errors if errors is not None else []
        self.details = errors if isinstance(errors, Mapping) else {}


class NetworkTimeout(AutoReconnect):
    """A connection was open, but an answer did not come in time."""

    @property
    def timeout(self) -> bool:
        return True


class PoolClearedError(AutoReconnect):
    """The pool was cleared, because its server failed, while the operation waited for a connection."""


class ServerSelectionTimeoutError(AutoReconnect):
    """No server was suitable within ``serverSelectionTimeoutMS``. ``topology_description`` tells what was seen."""

    def __init__(
        self,
        message: str = "",
        topology_description: Any = None,
        error_labels: Iterable[str] = (),
    ) -> None:
        super().__init__(message, error_labels=error_labels)
        self.topology_description = topology_description

    @property
    def timeout(self) -> bool:
        return True


class NotPrimaryError(AutoReconnect):
    """The server answered that it is not (or no longer) the member that the command needs."""

    def __init__(
        self,
        message: str = "",
        errors: Mapping[str, Any] | Sequence[Any] | None = None,
        error_labels: Iterable[str] = (),
    ) -> None:
        super().__init__(message, errors, error_labels)
        self.code: int | None = self.details.get("code") if isinstance(self.details, Mapping) else None


class OperationFailure(DriverError):
    """The server refused or failed the operation.

    ``code`` and ``details`` are the server's; ``max_wire_version`` is that of the server which answered.
    """

    def __init__(
        self,
        message: str,
        code: int | None = None,
        details: Mapping[str, Any] | None = None,
        max_wire_version: int | None = None,
        error_labels: Iterable[str] | None = None,
    ) -> None:
        if error_labels is None:
            labels = (details or {}).get("errorLabels")
            error_labels = [str(label) for label in labels] if isinstance(labels, (list, tuple)) else ()
        super().__init__(message, error_labels)
        self.code = code
        self.details = details
        self.max_wire_version = max_wire_version

    @property
    def code_name(self) -> str | None:
        """The server's name for ``code``, where it gave one."""
        name = (self.details or {}).get("codeName")
        return name if isinstance(name, str) else None

    @property
    def timeout(self) -> bool:
        return self.code == 50  # MaxTimeMSExpired


class CollectionExists(CollectionInvalid, OperationFailure):
    """A collection was to be created whose name is taken (code 48)."""


class CursorNotFound(OperationFailure):
    """The server no longer has the cursor."""


class ExecutionTimeout(OperationFailure):
    """The server stopped the operation because ``maxTimeMS`` passed."""

    @property
    def timeout(self) -> bool:
        return True


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


class BulkWriteError(OperationFailure):
    """One or more writes of a bulk failed. ``details`` counts what was done and lists the failures."""

    def __init__(self, results: Mapping[str, Any], error_labels: Iterable[str] | None = None) -> None:
        super().__init__(_bulk_message(results), 65, results, error_labels=error_labels)

    @property
    def timeout(self) -> bool:
        errors = (self.details or {}).get("writeConcernErrors") or ()
        return any(error.get("code") == 64 for error in errors)


class BulkDocumentTooLarge(BulkWriteError, DocumentTooLarge):
    """Statements of a bulk were too large to be sent; ``details`` lists them among the failures (code 10334)."""


def _bulk_message(results: Mapping[str, Any]) -> str:
    write_errors = results.get("writeErrors") or ()
    concern_errors = results.get("writeConcernErrors") or ()
    first = next((str(error.get("errmsg")) for error in (*write_errors, *concern_errors)), "")
    return (
        f"{len(write_errors)} write error(s) and {len(concern_errors)} write concern error(s) in a bulk write; "
        f"the first: {first}"
    )


# "not writable primary" and "node is recovering" (SDAM, "Error handling"), by code.
NOT_PRIMARY_CODES = frozenset({10107, 13435, 10058})
RECOVERING_CODES = frozenset({11600, 11602, 13436, 189, 91})
SHUTDOWN_CODES = frozenset({11600, 91})

_CLASS_OF_CODE: dict[int, type[OperationFailure]] = {
    43: CursorNotFound,
    50: ExecutionTimeout,
    64: WTimeoutError,
    11000: DuplicateKeyError,
    11001: DuplicateKeyError,
    12582: DuplicateKeyError,
}


def command_error(reply: Mapping[str, Any], max_wire_version: int | None = None) -> DriverError:
    """Turn an ``ok: 0`` reply into the error that stands for it.

    Not-primary and recovering codes become :class:`NotPrimaryError`; the message heuristics apply only to replies
    without a code (SDAM, "not writable primary and node is recovering").
    """
    code = reply.get("code")
    code = code if isinstance(code, int) else None
    message = str(reply.get("errmsg") or reply.get("$err") or "the server gave no message")
    raw_labels = reply.get("errorLabels")
    labels = [str(label) for label in raw_labels] if isinstance(raw_labels, (list, tuple)) else []
    if code in NOT_PRIMARY_CODES or code in RECOVERING_CODES or (code is None and _says_not_primary(message)):
        return NotPrimaryError(f"{message} (code {code})", dict(reply), labels)
    error = _CLASS_OF_CODE.get(code, OperationFailure) if code is not None else OperationFailure
    name = reply.get("codeName")
    suffix = f" (code {code}{f', {name}' if name else ''})" if code is not None else ""
    return error(message + suffix, code, reply, max_wire_version, labels)


def write_error(entry: Mapping[str, Any], reply: Mapping[str, Any], max_wire_version: int | None = None) -> WriteError:
    """Turn one element of ``writeErrors`` into its error."""
    code = entry.get("code")
    error = _CLASS_OF_CODE.get(code, WriteError) if isinstance(code, int) else WriteError
    chosen = error if issubclass(error, WriteError) else WriteError
    return chosen(str(entry.get("errmsg")), code, entry, max_wire_version, _labels(reply))


def write_concern_error(
    entry: Mapping[str, Any], reply: Mapping[str, Any], max_wire_version: int | None = None
) -> WriteConcernError:
    """Turn a ``writeConcernError`` into its error."""
    code = entry.get("code")
    # Code 64, or an errInfo that says so, is a timeout (read-write-concern, "WriteConcernError").
    info = entry.get("errInfo")
    timed_out = code == 64 or (isinstance(info, Mapping) and bool(info.get("wtimeout")))
    error = WTimeoutError if timed_out else WriteConcernError
    labels = _labels(reply) | _labels(entry)
    return error(str(entry.get("errmsg")), code, entry, max_wire_version, labels)


def _labels(document: Mapping[str, Any]) -> set[str]:
    labels = document.get("errorLabels")
    return {str(label) for label in labels} if isinstance(labels, (list, tuple)) else set()


def _says_not_primary(message: str) -> bool:
    return "not master" in message or "node is recovering" in message
