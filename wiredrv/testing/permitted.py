"""Which operations can be part of the one transaction that a test with ``rollback`` runs in. Pure.

Each operation runs in the transaction, or outside of it because it concerns no documents, or is refused with the
reason. What the server would refuse is refused here before it is sent: a refused first statement ends the transaction
on the server. Measured on 6.0; what newer servers permit besides is refused by no row that names it.

Transactions specification; the server's manual, "Transactions and Operations".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum

from wiredrv.concerns import ReadMode
from wiredrv.operations.base import Operation, OperationKind


class Place(Enum):
    """Where an operation runs."""

    WITHIN = "in the transaction"
    OUTSIDE = "outside of the transaction"


#: Commands of a transaction that only read.
READS = frozenset({"aggregate", "distinct", "find", "getMore", "killCursors"})
_WITHIN = READS | {
    "bulkWrite",
    "create",
    "createIndexes",
    "delete",
    "findAndModify",
    "findandmodify",
    "insert",
    "update",
}
#: Commands about servers and connections. They read and write no documents, so it makes no difference where they run.
_OUTSIDE = frozenset(
    {
        "buildInfo",
        "buildinfo",
        "configureFailPoint",
        "connectionStatus",
        "currentOp",
        "endSessions",
        "features",
        "getCmdLineOpts",
        "getLog",
        "getParameter",
        "hello",
        "hostInfo",
        "isMaster",
        "ismaster",
        "killOp",
        "killSessions",
        "listCommands",
        "ping",
        "refreshSessions",
        "replSetFreeze",
        "replSetGetConfig",
        "replSetGetStatus",
        "replSetStepDown",
        "serverStatus",
        "setParameter",
        "top",
        "whatsmyuri",
    }
)
#: Why others cannot: what the server's own refusal would not say.
_WHY = {
    "count": "estimated_document_count() does not look at transactions; count_documents({}) counts within it",
    "listCollections": "it lists the collections outside of any transaction, without those that the test has created",
    "listDatabases": "it lists the databases outside of any transaction, without those that the test has created",
    "listIndexes": "it lists the indexes outside of any transaction, without those that the test has created",
    "explain": "the server explains nothing in a transaction",
    "drop": "it cannot be undone, and would wait for the locks of the transaction",
    "dropDatabase": "it cannot be undone, and would wait for the locks of the transaction",
    "dropIndexes": "it cannot be undone, and would wait for the locks of the transaction",
    "renameCollection": "it cannot be undone, and would wait for the locks of the transaction",
    "collMod": "it cannot be undone, and would wait for the locks of the transaction",
    "commitTransaction": "start_transaction() and commit_transaction() of a session join the transaction of the test",
    "abortTransaction": "start_transaction() and abort_transaction() of a session join the transaction of the test",
}
_STAGES = frozenset(
    {
        "$changeStream",
        "$collStats",
        "$currentOp",
        "$indexStats",
        "$listLocalSessions",
        "$listSearchIndexes",
        "$listSessions",
        "$merge",
        "$out",
        "$planCacheStats",
    }
)
_DATABASES = frozenset({"config", "local"})


def judge(operation: Operation[object]) -> Place | str:
    """Where an operation runs, or why it cannot run."""
    name = operation.name
    if operation.traits.kind is OperationKind.HOUSEKEEPING:
        return Place.WITHIN
    if name in _OUTSIDE:
        return Place.OUTSIDE
    if name not in _WITHIN:
        return f"{name!r} cannot be part of a transaction: {_WHY.get(name, 'MongoDB does not permit it')}"
    if operation.target.database in _DATABASES:
        return f"the database {operation.target.database!r} cannot be used in a transaction"
    return _refused_part(operation, name) or Place.WITHIN


def _refused_part(operation: Operation[object], name: str) -> str | None:
    """What of a permitted command is not permitted."""
    body = getattr(operation, "body", None)
    if isinstance(body, Mapping):
        for field in ("readConcern", "writeConcern"):
            if field in body:
                return f"{name!r} has a {field}, and only the transaction as a whole can have one"
        if operation.target.read_preference.mode is not ReadMode.PRIMARY:
            return f"{name!r} was given a read preference, and transactions read from the primary"
    fields = body if isinstance(body, Mapping) else getattr(operation, "options", {})
    if fields.get("tailable"):
        return "a tailable cursor cannot be opened in a transaction"
    if name == "create":
        for option, what in (("timeseries", "a time-series collection"), ("viewOn", "a view")):
            if option in fields:
                return f"{what} cannot be created in a transaction"
    pipeline = getattr(operation, "pipeline", None) if body is None else fields.get("pipeline")
    return _refused_stage(pipeline) if name == "aggregate" else None


def _refused_stage(pipeline: object) -> str | None:
    if not isinstance(pipeline, Sequence):
        return None
    for stage in pipeline:
        if isinstance(stage, Mapping):
            for name in stage:
                if name in _STAGES:
                    return f"the stage {name} cannot be part of a transaction"
    return None
