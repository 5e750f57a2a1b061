"""Write models, sort orders and enumerations: arguments that files write in JSON and drivers take as objects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from spec_tests import seam
from spec_tests.errors import RunnerError
from spec_tests.operations.base import bind, pairs

_MODELS = {
    "insertOne": ("InsertOne", {"namespace", "document"}),
    "replaceOne": (
        "ReplaceOne",
        {"namespace", "filter", "replacement", "upsert", "collation", "hint", "sort"},
    ),
    "updateOne": (
        "UpdateOne",
        {"namespace", "filter", "update", "upsert", "collation", "arrayFilters", "hint", "sort"},
    ),
    "updateMany": (
        "UpdateMany",
        {"namespace", "filter", "update", "upsert", "collation", "arrayFilters", "hint"},
    ),
    "deleteOne": ("DeleteOne", {"namespace", "filter", "collation", "hint"}),
    "deleteMany": ("DeleteMany", {"namespace", "filter", "collation", "hint"}),
}


def write_models(requests: Any) -> list[Any]:
    """The models of ``bulkWrite`` and ``clientBulkWrite``: objects with the model's name as their only key."""
    if not isinstance(requests, list):
        raise RunnerError(f"write models must be an array, not {requests!r}")
    return [_write_model(request) for request in requests]


def _write_model(request: Any) -> Any:
    if not isinstance(request, Mapping) or len(request) != 1:
        raise RunnerError(f"a write model must be an object with one key, not {request!r}")
    ((name, body),) = request.items()
    if name not in _MODELS:
        raise RunnerError(f"{name!r} is no write model: they are {', '.join(_MODELS)}")
    class_name, known = _MODELS[name]
    unknown = set(body) - known
    if unknown:
        raise RunnerError(f"{name} has no argument {', '.join(sorted(unknown))}")
    model = seam.public(class_name)
    values = {key: pairs(value) if key == "hint" else value for key, value in body.items()}
    return model(**bind(model, values, {}))


def return_document(value: Any) -> Any:
    """``Before`` or ``After``, in any case."""
    name = str(value).lower()
    if name not in ("before", "after"):
        raise RunnerError(f"returnDocument is Before or After, not {value!r}")
    choice = seam.public("ReturnDocument")
    return choice.AFTER if name == "after" else choice.BEFORE


def cursor_type(value: Any) -> Any:
    """``nonTailable``, ``tailable`` or ``tailableAwait``."""
    names = {"nontailable": "NON_TAILABLE", "tailable": "TAILABLE", "tailableawait": "TAILABLE_AWAIT"}
    if str(value).lower() not in names:
        raise RunnerError(f"{value!r} is no cursorType")
    return getattr(seam.public("CursorType"), names[str(value).lower()])


def search_index(value: Mapping[str, Any]) -> Any:
    """A SearchIndexModel."""
    model = seam.public("SearchIndexModel")
    return model(**bind(model, value, {}))
