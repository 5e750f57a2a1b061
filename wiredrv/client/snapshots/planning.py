"""What a scan asks before it reads: what the collection is, how large it is, and where to split it.

The collection's kind and its estimated size are not read at the snapshot, since servers do not offer that, and are not
read in a session: they only decide how the documents are read. The ids that become bounds are read at the snapshot,
with the privileges of a find.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from bson.codec_options import DEFAULT_CODEC_OPTIONS, CodecOptions
from bson.raw_bson import RawBSONDocument

from wiredrv.client.cursors.command_cursor import CommandCursor
from wiredrv.client.sessions.blocks import unbound
from wiredrv.client.snapshots.layout import Identity, Layout, identity_of, layout_of
from wiredrv.client.snapshots.ranges import FEW_DOCUMENTS, ID_INDEX, Range, ranges_wanted, sample_size, split
from wiredrv.concerns import DEFAULT_READ_CONCERN
from wiredrv.errors import InvalidOperation, OperationFailure
from wiredrv.operations.base import Target
from wiredrv.operations.collections import ListCollections
from wiredrv.operations.count import Count
from wiredrv.server_facts import ErrorCode
from wiredrv.types import Document, Pipeline, PlainDocument
from wiredrv.wire.batch import id_document
from wiredrv.wire.envelope import INT32, MOST_ELEMENTS, elements

if TYPE_CHECKING:
    from wiredrv.client.sessions.client_session import ClientSession
    from wiredrv.client.snapshots.reader import AnyCollection

_RAW: CodecOptions[RawBSONDocument] = CodecOptions(document_class=RawBSONDocument)


@dataclass(frozen=True, slots=True)
class Plan:
    """How a collection is read.

    :param layout: in which way.
    :param ranges: its parts.
    :param documents: the estimated number of its documents; None if that is not known.
    :param identity: which collection it is; None if there is none.
    """

    layout: Layout
    ranges: Sequence[Range]
    documents: int | None
    identity: Identity | None


class Ids(NamedTuple):
    """What the bounds of ranges are chosen from.

    :param ids: ``_id`` documents in the order of the index.
    :param documents: about how many documents there are, at least.
    :param average: their average size in bytes; None if it is not known.
    """

    ids: list[bytes]
    documents: int
    average: float | None


async def plan(collection: AnyCollection, session: ClientSession, readers: int, ordered: bool) -> Plan:
    """Decide how to read a collection.

    :param session: one that reads the snapshot.
    :raises InvalidOperation: it cannot be read at a snapshot.
    :raises OperationFailure: the server refused a command.
    """
    entry = await _entry(collection)
    layout, identity = layout_of(collection._target.namespace, entry), identity_of(entry)
    if not layout.has_index:
        return Plan(layout, [Range(0)], None, identity)
    documents = await collection._context.executor.execute(Count(_plain(collection._target), {}))
    if layout is Layout.CLUSTERED or readers == 1:
        return Plan(layout, [Range(0)], documents, identity)
    found = await _ids(collection, session, documents, readers, ordered)
    wanted = ranges_wanted(found.documents, found.average, readers, ordered)
    return Plan(layout, split(found.ids, wanted), documents, identity)


async def confirm(collection: AnyCollection, found: Plan) -> None:
    """Make sure that a collection was there as long as it was read: where there is none, servers find no documents.

    :param found: how it was read.
    :raises InvalidOperation: it was dropped or renamed.
    :raises OperationFailure: the server refused a command.
    """
    if found.identity is not None and identity_of(await _entry(collection)) != found.identity:
        raise InvalidOperation(
            f"{collection._target.namespace} was dropped, renamed or replaced while it was scanned, after which "
            "servers find none of its documents, at a snapshot too: what was read is not all of it"
        )


async def _entry(collection: AnyCollection) -> Document | None:
    """What ``listCollections`` says about it."""
    wanted: PlainDocument = {"filter": {"name": collection.name}}
    try:
        return await _listed(collection, wanted)
    except OperationFailure as error:
        if error.code != ErrorCode.Unauthorized:
            raise
    # What a user may list who has no privilege on the database: the names and kinds of the collections.
    return await _listed(collection, {**wanted, "nameOnly": True, "authorizedCollections": True})


async def _listed(collection: AnyCollection, wanted: Document) -> Document | None:
    with unbound():
        operation = ListCollections(_plain(collection.database._target), wanted)
        async with CommandCursor[PlainDocument](collection._context, operation, None) as cursor:
            found = await cursor.to_list()
    return next(iter(found), None)


async def _ids(collection: AnyCollection, session: ClientSession, documents: int, readers: int, ordered: bool) -> Ids:
    raw = collection.with_options(codec_options=_RAW)
    size = sample_size(documents, readers, ordered)
    if size is None:
        most = FEW_DOCUMENTS + 1
        cursor = raw.find({}, {"_id": 1}, hint=ID_INDEX, limit=most, batch_size=most, session=session)
        found = await cursor.to_list()
        if len(found) <= FEW_DOCUMENTS:
            return Ids([id_document(bytes(document.raw)) for document in found], documents, None)
        documents = FEW_DOCUMENTS + 1  # or more: many were deleted since the time of the snapshot
        size = sample_size(documents, readers, ordered)
        assert size is not None  # as there are more than few
    # A sample of less than 5 % is read by a random cursor. The sort has the collection's collation, as its index does.
    stages: Pipeline = [
        {"$sample": {"size": size}},
        {"$project": {"_id": 1, "size": {"$bsonSize": "$$ROOT"}}},
        {"$sort": ID_INDEX},
    ]
    # With one more than there will be, the server knows in its first reply that nothing is left.
    async with raw.aggregate(stages, session=session, batch_size=size + 1) as sampled:
        found = await sampled.to_list()
    encoded = [bytes(document.raw) for document in found]
    sizes = [size for size in map(_size_in, encoded) if size is not None]
    average = sum(sizes) / len(sizes) if sizes else None
    return Ids([id_document(document) for document in encoded], documents, average)


def _size_in(document: bytes) -> int | None:
    """The ``size`` of a sampled document. (Not decoded, since there are ids that cannot be: with invalid UTF-8.)"""
    for element in islice(elements(document, 0, len(document)), MOST_ELEMENTS):
        if element.name == "size" and element.kind == INT32:
            return max(int.from_bytes(document[element.value : element.end], "little", signed=True), 0)
    return None


def _plain(target: Target) -> Target:
    """The same target with default options for what is read: for commands of the driver's own."""
    return replace(target, codec_options=DEFAULT_CODEC_OPTIONS, read_concern=DEFAULT_READ_CONCERN)
