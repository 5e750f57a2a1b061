"""A collection: what users hold to read and write documents. PyMongo's names, arguments and results."""

from __future__ import annotations

from wiredrv.client.collection_indexes import CollectionIndexes
from wiredrv.client.collection_reads import CollectionReads
from wiredrv.client.collection_writes import CollectionWrites
from wiredrv.types import DocumentT


class Collection(CollectionReads[DocumentT], CollectionWrites[DocumentT], CollectionIndexes[DocumentT]):
    """The documents of one collection. Had by ``database.name``, ``database["name"]`` or ``database.get_collection``.

    Every method takes ``session=``, but for ``estimated_document_count``; without it the bound session is used
    (``session.bind()``), or an implicit one. Attributes that are no methods lead to the collection of that name
    below this one: ``collection.sub`` is the collection ``name.sub``.
    """

    __slots__ = ()
