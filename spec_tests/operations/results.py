"""The driver's result objects as documents of the format ("Converting Returned Model Objects to Documents")."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


def insert_one(result: Any) -> dict[str, Any] | None:
    """InsertOneResult."""
    if result is None:
        return None
    return {"insertedId": result.inserted_id, **_acknowledged(result)}


def insert_many(result: Any) -> dict[str, Any]:
    """InsertManyResult, as a BulkWriteResult."""
    ids = list(result.inserted_ids)
    document = {"insertedIds": _by_index(enumerate(ids)), **_acknowledged(result)}
    if result.acknowledged:
        document["insertedCount"] = len(ids)
        document.update(dict.fromkeys(("deletedCount", "matchedCount", "modifiedCount", "upsertedCount"), 0))
        document["upsertedIds"] = {}
    return document


def update(result: Any) -> dict[str, Any]:
    """UpdateResult."""
    if not result.acknowledged:
        return {"acknowledged": False}
    upserted = result.upserted_id
    document = {
        "matchedCount": result.matched_count,
        "modifiedCount": result.modified_count,
        "upsertedCount": 0 if upserted is None else 1,
    }
    return document if upserted is None else {**document, "upsertedId": upserted}


def delete(result: Any) -> dict[str, Any]:
    """DeleteResult."""
    return {"deletedCount": result.deleted_count} if result.acknowledged else {"acknowledged": False}


def bulk_write(result: Any) -> dict[str, Any]:
    """BulkWriteResult of a collection."""
    if not result.acknowledged:
        return {"acknowledged": False}
    document = {
        "deletedCount": result.deleted_count,
        "insertedCount": result.inserted_count,
        "matchedCount": result.matched_count,
        "modifiedCount": result.modified_count,
        "upsertedCount": result.upserted_count,
        "upsertedIds": _by_index((result.upserted_ids or {}).items()),
    }
    inserted = getattr(result, "inserted_ids", None)
    return document if inserted is None else {**document, "insertedIds": _by_index(inserted.items())}


def bulk_write_error(details: Mapping[str, Any]) -> dict[str, Any]:
    """What a BulkWriteError says was done."""
    return {
        "deletedCount": details.get("nRemoved", 0),
        "insertedCount": details.get("nInserted", 0),
        "matchedCount": details.get("nMatched", 0),
        "modifiedCount": details.get("nModified", 0),
        "upsertedCount": details.get("nUpserted", 0),
        "upsertedIds": _by_index((entry["index"], entry["_id"]) for entry in details.get("upserted") or ()),
    }


def client_bulk_write(result: Any) -> dict[str, Any]:
    """ClientBulkWriteResult; the results of individual writes are present only if they were requested."""
    if not result.acknowledged:
        return {"acknowledged": False}
    document = {
        "insertedCount": result.inserted_count,
        "upsertedCount": result.upserted_count,
        "matchedCount": result.matched_count,
        "modifiedCount": result.modified_count,
        "deletedCount": result.deleted_count,
    }
    if getattr(result, "has_verbose_results", False):
        document["insertResults"] = _by_index((i, insert_one(r)) for i, r in result.insert_results.items())
        document["updateResults"] = _by_index((i, _one_update(r)) for i, r in result.update_results.items())
        document["deleteResults"] = _by_index((i, delete(r)) for i, r in result.delete_results.items())
    return document


def _one_update(result: Any) -> dict[str, Any]:
    """UpdateResult of a single write of a client's bulk, which has no ``upsertedCount``."""
    return {key: value for key, value in update(result).items() if key != "upsertedCount"}


def _acknowledged(result: Any) -> dict[str, Any]:
    return {} if result.acknowledged else {"acknowledged": False}


def _by_index(items: Iterable[tuple[Any, Any]]) -> dict[str, Any]:
    return {str(index): value for index, value in items}
