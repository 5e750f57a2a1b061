"""The options of each method: their types for checkers and editors, their names on the wire, their checks.

Methods take them as keywords (``**options: Unpack[FindOptions]``); :func:`expanded` shows them in the method's
signature. Each table lists the options of one command, or of one statement of a write.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bson.timestamp import Timestamp

from wiredrv.client import validation as check
from wiredrv.client.limits import TimeoutMode
from wiredrv.client.signatures import TypedDict
from wiredrv.client.signatures import expanded as expanded
from wiredrv.client.validation import Collation, Keys, Table
from wiredrv.types import Document, PlainDocument

NO_OPTIONS: Document = {}


class CommonOptions(TypedDict, total=False):
    """What every command takes.

    :param comment: any value that BSON can carry, shown in the server's logs and profiler. A getMore repeats its
        command's comment from server 4.4 on; a comment that is not a string needs server 4.4.
    :param max_time_ms: milliseconds after which the server stops the command with ExecutionTimeout; None sets no limit.
    :param maxTimeMS: another name of ``max_time_ms`` (milliseconds), which PyMongo's methods take in places.
    :param raw_data: whether a time-series collection is accessed as the buckets that it stores (server 8.2).
    :param timeout_ms: milliseconds for the whole call, its retries included; 0 sets no limit, None takes the
        ``timeoutMS`` of the collection, database or client.
    """

    comment: object
    max_time_ms: int | None
    maxTimeMS: int | None
    raw_data: bool | None
    timeout_ms: int | None


class FindOneOptions(CommonOptions, total=False):
    """The options of ``find_one``. Find command; CRUD specification, "Read".

    :param skip: how many of the matching documents are left out first; 0 by default.
    :param sort: the order of the result: a field's name, or names with directions as in ``[("a", 1), ("b", -1)]``.
    :param hint: the index to use, by its name or its keys; None lets the server choose.
    :param collation: how strings are compared: a mapping or a ``Collation``; None takes the collection's.
    :param let: variables that the query's ``$expr`` can use as ``$$name`` (server 5.0).
    :param max: for each field of the index in ``hint``, the value below which keys must be.
    :param min: for each field of the index in ``hint``, the least value of its keys.
    :param return_key: whether the documents hold the fields of the index that was used, and no others.
    :param show_record_id: whether each document has the server's record number in ``$recordId``.
    :param allow_disk_use: whether a sort may write to the server's disk when it exceeds 100 MB (server 4.4).
    :param allow_partial_results: whether a sharded cluster answers without the shards that are down instead of failing.
    :param oplog_replay: an optimization for reading the oplog, which servers from 4.4 on do by themselves.
    """

    skip: int | None
    sort: Keys | None
    hint: Keys | None
    collation: Collation | None
    let: Document | None
    max: Keys | None
    min: Keys | None
    return_key: bool | None
    show_record_id: bool | None
    allow_disk_use: bool | None
    allow_partial_results: bool | None
    oplog_replay: bool | None


class FindOptions(FindOneOptions, total=False):
    """The options of ``find``: each is also a method of the cursor. CRUD specification, "Read".

    :param limit: how many documents at most; 0 means all. A negative number asks for a single batch of that size.
    :param batch_size: how many documents the server sends at a time; 0 leaves it to the server.
    :param max_await_time_ms: milliseconds that the server waits for new documents in each getMore, for
        ``CursorType.TAILABLE_AWAIT`` only.
    :param cursor_type: a :class:`CursorType`; the default is ``NON_TAILABLE``.
    :param no_cursor_timeout: whether the server keeps the cursor when it was not read for ten minutes. The session
        that it belongs to still ends after thirty.
    :param timeout_mode: what ``timeout_ms`` limits: ``"cursor_lifetime"``, the first command and all getMores together
        (the default), or ``"iteration"``, each call that returns documents (the only one for tailable cursors).
    :param prefetch: whether the next batch is fetched in the background while the documents of the one before are read;
        None takes the client's ``prefetch``.
    """

    limit: int | None
    batch_size: int | None
    max_await_time_ms: int | None
    cursor_type: int
    no_cursor_timeout: bool | None
    timeout_mode: TimeoutMode | None
    prefetch: bool | None


class WriteOptions(TypedDict, total=False):
    """What every write takes.

    :param comment: any value that BSON can carry, shown in the server's logs and profiler (server 4.4).
    :param bypass_document_validation: whether the collection's validation rules are ignored.
    :param raw_data: whether a time-series collection is accessed as the buckets that it stores (server 8.2).
    :param timeout_ms: milliseconds for the whole call, its retries included; 0 sets no limit, None takes the
        ``timeoutMS`` of the collection, database or client.
    """

    comment: object
    bypass_document_validation: bool | None
    raw_data: bool | None
    timeout_ms: int | None


class DeleteOptions(TypedDict, total=False):
    """The options of ``delete_one`` and ``delete_many``. CRUD specification, "Delete".

    :param collation: how strings are compared: a mapping or a ``Collation``; None takes the collection's.
    :param hint: the index to use, by its name or its keys (server 4.4); None lets the server choose.
    :param let: variables that the filter's ``$expr`` can use as ``$$name`` (server 5.0).
    :param comment: any value that BSON can carry, shown in the server's logs and profiler (server 4.4).
    :param raw_data: whether a time-series collection is accessed as the buckets that it stores (server 8.2).
    :param timeout_ms: milliseconds for the whole call, its retries included; 0 sets no limit, None takes the
        ``timeoutMS`` of the collection, database or client.
    """

    collation: Collation | None
    hint: Keys | None
    let: Document | None
    comment: object
    raw_data: bool | None
    timeout_ms: int | None


class ReplaceOptions(WriteOptions, total=False):
    """The options of ``replace_one``. CRUD specification, "Update".

    :param collation: how strings are compared: a mapping or a ``Collation``; None takes the collection's.
    :param hint: the index to use, by its name or its keys; None lets the server choose.
    :param let: variables that the filter's ``$expr`` can use as ``$$name`` (server 5.0).
    :param sort: which document is replaced if several match: the first in this order (server 8.0).
    """

    collation: Collation | None
    hint: Keys | None
    let: Document | None
    sort: Keys | None


class UpdateManyOptions(WriteOptions, total=False):
    """The options of ``update_many``. CRUD specification, "Update".

    :param collation: how strings are compared: a mapping or a ``Collation``; None takes the collection's.
    :param array_filters: conditions for the elements of arrays that the update names ``$[identifier]``.
    :param hint: the index to use, by its name or its keys; None lets the server choose.
    :param let: variables that the filter's ``$expr`` and an update pipeline can use as ``$$name`` (server 5.0).
    """

    collation: Collation | None
    array_filters: Sequence[Document] | None
    hint: Keys | None
    let: Document | None


class UpdateOptions(UpdateManyOptions, total=False):
    """The options of ``update_one``. CRUD specification, "Update".

    :param sort: which document is updated if several match: the first in this order (server 8.0).
    """

    sort: Keys | None


class FindAndModifyOptions(CommonOptions, total=False):
    """The options of ``find_one_and_delete``. CRUD specification, "Find And Modify".

    :param projection: the fields of the document to return, as a mapping or a list of names; None returns all.
    :param sort: which document is chosen if several match: the first in this order.
    :param hint: the index to use, by its name or its keys (server 4.4); None lets the server choose.
    :param collation: how strings are compared: a mapping or a ``Collation``; None takes the collection's.
    :param let: variables that the filter's ``$expr`` can use as ``$$name`` (server 5.0).
    """

    projection: Document | Sequence[str] | None
    sort: Keys | None
    hint: Keys | None
    collation: Collation | None
    let: Document | None


class FindAndReplaceOptions(FindAndModifyOptions, total=False):
    """The options of ``find_one_and_replace``. CRUD specification, "Find And Modify".

    :param upsert: whether a document is inserted if none matches; False by default.
    :param return_document: which one is returned: ``ReturnDocument.BEFORE`` the change, the default, or ``AFTER`` it.
    :param bypass_document_validation: whether the collection's validation rules are ignored.
    :param bypassDocumentValidation: the same under the command's own name, as PyMongo takes it here.
    """

    upsert: bool
    return_document: bool
    bypass_document_validation: bool | None
    bypassDocumentValidation: bool | None


class FindAndUpdateOptions(FindAndReplaceOptions, total=False):
    """The options of ``find_one_and_update``. CRUD specification, "Find And Modify".

    :param array_filters: conditions for the elements of arrays that the update names ``$[identifier]``.
    """

    array_filters: Sequence[Document] | None


class AggregateOptions(CommonOptions, total=False):
    """The options of ``aggregate``. CRUD specification, "Read".

    :param let: variables that the stages can use as ``$$name`` (server 5.0).
    :param batch_size: how many documents the server sends at a time; 0 opens the cursor without a document.
    :param cursor: ``{"batchSize": 10}`` is a ``batch_size`` of the first batch alone; ``batch_size`` wins over it.
    :param max_await_time_ms: milliseconds that the server waits for new documents in each getMore, where the pipeline
        opens a cursor that waits.
    :param allow_disk_use: whether stages may write to the server's disk when they exceed 100 MB; None leaves it to the
        server, which does by default from 6.0 on.
    :param bypass_document_validation: whether ``$out`` and ``$merge`` ignore their collection's validation rules.
    :param prefetch: whether the next batch is fetched in the background while the documents of the one before are read;
        None takes the client's ``prefetch``.
    :param batchSize: ``batch_size`` under the command's own name, as PyMongo takes it here; so are the next three.
    :param maxAwaitTimeMS: another name of ``max_await_time_ms`` (milliseconds).
    :param allowDiskUse: as ``allow_disk_use``.
    :param bypassDocumentValidation: as ``bypass_document_validation``.
    :param collation: how strings are compared: a mapping or a ``Collation``; None takes the collection's.
    :param hint: the index to use, by its name or its keys; None lets the server choose.
    :param timeout_mode: what ``timeout_ms`` limits: ``"cursor_lifetime"``, the first command and all getMores together
        (the default), or ``"iteration"``, each call that returns documents (the only one for tailable cursors).
    """

    let: Document | None
    batch_size: int | None
    cursor: Document | None
    max_await_time_ms: int | None
    allow_disk_use: bool | None
    bypass_document_validation: bool | None
    prefetch: bool | None
    batchSize: int | None
    maxAwaitTimeMS: int | None
    timeout_mode: TimeoutMode | None
    allowDiskUse: bool | None
    bypassDocumentValidation: bool | None
    collation: Collation | None
    hint: Keys | None


class CountOptions(CommonOptions, total=False):
    """The options of ``count_documents`` and ``count``. CRUD specification, "Read".

    :param skip: how many of the matching documents are left out of the count; 0 by default.
    :param limit: the number at which counting stops; None counts all.
    :param hint: the index to use, by its name or its keys; None lets the server choose.
    :param collation: how strings are compared: a mapping or a ``Collation``; None takes the collection's.
    """

    skip: int | None
    limit: int | None
    hint: Keys | None
    collation: Collation | None


class DistinctOptions(CommonOptions, total=False):
    """The options of ``distinct``. CRUD specification, "Read".

    :param hint: the index to use, by its name or its keys (server 7.1); None lets the server choose.
    :param collation: how strings are compared: a mapping or a ``Collation``; None takes the collection's.
    """

    hint: Keys | None
    collation: Collation | None


class ChangeStreamOptions(TypedDict, total=False):
    """The options of ``watch``. Change-streams specification, "Driver API".

    :param full_document_before_change: ``"whenAvailable"`` or ``"required"``: ``fullDocumentBeforeChange`` holds the
        document as it was before the change (server 6.0, for collections with ``changeStreamPreAndPostImages``).
    :param resume_after: a resume token: the stream begins after the event that it belongs to.
    :param start_after: the same, also after an ``invalidate`` event, where ``resume_after`` is refused.
    :param start_at_operation_time: a bson ``Timestamp``, such as a session's ``operation_time``: the stream begins with
        what was changed then. The server refuses more than one of these three.
    :param batch_size: how many events the server sends at a time; None leaves it to the server.
    :param max_await_time_ms: milliseconds that the server waits for an event in each getMore; None leaves it to the
        server, which waits for a second.
    :param collation: how strings are compared: a mapping or a ``Collation``; None compares them byte by byte.
    :param comment: any value that BSON can carry, shown in the server's logs and profiler, and repeated in the getMores
        from server 4.4 on; before that a string.
    :param show_expanded_events: whether changes of indexes, options and sharding are reported too (server 6.0).
    :param timeout_ms: milliseconds for each call that opens the stream or asks for an event, resuming included; 0 sets
        no limit, None takes ``timeoutMS`` of the collection, database or client. After a call that ran out of time, the
        next one resumes the stream. If none succeeds, the server needs more time to search its oplog: close the stream,
        and open another one with a longer limit.
    """

    full_document_before_change: str | None
    resume_after: Document | None
    start_after: Document | None
    start_at_operation_time: Timestamp | None
    batch_size: int | None
    max_await_time_ms: int | None
    collation: Collation | None
    comment: object
    show_expanded_events: bool | None
    timeout_ms: int | None


_COMMON: dict[str, tuple[str, check.Check | None]] = {
    "comment": ("comment", None),
    "max_time_ms": ("maxTimeMS", check.whole_number),
    "raw_data": ("rawData", check.flag),
}
_COLLATION_HINT: dict[str, tuple[str, check.Check | None]] = {
    "collation": ("collation", check.collation_document),
    "hint": ("hint", check.hint_value),
}
_LET: dict[str, tuple[str, check.Check | None]] = {"let": ("let", check.document)}
_BYPASS: dict[str, tuple[str, check.Check | None]] = {
    "bypass_document_validation": ("bypassDocumentValidation", check.boolean)
}
_ARRAY_FILTERS: dict[str, tuple[str, check.Check | None]] = {"array_filters": ("arrayFilters", check.list_of_documents)}

COMMON: Table = _COMMON

FIND: Table = {
    **_COMMON,
    **_COLLATION_HINT,
    **_LET,
    "projection": ("projection", check.projection_document),
    "skip": ("skip", check.count_or_none),
    "sort": ("sort", check.sort_option),
    "max": ("max", check.index_bound),
    "min": ("min", check.index_bound),
    "return_key": ("returnKey", check.boolean),
    "show_record_id": ("showRecordId", check.boolean),
    "allow_disk_use": ("allowDiskUse", check.boolean),
    "allow_partial_results": ("allowPartialResults", check.flag),
    "oplog_replay": ("oplogReplay", check.flag),
    "no_cursor_timeout": ("noCursorTimeout", check.flag),
}

#: What goes into one statement of an update, and what into the command around it.
UPDATE_STATEMENT: Table = {**_COLLATION_HINT, **_ARRAY_FILTERS, "sort": ("sort", check.sort_option)}
DELETE_STATEMENT: Table = _COLLATION_HINT
INSERT_COMMAND: Table = {**_BYPASS, "comment": _COMMON["comment"], "raw_data": _COMMON["raw_data"]}
WRITE_COMMAND: Table = {**INSERT_COMMAND, **_LET}

FIND_AND_MODIFY: Table = {
    **_COMMON,
    **_COLLATION_HINT,
    **_LET,
    **_BYPASS,
    **_ARRAY_FILTERS,
    "projection": ("fields", check.projection_document),
    "sort": ("sort", check.sort_option),
    "upsert": ("upsert", check.flag),
    "return_document": ("new", check.flag),
}

AGGREGATE: Table = {
    **_COMMON,
    **_COLLATION_HINT,
    **_LET,
    **_BYPASS,
    "allow_disk_use": ("allowDiskUse", check.boolean),
}
COUNT: Table = {**_COMMON, **_COLLATION_HINT, "query": ("query", check.document)}
DISTINCT: Table = {**_COMMON, **_COLLATION_HINT}


def write_fields(
    given: Document, statement: Table, method: Callable[..., object]
) -> tuple[PlainDocument, PlainDocument]:
    """Split the options of ``method``, a write: those of its statement, and those of the command around it."""
    ours = {name: value for name, value in given.items() if name in statement}
    rest = {name: value for name, value in given.items() if name not in statement}
    return check.wire_options(ours, statement), check.wire_options(rest, WRITE_COMMAND, method)
