"""Operations of collections. Unified test format specification, "Collection Operations"; CRUD; index management."""

from __future__ import annotations

from typing import Any

from spec_tests import seam
from spec_tests.entities import CollectionHandle, CursorHandle
from spec_tests.operations import results
from spec_tests.operations.base import Call, Method, Spec, bind, pairs, resolve, spec
from spec_tests.operations.models import cursor_type, return_document, search_index, write_models


def _owner(handle: CollectionHandle) -> Any:
    return handle.collection


_ORDERED = {"hint": pairs, "sort": pairs}
_HINTED = {"hint": pairs}  # the sort of an update is a document of its statement
_FIND_ARGUMENTS = (
    "projection sort limit skip batchSize hint collation let max min maxTimeMS maxAwaitTimeMS allowDiskUse returnKey "
    "showRecordId cursorType noCursorTimeout oplogReplay snapshot timeoutMode"
)
_FIND = {**_ORDERED, "cursorType": cursor_type}
_MODIFY = {**_ORDERED, "returnDocument": return_document}
_MODIFY_ARGUMENTS = "projection sort hint collation let maxTimeMS"
_STREAM_ARGUMENTS = (
    "pipeline fullDocument fullDocumentBeforeChange resumeAfter startAfter startAtOperationTime batchSize "
    "maxAwaitTimeMS collation showExpandedEvents"
)


async def create_find_cursor(call: Call) -> CursorHandle:
    """``createFindCursor``: sends the find command and consumes no document."""
    function = seam.method(call.target.collection, "find")
    cursor = function(**bind(function, resolve(call, _FIND), {}, snake_options=True))
    return await opened(call, await seam.settle(cursor))


async def create_change_stream(call: Call) -> CursorHandle:
    """``createChangeStream`` of a client, database or collection: the aggregate command is sent."""
    handle = call.target
    owner = getattr(handle, handle.kind)
    watch = seam.method(owner, "watch")
    stream = await seam.settle(watch(**bind(watch, resolve(call, {}), {})))
    return await opened(call, stream)


async def opened(call: Call, cursor: Any) -> CursorHandle:
    """A cursor entity whose server-side cursor exists."""
    await seam.introspect("open_cursor")(cursor)
    client = call.target if call.target.kind == "client" else call.target.client
    return CursorHandle(client, cursor)


async def _list_search_indexes(call: Call) -> Any:
    """``listSearchIndexes``, with the options of its aggregate among its own."""
    arguments = {name: value for name, value in call.arguments.items() if name != "aggregationOptions"}
    bare = Call(call.run, call.target, call.name, {**arguments, **call.arguments.get("aggregationOptions", {})})
    return await Method(("list_search_indexes",), rows=True)(bare, call.target.collection)


def change_stream(arguments: str = _STREAM_ARGUMENTS) -> Spec:
    """The row of ``createChangeStream``."""
    common = "session timeoutMS comment rawData"
    return Spec(create_change_stream, frozenset(f"{arguments} {common}".split()), frozenset())


OPERATIONS = {
    "aggregate": spec(
        Method(("aggregate",), convert=_ORDERED, rows=True),
        _owner,
        "allowDiskUse batchSize bypassDocumentValidation collation let hint maxTimeMS maxAwaitTimeMS timeoutMode",
        "pipeline",
    ),
    "bulkWrite": spec(
        Method(("bulk_write",), convert={"requests": write_models}, result=results.bulk_write),
        _owner,
        "ordered bypassDocumentValidation let",
        "requests",
    ),
    "count": spec(Method(("count",), convert=_ORDERED), _owner, "filter limit skip hint collation maxTimeMS"),
    "countDocuments": spec(
        Method(("count_documents",), convert=_ORDERED),
        _owner,
        "limit skip hint collation maxTimeMS",
        "filter",
    ),
    "createChangeStream": change_stream(),
    "createFindCursor": Spec(
        create_find_cursor,
        frozenset(f"filter {_FIND_ARGUMENTS} session timeoutMS comment rawData".split()),
        frozenset({"filter"}),
    ),
    "createIndex": spec(
        Method(("create_index",), convert={"keys": pairs}),
        _owner,
        "name unique sparse partialFilterExpression expireAfterSeconds hidden collation maxTimeMS commitQuorum",
        "keys",
    ),
    "createSearchIndex": spec(Method(("create_search_index",), convert={"model": search_index}), _owner, "", "model"),
    "createSearchIndexes": spec(
        Method(("create_search_indexes",), convert={"models": lambda models: [search_index(m) for m in models]}),
        _owner,
        "",
        "models",
    ),
    "deleteMany": spec(
        Method(("delete_many",), convert=_HINTED, result=results.delete), _owner, "hint collation let", "filter"
    ),
    "deleteOne": spec(
        Method(("delete_one",), convert=_HINTED, result=results.delete), _owner, "hint collation let", "filter"
    ),
    "distinct": spec(
        Method(("distinct",), {"fieldName": "key"}, _ORDERED),
        _owner,
        "filter collation hint maxTimeMS",
        "fieldName",
    ),
    "drop": spec(Method(("drop",)), _owner),
    "dropIndex": spec(Method(("drop_index",), {"name": "index_or_name"}), _owner, "maxTimeMS", "name"),
    "dropIndexes": spec(Method(("drop_indexes",)), _owner, "maxTimeMS"),
    "dropSearchIndex": spec(Method(("drop_search_index",)), _owner, "", "name"),
    "estimatedDocumentCount": spec(Method(("estimated_document_count",)), _owner, "maxTimeMS"),
    "find": spec(
        Method(("find",), convert=_FIND, rows=True, options_in_snake_case=True), _owner, _FIND_ARGUMENTS, "filter"
    ),
    "findOne": spec(
        Method(("find_one",), convert=_FIND, options_in_snake_case=True), _owner, _FIND_ARGUMENTS, "filter"
    ),
    "findOneAndDelete": spec(Method(("find_one_and_delete",), convert=_MODIFY), _owner, _MODIFY_ARGUMENTS, "filter"),
    "findOneAndReplace": spec(
        Method(("find_one_and_replace",), convert=_MODIFY),
        _owner,
        f"{_MODIFY_ARGUMENTS} returnDocument upsert bypassDocumentValidation",
        "filter replacement",
    ),
    "findOneAndUpdate": spec(
        Method(("find_one_and_update",), convert=_MODIFY),
        _owner,
        f"{_MODIFY_ARGUMENTS} returnDocument upsert bypassDocumentValidation arrayFilters",
        "filter update",
    ),
    "insertMany": spec(
        Method(("insert_many",), result=results.insert_many),
        _owner,
        "ordered bypassDocumentValidation",
        "documents",
    ),
    "insertOne": spec(
        Method(("insert_one",), result=results.insert_one), _owner, "bypassDocumentValidation", "document"
    ),
    "listIndexNames": spec(Method(("list_index_names",)), _owner, "batchSize timeoutMode"),
    "listIndexes": spec(Method(("list_indexes",), rows=True), _owner, "batchSize timeoutMode maxTimeMS"),
    "listSearchIndexes": Spec(_list_search_indexes, frozenset({"name", "aggregationOptions"}), rows=True),
    "mapReduce": spec(Method(("map_reduce",), rows=True), _owner, "query sort limit", "map reduce out"),
    "rename": spec(Method(("rename",), {"to": "new_name"}), _owner, "dropTarget", "to"),
    "replaceOne": spec(
        Method(("replace_one",), convert=_HINTED, result=results.update),
        _owner,
        "upsert bypassDocumentValidation collation hint let sort",
        "filter replacement",
    ),
    "updateMany": spec(
        Method(("update_many",), convert=_HINTED, result=results.update),
        _owner,
        "upsert arrayFilters bypassDocumentValidation collation hint let",
        "filter update",
    ),
    "updateOne": spec(
        Method(("update_one",), convert=_HINTED, result=results.update),
        _owner,
        "upsert arrayFilters bypassDocumentValidation collation hint let sort",
        "filter update",
    ),
    "updateSearchIndex": spec(Method(("update_search_index",)), _owner, "", "name definition"),
}
