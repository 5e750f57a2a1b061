"""PyMongo's value objects, made into this driver's. Pure, and without PyMongo: an object is known by its attributes.

Rules kept here:

* :data:`SHAPES` is the one list of what is known. An object of another shape is returned as it is, so that its caller
  refuses it as it refuses anything else of the wrong kind.
* An object that is made is checked as any other by its constructor. A subclass of PyMongo's class counts as that class.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from wiredrv.errors import ConfigurationError
from wiredrv.types import Document, PlainDocument, foreign_note

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Shape:
    """How objects of a class are known, and what they hold.

    :param attributes: those that an object must have.
    :param arguments: the arguments of this driver's class, read from such an object.
    """

    attributes: tuple[str, ...]
    arguments: Callable[[Any], Mapping[str, Any]]


def _by_name(*attributes: str) -> Shape:
    """A shape whose attributes are the arguments, too."""
    return Shape(attributes, lambda value: {name: getattr(value, name) for name in attributes})


def _document(value: Any) -> Document:
    return value.document if isinstance(value.document, Mapping) else {}


def _write_concern(value: Any) -> PlainDocument:
    return {name: _document(value).get(name) for name in ("w", "wtimeout", "j", "fsync")}


def _read_preference(value: Any) -> PlainDocument:
    document = _document(value)
    return {
        "mode": document.get("mode"),
        "tag_sets": document.get("tags"),
        "max_staleness": document.get("maxStalenessSeconds", -1),
        "hedge": document.get("hedge"),
    }


#: The classes by their names, which are PyMongo's and this driver's.
SHAPES: Mapping[str, Shape] = {
    "ReadConcern": Shape(("level", "document"), lambda value: {"level": value.level}),
    "WriteConcern": Shape(("document", "acknowledged", "is_server_default"), _write_concern),
    "ReadPreference": Shape(("document", "mode", "tag_sets", "max_staleness"), _read_preference),
    "TransactionOptions": _by_name("read_concern", "write_concern", "read_preference", "max_commit_time_ms"),
    "DriverInfo": _by_name("name", "version", "platform"),
    "ServerApi": _by_name("version", "strict", "deprecation_errors"),
}


def adopted(value: object, kind: type[T]) -> T | object:
    """An object of ``kind``, made of one that has the shape of PyMongo's class; anything else as it is.

    :param value: what a user gave.
    :param kind: one of this driver's classes whose name is in :data:`SHAPES`.
    :raises ConfigurationError: it has the shape, and ``kind`` refuses what it holds.
    """
    if isinstance(value, kind):
        return value
    shape = SHAPES.get(kind.__name__)
    if shape is None or not all(hasattr(value, name) for name in shape.attributes):
        return value
    return kind(**shape.arguments(value))


def of_kind(name: str, value: object, kind: type[T]) -> T:
    """An argument that has to be an object of ``kind``, or of PyMongo's class of that name.

    :param name: the argument's name, for the error.
    :raises ConfigurationError: it is anything else.
    """
    found = adopted(value, kind)
    if isinstance(found, kind):
        return found
    raise ConfigurationError(f"{name} must be a {kind.__name__}, not {value!r}{foreign_note(value)}")


def index_document(value: object) -> Document | None:
    """The document of an index's model, as it goes into the createIndexes command; None for anything else."""
    document = getattr(value, "document", None)
    return document if isinstance(document, Mapping) and "key" in document else None


def search_index_document(value: object) -> Document | None:
    """The document of a search index's model; None for anything else."""
    document = getattr(value, "document", None)
    return document if isinstance(document, Mapping) and "definition" in document else None


def write_request(value: object) -> tuple[str, PlainDocument] | None:
    """The class of a bulk's request by its name, and the arguments for it; None for anything else.

    PyMongo's requests tell the bulk that they are added to what they hold. Here a :class:`_Told` takes its place.

    :raises ConfigurationError: the request holds a value that PyMongo refuses.
    """
    tell = getattr(value, "_add_to_bulk", None)
    if not callable(tell):
        return None
    told = _Told()
    try:
        tell(told)
    except (TypeError, ValueError) as problem:
        raise ConfigurationError(f"{value!r} cannot be sent: {problem}") from problem
    if told.request is None:
        return None
    name, arguments = told.request
    return name, {**arguments, "namespace": getattr(value, "_namespace", None)}


class _Told:
    """Takes the place of PyMongo's bulk: keeps what a request says."""

    def __init__(self) -> None:
        self.request: tuple[str, PlainDocument] | None = None

    def add_insert(self, document: object) -> None:
        self.request = "InsertOne", {"document": document}

    def add_update(
        self, selector: object, update: object, multi: bool = False, upsert: bool | None = None, **options: object
    ) -> None:
        given = {name: value for name, value in options.items() if value is not None}
        arguments = {"filter": selector, "update": update, "upsert": upsert or None, **given}
        self.request = "UpdateMany" if multi else "UpdateOne", arguments

    def add_replace(self, selector: object, replacement: object, upsert: bool | None = None, **options: object) -> None:
        given = {name: value for name, value in options.items() if value is not None}
        arguments = {"filter": selector, "replacement": replacement, "upsert": upsert or None, **given}
        self.request = "ReplaceOne", arguments

    def add_delete(self, selector: object, limit: int, **options: object) -> None:
        self.request = "DeleteOne" if limit else "DeleteMany", {"filter": selector, **options}
