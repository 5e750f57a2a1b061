"""The collection. PyMongo's names, arguments and results.

Written by ``python -m tools.synchronous`` from ``wiredrv.client.collection``: do not edit.
"""

from __future__ import annotations

from wiredrv.sync.collection_indexes import CollectionIndexes
from wiredrv.sync.collection_reads import CollectionReads
from wiredrv.sync.collection_search import CollectionSearchIndexes
from wiredrv.sync.collection_writes import CollectionWrites
from wiredrv.types import DocumentT


class Collection(
    CollectionReads[DocumentT],
    CollectionWrites[DocumentT],
    CollectionIndexes[DocumentT],
    CollectionSearchIndexes[DocumentT],
):
    """The documents of one collection: ``database.name``, ``database["name"]`` or ``database.get_collection("name")``.

    It costs nothing to make, sends nothing until a method is called, and never changes. Every method but
    ``estimated_document_count`` takes ``session=``; without it the bound session is used (``session.bind()``), or an
    implicit one. Attributes that are not methods lead to the collection of that name below this one: ``collection.sub``
    is the collection ``name.sub``.

    Whatever sends a command can also raise ConnectionFailure (no server answered, and a retry was not possible or
    failed too), and InvalidOperation (the client is closed, or the session has ended).

    Specifications: CRUD, index-management, enumerate-indexes, collection-management, retryable-reads, retryable-writes.
    Reads (find, distinct, the counts, and aggregate without ``$out`` and ``$merge``), writes of one document each, and
    bulks of those are sent once more if the connection breaks or the server changes its state; the server applies a
    write once.
    """

    __slots__ = ()
