"""The requests of ``bulk_write`` and the models of ``create_indexes``. PyMongo's names and arguments."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from typing import Any, Generic, Never, Unpack

from bson.objectid import ObjectId
from bson.raw_bson import RawBSONDocument

from wiredrv.client import validation as check
from wiredrv.client.arguments import DELETE_STATEMENT, UPDATE_STATEMENT
from wiredrv.client.object_ids import object_ids
from wiredrv.client.schema_arguments import IndexOptions
from wiredrv.client.signatures import expanded
from wiredrv.client.validation import Collation, Keys
from wiredrv.compat import objects
from wiredrv.errors import ConfigurationError
from wiredrv.operations.client_bulk import ClientWrite
from wiredrv.operations.write_batch import Statement
from wiredrv.types import Document, DocumentT_co, Pipeline, PlainDocument


def with_id(document: object) -> tuple[Document, Any]:
    """A document that has an ``_id``, and the ``_id``.

    As with PyMongo, a generated ``_id`` is set on the caller's document, if it can be changed: the document is not
    copied. Wherever the ``_id`` is in the document, it is sent first (CRUD specification, prose test 16).

    :raises ConfigurationError: it is not a mapping.
    """
    if type(document) is dict:
        if "_id" in document:
            return document, document["_id"]
        generated = document["_id"] = ObjectId()
        return document, generated
    return _other_with_id(check.document("document", document))


def _other_with_id(document: Document) -> tuple[Document, Any]:
    if "_id" in document:
        return document, document["_id"]
    if isinstance(document, RawBSONDocument):
        # Its bytes are sent as they are; the server adds an _id, which is not reported.
        return document, None
    generated = ObjectId()
    if isinstance(document, MutableMapping):
        document["_id"] = generated
        return document, generated
    return {"_id": generated, **document}, generated


class WriteRequest(Generic[DocumentT_co]):
    """One write of a bulk."""

    __slots__ = ("namespace",)

    #: The collection, with its database's name and a dot before it: for ``client.bulk_write``; None for a collection's.
    namespace: str | None

    def statement(self) -> Statement:
        """The request as it goes into a batch.

        :returns: the statement.
        """
        raise NotImplementedError

    def client_write(self) -> ClientWrite:
        """The request as it goes into a bulk of the client.

        :returns: the write.
        """
        assert self.namespace is not None
        return ClientWrite(self.namespace, self.statement())

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and all(getattr(self, n) == getattr(other, n) for n in self._names())

    __hash__ = None  # type: ignore[assignment]  # holds documents, which have no hash

    @classmethod
    def _names(cls) -> list[str]:
        return [name for kind in cls.__mro__ for name in getattr(kind, "__slots__", ())]

    def __repr__(self) -> str:
        shown = [name for name in self._names() if name != "namespace" or self.namespace is not None]
        return f"{type(self).__name__}({', '.join(f'{name}={getattr(self, name)!r}' for name in shown)})"


class InsertOne(WriteRequest[DocumentT_co]):
    """Insert a document. CRUD specification, "Bulk Write".

    :param document: the document. It gets an ``_id`` if it has none.
    :param namespace: the collection as ``"shop.orders"``, for ``client.bulk_write``; a collection's own takes none.
    :raises ConfigurationError: the document is not a mapping.
    """

    __slots__ = ("document",)

    def __init__(self, document: DocumentT_co | RawBSONDocument, namespace: str | None = None) -> None:
        self.document = check.document("document", document)
        self.namespace = _namespace(namespace)

    def statement(self) -> Statement:
        document = self.document
        return Statement("insert", document if "_id" in document else with_id(document)[0])


def add_ids(requests: Iterable[object]) -> None:
    """Set an ``_id`` on the documents of inserts that have none and are dicts: in less time than one by one."""
    new_ids = object_ids()
    for request in requests:
        if type(request) is InsertOne:
            document = request.document
            if type(document) is dict and "_id" not in document:
                document["_id"] = next(new_ids)


class _Delete(WriteRequest[Never]):
    """Delete documents.

    :param filter: the query; ``{}`` matches every document.
    :param collation: how strings are compared: a mapping or a ``Collation``; None takes the collection's.
    :param hint: the index to use, by its name or its keys (server 4.4); None lets the server choose.
    :param namespace: the collection as ``"shop.orders"``, for ``client.bulk_write``; a collection's own takes none.
    :raises ConfigurationError: an argument is of the wrong kind.
    """

    __slots__ = ("filter", "options")

    _limit: int

    def __init__(
        self,
        filter: Document,
        collation: Collation | None = None,
        hint: Keys | None = None,
        namespace: str | None = None,
    ) -> None:
        self.namespace = _namespace(namespace)
        self.filter = check.document("filter", filter)
        #: Collation and hint, as they go over the wire.
        self.options = check.wire_options({"collation": collation, "hint": hint}, DELETE_STATEMENT)

    def statement(self) -> Statement:
        return Statement("delete", {"q": self.filter, "limit": self._limit, **self.options})


class DeleteOne(_Delete):
    """Delete the first document that matches. CRUD specification, "Bulk Write"."""

    __slots__ = ()
    _limit = 1


class DeleteMany(_Delete):
    """Delete all documents that match. A batch that contains this is not retried (retryable-writes specification)."""

    __slots__ = ()
    _limit = 0


class _Update(WriteRequest[DocumentT_co]):
    __slots__ = ("change", "filter", "options", "upsert")

    _multi = False

    def _set(
        self,
        filter: Document,
        change: Document | Pipeline,
        upsert: bool | None,
        namespace: str | None,
        options: Document,
    ) -> None:
        self.namespace = _namespace(namespace)
        self.filter = check.document("filter", filter)
        self.change = change
        self.upsert = upsert if upsert is None else check.boolean("upsert", upsert)
        self.options = check.wire_options(options, UPDATE_STATEMENT)

    def statement(self) -> Statement:
        body: PlainDocument = {"q": self.filter, "u": self.change, "multi": self._multi}
        if self.upsert is not None:
            body["upsert"] = self.upsert
        body.update(self.options)
        return Statement("update", body)


class UpdateOne(_Update[Never]):
    """Update the first document that matches. CRUD specification, "Bulk Write".

    :param filter: the query; ``{}`` matches every document.
    :param update: operators as ``$set``, or a pipeline of stages (server 4.2).
    :param upsert: whether a document is inserted if none matches; None leaves it to the server, whose default is False.
    :param collation: how strings are compared: a mapping or a ``Collation``; None takes the collection's.
    :param array_filters: conditions for the elements of arrays that the update names ``$[identifier]``.
    :param hint: the index to use, by its name or its keys; None lets the server choose.
    :param namespace: the collection as ``"shop.orders"``, for ``client.bulk_write``; a collection's own takes none.
    :param sort: which document is updated if several match: the first in this order (server 8.0).
    :raises ConfigurationError: an argument is of the wrong kind.
    """

    __slots__ = ()

    def __init__(
        self,
        filter: Document,
        update: Document | Pipeline,
        upsert: bool | None = None,
        collation: Collation | None = None,
        array_filters: Sequence[Document] | None = None,
        hint: Keys | None = None,
        namespace: str | None = None,
        sort: Keys | None = None,
    ) -> None:
        options = {"collation": collation, "array_filters": array_filters, "hint": hint, "sort": sort}
        self._set(filter, check.update_document(update), upsert, namespace, options)


class UpdateMany(_Update[Never]):
    """Update all documents that match. A batch that contains this is not retried (retryable-writes specification).

    :param filter: the query; ``{}`` matches every document.
    :param update: operators as ``$set``, or a pipeline of stages (server 4.2).
    :param upsert: whether a document is inserted if none matches; None leaves it to the server, whose default is False.
    :param collation: how strings are compared: a mapping or a ``Collation``; None takes the collection's.
    :param array_filters: conditions for the elements of arrays that the update names ``$[identifier]``.
    :param hint: the index to use, by its name or its keys; None lets the server choose.
    :param namespace: the collection as ``"shop.orders"``, for ``client.bulk_write``; a collection's own takes none.
    :raises ConfigurationError: an argument is of the wrong kind.
    """

    __slots__ = ()
    _multi = True

    def __init__(
        self,
        filter: Document,
        update: Document | Pipeline,
        upsert: bool | None = None,
        collation: Collation | None = None,
        array_filters: Sequence[Document] | None = None,
        hint: Keys | None = None,
        namespace: str | None = None,
    ) -> None:
        options = {"collation": collation, "array_filters": array_filters, "hint": hint}
        self._set(filter, check.update_document(update), upsert, namespace, options)


class ReplaceOne(_Update[DocumentT_co]):
    """Replace the first document that matches. CRUD specification, "Bulk Write".

    :param filter: the query; ``{}`` matches every document.
    :param replacement: the new document, without operators. The old ``_id`` stays.
    :param upsert: whether a document is inserted if none matches; None leaves it to the server, whose default is False.
    :param collation: how strings are compared: a mapping or a ``Collation``; None takes the collection's.
    :param hint: the index to use, by its name or its keys; None lets the server choose.
    :param namespace: the collection as ``"shop.orders"``, for ``client.bulk_write``; a collection's own takes none.
    :param sort: which document is replaced if several match: the first in this order (server 8.0).
    :raises ConfigurationError: an argument is of the wrong kind.
    """

    __slots__ = ()

    def __init__(
        self,
        filter: Document,
        replacement: DocumentT_co | RawBSONDocument,
        upsert: bool | None = None,
        collation: Collation | None = None,
        hint: Keys | None = None,
        namespace: str | None = None,
        sort: Keys | None = None,
    ) -> None:
        options = {"collation": collation, "hint": hint, "sort": sort}
        self._set(filter, check.replacement_document(replacement), upsert, namespace, options)


def _namespace(namespace: object) -> str | None:
    """A collection with its database, checked.

    :raises ConfigurationError: it is not a string with a dot.
    :raises InvalidName: the server would refuse one of the names.
    """
    if namespace is None:
        return None
    if not isinstance(namespace, str) or "." not in namespace:
        check.refuse("namespace", "a database's and a collection's name, as 'shop.orders'", namespace)
    database, _, collection = namespace.partition(".")
    check.database_name(database)
    check.collection_name(collection)
    return namespace


_REQUESTS: Mapping[str, type[WriteRequest[Any]]] = {
    kind.__name__: kind for kind in (InsertOne, UpdateOne, UpdateMany, ReplaceOne, DeleteOne, DeleteMany)
}


def write_request(name: str, value: object) -> WriteRequest[Any]:
    """A request of a bulk, made of one of PyMongo's if it is not this driver's.

    :param name: what it is called in an error.
    :raises ConfigurationError: it is neither, or holds an argument of the wrong kind.
    """
    if isinstance(value, WriteRequest):
        return value
    found = objects.write_request(value)
    if found is None:
        check.refuse(name, "an InsertOne, UpdateOne, UpdateMany, ReplaceOne, ... object", value)
    kind, arguments = found
    return _REQUESTS[kind](**arguments)


@expanded(IndexOptions)
class IndexModel:
    """An index to create. Index-management specification.

    :param keys: a field's name, a list of (field, direction) pairs, or a mapping.
    :param options: the index's own, under the names of the createIndexes command.
    :raises ConfigurationError: ``keys`` is none of these, or an option is called ``key``.
    """

    __slots__ = ("_document",)

    def __init__(self, keys: Keys, **options: Unpack[IndexOptions]) -> None:
        self._document = index_document(keys, options)

    @property
    def document(self) -> PlainDocument:
        """The index as the createIndexes command takes it."""
        return self._document

    def __repr__(self) -> str:
        return f"IndexModel({self._document!r})"


def index_document(keys: Keys, options: Document) -> PlainDocument:
    """An index as the createIndexes command takes it. Like :class:`IndexModel`."""
    key = check.sort_document("keys", keys)
    given = {name: value for name, value in options.items() if value is not None}
    if "collation" in given:
        given["collation"] = check.collation_document("collation", given["collation"])
    if "key" in given:
        raise ConfigurationError("'key' cannot be an option of an index: its keys are the first argument")
    if "bucket_size" in given:
        given["bucketSize"] = given.pop("bucket_size")
    name = given.pop("name") if "name" in given else index_name(key)
    return {"name": name, "key": key, **given}


def index_name(key: Document) -> str:
    """The name that an index gets by default, as ``a_1_b_-1``."""
    return "_".join(f"{field}_{direction}" for field, direction in key.items())
