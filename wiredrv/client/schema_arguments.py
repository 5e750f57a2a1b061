"""The options of methods that create, rename and list: their types for checkers and editors.

Methods take them as keywords, under the names of the server's commands, as PyMongo does. A name that is not among them
is sent too, and the server accepts or refuses it.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from wiredrv.client.arguments import CommonOptions
from wiredrv.client.signatures import TypedDict
from wiredrv.client.validation import Collation
from wiredrv.types import Document, Pipeline

ValidationLevel: TypeAlias = Literal["off", "strict", "moderate"]
ValidationAction: TypeAlias = Literal["error", "warn", "errorAndLog"]


class TimeLimit(TypedDict, total=False):
    """How long a command may run.

    :param max_time_ms: milliseconds after which the server stops the command with ExecutionTimeout; None sets no limit.
    :param maxTimeMS: another name of ``max_time_ms`` (milliseconds), which PyMongo's methods take here.
    :param timeout_ms: milliseconds for the whole call, its retries included; 0 sets no limit, None takes the
        ``timeoutMS`` of the collection, database or client.
    """

    max_time_ms: int | None
    maxTimeMS: int | None
    timeout_ms: int | None


class IndexOptions(TypedDict, total=False):
    """The options of an index. Index-management specification, "Index Model".

    :param name: its name; None makes one of the keys, as ``a_1_b_-1``.
    :param unique: whether two documents may not have the same key.
    :param sparse: whether documents without the field are left out of the index.
    :param hidden: whether the query planner does not use it (server 4.4).
    :param background: how it was built in old servers; it has no effect in those that are supported.
    :param expireAfterSeconds: seconds after the date in the field at which the server deletes a document.
    :param partialFilterExpression: a filter: documents that do not match are left out of the index.
    :param collation: how strings are compared: a mapping or a ``Collation``; None takes the collection's.
    :param wildcardProjection: for an index of all fields, those that it includes or excludes.
    :param weights: for a text index, how much a field counts, by its name.
    :param default_language: for a text index, the language of documents that do not name one.
    :param language_override: for a text index, the field that names a document's language.
    :param textIndexVersion: for a text index, the version of its format.
    :param bits: for a 2d index, the bits of precision of a position.
    :param min: for a 2d index, the least coordinate.
    :param max: for a 2d index, the greatest coordinate.
    :param bucketSize: for a geoHaystack index, which servers from 5.0 on do not have.
    :param bucket_size: as ``bucketSize``.
    :param storageEngine: options of the storage engine, by its name.
    :param prepareUnique: whether new duplicates are refused while the index is converted to a unique one (server 6.0).
    :param v: the version of the index's format.
    """

    name: str | None
    unique: bool | None
    sparse: bool | None
    hidden: bool | None
    background: bool | None
    expireAfterSeconds: int | float | None
    partialFilterExpression: Document | None
    collation: Collation | None
    wildcardProjection: Document | None
    weights: Document | None
    default_language: str | None
    language_override: str | None
    textIndexVersion: int | None
    bits: int | None
    min: int | float | None
    max: int | float | None
    bucketSize: int | float | None
    bucket_size: int | float | None
    storageEngine: Document | None
    prepareUnique: bool | None
    v: int | None


class CreateIndexesOptions(TimeLimit, total=False):
    """The options of ``create_indexes``. Index-management specification.

    :param commit_quorum: how many members must have built the index before it is ready: a number, ``"majority"`` or
        ``"votingMembers"`` (server 4.4).
    :param commitQuorum: ``commit_quorum`` under the command's own name, as PyMongo takes it.
    """

    commit_quorum: int | str | None
    commitQuorum: int | str | None


class CreateIndexOptions(IndexOptions, CreateIndexesOptions, total=False):
    """The options of ``create_index``: the index's own and those of the command."""


class RenameOptions(TimeLimit, total=False):
    """The options of ``rename``.

    :param dropTarget: whether a collection that has the new name is dropped; by default the server refuses then.
    """

    dropTarget: bool | None


class CreateCollectionOptions(TimeLimit, total=False):
    """The options of ``create_collection``. Collection-management specification.

    :param comment: any value that BSON can carry, shown in the server's logs and profiler (server 4.4).
    :param capped: whether the oldest documents make room for new ones; needs ``size``.
    :param size: of a capped collection, its greatest size in bytes.
    :param max: of a capped collection, its greatest number of documents.
    :param timeseries: makes a time-series collection: ``{"timeField": ...}`` and more (server 5.0).
    :param expireAfterSeconds: of a time-series or clustered collection, seconds after which documents are deleted.
    :param clusteredIndex: makes a clustered collection: ``{"key": {"_id": 1}, "unique": True}`` (server 5.3).
    :param changeStreamPreAndPostImages: ``{"enabled": True}`` keeps documents as they were before and after a change
        (server 6.0).
    :param encryptedFields: which fields are encrypted for Queryable Encryption.
    :param validator: a filter that documents must match.
    :param validationLevel: which documents are checked: all (``strict``, the default), none (``off``), or those that
        matched before and those that are new (``moderate``).
    :param validationAction: what becomes of one that does not match: it is refused (``error``, the default), written
        and logged by the server (``warn``), or refused and logged (``errorAndLog``, server 8.1).
    :param indexOptionDefaults: options of the storage engine for the collection's indexes.
    :param viewOn: makes a view of this collection or view.
    :param pipeline: the stages of a view.
    :param collation: how strings are compared by default: a mapping or a ``Collation``.
    :param storageEngine: options of the storage engine, by its name.
    """

    comment: object
    capped: bool | None
    size: int | float | None
    max: int | None
    timeseries: Document | None
    expireAfterSeconds: int | float | None
    clusteredIndex: Document | None
    changeStreamPreAndPostImages: Document | None
    encryptedFields: Document | None
    validator: Document | None
    validationLevel: ValidationLevel | None
    validationAction: ValidationAction | None
    indexOptionDefaults: Document | None
    viewOn: str | None
    pipeline: Pipeline | None
    collation: Collation | None
    storageEngine: Document | None


class ListCollectionsOptions(TimeLimit, total=False):
    """The options of ``list_collections``. Enumerate-collections specification.

    :param name_only: whether only names and types are listed, which needs fewer locks on the server.
    :param nameOnly: ``name_only`` under the command's own name, as PyMongo takes it.
    :param authorized_collections: whether a user who may not list all collections gets those that he may use.
    :param authorizedCollections: ``authorized_collections`` under the command's own name, as PyMongo takes it.
    """

    name_only: bool | None
    nameOnly: bool | None
    authorized_collections: bool | None
    authorizedCollections: bool | None


class ListCollectionNamesOptions(ListCollectionsOptions, total=False):
    """The options of ``list_collection_names``.

    :param batch_size: how many documents the server sends at a time; None leaves it to the server.
    :param raw_data: whether a time-series collection is accessed as the buckets that it stores (server 8.2).
    """

    batch_size: int | None
    raw_data: bool | None


class ListDatabasesOptions(TimeLimit, total=False):
    """The options of ``list_databases``. Enumerate-databases specification.

    :param filter: a query on the documents of the list.
    :param name_only: whether only names are listed, without sizes.
    :param nameOnly: ``name_only`` under the command's own name, as PyMongo takes it.
    :param authorized_databases: whether only those are listed that the user may access; None leaves it to the server.
    :param authorizedDatabases: ``authorized_databases`` under the command's own name, as PyMongo takes it.
    """

    filter: Document | None
    name_only: bool | None
    nameOnly: bool | None
    authorized_databases: bool | None
    authorizedDatabases: bool | None


class MapReduceOptions(CommonOptions, total=False):
    """The options of ``map_reduce``.

    :param query: a filter: documents that do not match are left out.
    :param sort: the order of the documents, as a mapping.
    :param limit: the greatest number of documents; None takes all.
    :param scope: variables of the functions, by their names.
    :param finalize: a JavaScript function that changes each result.
    :param jsMode: whether intermediate results stay JavaScript objects.
    :param verbose: whether the reply contains the time of each phase.
    :param bypassDocumentValidation: whether the collection's validation rules are ignored.
    :param collation: how strings are compared: a mapping; None takes the collection's.
    """

    query: Document | None
    sort: Document | None
    limit: int | None
    scope: Document | None
    finalize: str | None
    jsMode: bool | None
    verbose: bool | None
    bypassDocumentValidation: bool | None
    collation: Document | None
