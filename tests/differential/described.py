"""Results, errors and arguments in a form in which two drivers can be compared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.differential.calls import Make
from tests.differential.normal import Names
from tests.differential.outcomes import Failed

#: The attributes by which results are compared: those that both drivers have.
_RESULT_ATTRIBUTES: Mapping[str, tuple[str, ...]] = {
    "InsertOneResult": ("acknowledged", "inserted_id"),
    "InsertManyResult": ("acknowledged", "inserted_ids"),
    "UpdateResult": ("acknowledged", "matched_count", "modified_count", "upserted_id", "did_upsert", "raw_result"),
    "DeleteResult": ("acknowledged", "deleted_count", "raw_result"),
    "BulkWriteResult": (
        "acknowledged",
        "inserted_count",
        "matched_count",
        "modified_count",
        "deleted_count",
        "upserted_count",
        "upserted_ids",
        "bulk_api_result",
    ),
}
#: Methods whose results have no order.
_UNORDERED = frozenset(
    {"distinct", "list_collections", "list_collection_names", "list_databases", "list_database_names"}
)
#: Arguments that drivers add an ``_id`` to.
TAKES_DOCUMENTS = frozenset({"insert_one", "insert_many", "bulk_write"})


def result(value: Any, method: str, names: Names) -> Any:
    """What a call returned."""
    kind = type(value).__name__
    if kind in _RESULT_ATTRIBUTES:
        return {name: _attribute(value, name, names) for name in _RESULT_ATTRIBUTES[kind]}
    kind = kind.removeprefix("Async").removeprefix("Mongo")
    if kind in ("Collection", "Database"):
        return f"<{kind} {names.value(value.full_name if kind == 'Collection' else value.name)}>"
    if kind == "Client" or kind.endswith(("Cursor", "Session")):
        return f"<{kind}>"
    found = names.value(value)
    return sorted(found, key=str) if method in _UNORDERED and isinstance(found, list) else found


def _attribute(value: Any, name: str, names: Names) -> Any:
    try:
        return names.value(getattr(value, name))
    except Exception as error:
        return f"<{type(error).__name__}>"


def failure(error: Exception, names: Names) -> Failed:
    """What a call raised."""
    details = getattr(error, "details", None)
    return Failed(
        type(error).__name__,
        tuple(kind.__name__ for kind in type(error).__mro__),
        str(names.value(str(error)))[:400],
        getattr(error, "code", None),
        tuple(sorted(_labels(error))),
        names.value(details) if details else None,
    )


def _labels(error: Exception) -> set[str]:
    ours = getattr(error, "error_labels", None)
    return set(ours if ours is not None else getattr(error, "_error_labels", ()))


def is_unacknowledged(value: Any) -> bool:
    """Whether a result, or a write concern of a scenario, is that of an unacknowledged write."""
    if isinstance(value, Make):
        return value.kind == "WriteConcern" and (dict(value.options).get("w") == 0 or value.args[:1] == (0,))
    return getattr(value, "acknowledged", True) is False


def documents(value: Any) -> Any:
    """The documents of an argument that may be given an ``_id``, including those within requests."""
    if isinstance(value, list):
        return [documents(item) for item in value]
    if type(value).__name__ == "InsertOne":
        return documents(value.document if hasattr(value, "document") else value._doc)
    return value if isinstance(value, dict) else None
