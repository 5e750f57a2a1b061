"""The options of each method: their types for checkers and editors, their names on the wire, their checks.

Methods take them as keywords (``**options: Unpack[FindOptions]``); :func:`expanded` shows them in the method's
signature. Each table names what belongs to one command, or to one statement of a write.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypedDict, TypeVar

from wiredrv.client import validation as check
from wiredrv.client.validation import Keys, Table

F = TypeVar("F", bound=Callable[..., Any])

NO_OPTIONS: Mapping[str, Any] = {}


class CommonOptions(TypedDict, total=False):
    """What every command takes."""

    comment: Any
    max_time_ms: int | None
    raw_data: bool | None


class FindOneOptions(CommonOptions, total=False):
    """The options of ``find_one``. Times are in milliseconds."""

    skip: int | None
    sort: Keys | None
    hint: Keys | None
    collation: Any
    let: Mapping[str, Any] | None
    max: Keys | None
    min: Keys | None
    return_key: bool | None
    show_record_id: bool | None
    allow_disk_use: bool | None
    allow_partial_results: bool | None
    oplog_replay: bool | None


class FindOptions(FindOneOptions, total=False):
    """The options of ``find``. Times are in milliseconds."""

    limit: int | None
    batch_size: int | None
    max_await_time_ms: int | None
    cursor_type: int
    no_cursor_timeout: bool | None


class WriteOptions(TypedDict, total=False):
    """What every write takes."""

    comment: Any
    bypass_document_validation: bool | None
    raw_data: bool | None


class DeleteOptions(TypedDict, total=False):
    """The options of ``delete_one`` and ``delete_many``."""

    collation: Any
    hint: Keys | None
    let: Mapping[str, Any] | None
    comment: Any
    raw_data: bool | None


class ReplaceOptions(WriteOptions, total=False):
    """The options of ``replace_one``. ``sort`` needs server 8.0."""

    collation: Any
    hint: Keys | None
    let: Mapping[str, Any] | None
    sort: Keys | None


class UpdateManyOptions(WriteOptions, total=False):
    """The options of ``update_many``."""

    collation: Any
    array_filters: Sequence[Mapping[str, Any]] | None
    hint: Keys | None
    let: Mapping[str, Any] | None


class UpdateOptions(UpdateManyOptions, total=False):
    """The options of ``update_one``. ``sort`` needs server 8.0."""

    sort: Keys | None


class FindAndModifyOptions(CommonOptions, total=False):
    """The options of ``find_one_and_delete``."""

    projection: Mapping[str, Any] | Sequence[str] | None
    sort: Keys | None
    hint: Keys | None
    collation: Any
    let: Mapping[str, Any] | None


class FindAndReplaceOptions(FindAndModifyOptions, total=False):
    """The options of ``find_one_and_replace``."""

    upsert: bool
    return_document: bool
    bypass_document_validation: bool | None


class FindAndUpdateOptions(FindAndReplaceOptions, total=False):
    """The options of ``find_one_and_update``."""

    array_filters: Sequence[Mapping[str, Any]] | None


class AggregateOptions(CommonOptions, total=False):
    """The options of ``aggregate``. Times are in milliseconds."""

    let: Mapping[str, Any] | None
    batch_size: int | None
    max_await_time_ms: int | None
    allow_disk_use: bool | None
    bypass_document_validation: bool | None
    collation: Any
    hint: Keys | None


class CountOptions(CommonOptions, total=False):
    """The options of ``count_documents``."""

    skip: int | None
    limit: int | None
    hint: Keys | None
    collation: Any


class DistinctOptions(CommonOptions, total=False):
    """The options of ``distinct``."""

    hint: Keys | None
    collation: Any


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
    "max": ("max", check.sort_document),
    "min": ("min", check.sort_document),
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


def write_fields(given: Mapping[str, Any], statement: Table) -> tuple[dict[str, Any], dict[str, Any]]:
    """Part the options of a write: those of its statement, and those of the command around it."""
    ours = {name: value for name, value in given.items() if name in statement}
    rest = {name: value for name, value in given.items() if name not in statement}
    return check.wire_options(ours, statement), check.wire_options(rest, WRITE_COMMAND)


def expanded(options: type[Any]) -> Callable[[F], F]:
    """Show the options of a TypedDict in a method's signature, in the place of its ``**options``."""
    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
        for name, annotation in inspect.get_annotations(options).items()
    ]

    def show(function: F) -> F:
        signature = inspect.signature(function)
        own = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
        names = {parameter.name for parameter in own}
        shown = [*own, *(p for p in added if p.name not in names)]
        function.__signature__ = signature.replace(parameters=shown)  # type: ignore[attr-defined]  # read by inspect
        return function

    return show
