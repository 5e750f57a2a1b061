"""Users' arguments: checks them and converts them to their form on the wire. Pure.

Rules kept here:

* Bad input is refused before anything is sent, with a ConfigurationError that says what was expected.
* A value that needs no change is returned as it is: a usual operation copies nothing.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, NoReturn, Protocol, TypeAlias

from bson.raw_bson import RawBSONDocument

from wiredrv.client.constants import ASCENDING
from wiredrv.errors import ConfigurationError, InvalidName, UnknownOption
from wiredrv.types import Document, PlainDocument, foreign_note, near_match


class CollationObject(Protocol):
    """A collation as an object, like PyMongo's ``Collation``."""

    @property
    def document(self) -> Document:
        """What is sent."""
        ...


#: How strings are compared: a mapping, or an object that has one.
Collation: TypeAlias = Document | CollationObject
#: A sort order, an index's keys or a hint, as users may write them.
Keys: TypeAlias = str | Sequence[str | tuple[str, Any]] | Document


def refuse(name: str, expected: str, value: object) -> NoReturn:
    """Refuse an argument."""
    raise ConfigurationError(f"{name} must be {expected}, not {_shown(value)}{foreign_note(value)}")


def _shown(value: object) -> str:
    text = repr(value)
    return f"{text if len(text) <= 80 else text[:77] + '...'} ({type(value).__name__})"


# --- documents ---


def document(name: str, value: object) -> Document:
    """A document: any mapping."""
    if type(value) is dict or isinstance(value, Mapping):
        return value
    refuse(name, "a mapping, as {'field': value}", value)


def cursor_document(name: str, value: object) -> Document:
    """The ``cursor`` of an aggregate command. Servers know one field of it."""
    given = document(name, value)
    if not given.keys() <= {"batchSize"}:
        refuse(name, "{} or {'batchSize': how many documents the first batch has}", value)
    batch_size = given.get("batchSize")
    if batch_size is not None:
        whole_number(f"{name}['batchSize']", batch_size)
    return {"batchSize": batch_size}


def update_document(value: object) -> Document | list[Document]:
    """An update: a document of update operators, or a pipeline."""
    if isinstance(value, (list, tuple)):
        if value:
            return pipeline(value, "update")
        value = {}
    found = document("update", value)
    if isinstance(found, RawBSONDocument):
        return found
    if not found:
        raise ConfigurationError("update must not be empty: name what to change, as {'$set': {'field': value}}")
    first = next(iter(found))
    if not (isinstance(first, str) and first.startswith("$")):
        raise ConfigurationError(
            f"update must start with an operator, as {{'$set': ...}}, not with {first!r}; "
            "replace_one puts a whole new document in place"
        )
    return found


def replacement_document(value: object) -> Document:
    """A replacement: a document without update operators."""
    found = document("replacement", value)
    if found and not isinstance(found, RawBSONDocument):
        first = next(iter(found))
        if isinstance(first, str) and first.startswith("$"):
            raise ConfigurationError(
                f"replacement is a whole document and must not start with the operator {first!r}; "
                "update_one applies operators"
            )
    return found


def pipeline(value: object, name: str = "pipeline") -> list[Document]:
    """A list of stages."""
    if not isinstance(value, (list, tuple)):
        refuse(name, "a list of stages", value)
    for stage in value:
        if not isinstance(stage, Mapping):
            refuse(f"each stage of {name}", "a mapping, as {'$match': {...}}", stage)
    return value if isinstance(value, list) else list(value)


def list_of_documents(name: str, value: object) -> list[Document]:
    """A list of documents, as array filters are."""
    if not isinstance(value, (list, tuple)) or not all(isinstance(entry, Mapping) for entry in value):
        refuse(name, "a list of mappings", value)
    return list(value)


# --- orders, hints, projections ---


def sort_document(name: str, value: object, direction: object = None) -> PlainDocument:
    """A sort order or an index's keys: ``"a"``, ``[("a", 1), "b"]`` or ``{"a": 1}``."""
    if isinstance(value, str):
        pairs: Iterable[object] = ((value, ASCENDING if direction is None else direction),)
    elif direction is not None:
        raise ConfigurationError(f"{name}: a direction goes with a single field's name, not with {_shown(value)}")
    elif isinstance(value, Mapping):
        pairs = value.items()
    elif isinstance(value, Sequence):
        pairs = ((pair, ASCENDING) if isinstance(pair, str) else pair for pair in value)
    else:
        refuse(name, "a field's name, a list of (field, direction) pairs or a mapping", value)
    keys: PlainDocument = {}
    for pair in pairs:
        if not (isinstance(pair, (tuple, list)) and len(pair) == 2 and isinstance(pair[0], str)):
            refuse(f"each key of {name}", "a (field, direction) pair", pair)
        if isinstance(pair[1], float) or not isinstance(pair[1], (str, int, Mapping)):
            refuse(f"the direction of {pair[0]!r} in {name}", "1, -1, an index type's name or a mapping", pair[1])
        keys[pair[0]] = pair[1]
    if not keys:
        raise ConfigurationError(f"{name} must name at least one field")
    return keys


def sort_option(name: str, value: object) -> PlainDocument | None:
    """A sort order as an argument, where an empty one means none."""
    return None if isinstance(value, (list, tuple, Mapping)) and not value else sort_document(name, value)


def hint_value(name: str, value: object) -> str | PlainDocument:
    """An index: its name, or its keys as a list of pairs or a mapping."""
    return value if isinstance(value, str) else sort_document(name, value)


def index_bound(name: str, value: object) -> Document:
    """A bound of an index's keys: a mapping, or a list of (field, value) pairs, with any values."""
    if isinstance(value, Mapping):
        found: Document = value
    elif isinstance(value, (list, tuple)) and all(isinstance(pair, (tuple, list)) and len(pair) == 2 for pair in value):
        if not all(isinstance(field, str) for field, _ in value):
            refuse(f"each key of {name}", "a (field, value) pair", value)
        found = dict(value)
    else:
        found = sort_document(name, value)
    if not found:
        raise ConfigurationError(f"{name} must name at least one field")
    return found


def projection_document(name: str, value: object) -> Document:
    """Which fields to return: a mapping, or a list of names. An empty list means whole documents."""
    if isinstance(value, Mapping):
        return value
    if isinstance(value, (Sequence, AbstractSet)) and not isinstance(value, (str, bytes)):
        if not all(isinstance(field, str) for field in value):
            refuse(name, "a mapping or a list of field names", value)
        return dict.fromkeys(value, 1)
    refuse(name, "a mapping or a list of field names", value)


def collation_document(name: str, value: object) -> Document:
    """A collation: a mapping, or an object whose ``document`` is one."""
    found = value if isinstance(value, Mapping) else getattr(value, "document", None)
    if isinstance(found, Mapping):
        return found
    refuse(name, "a mapping, as {'locale': 'en'}, or a Collation", value)


# --- scalars ---


def whole_number(name: str, value: object) -> int:
    """A whole number from 0 up."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    refuse(name, "a whole number from 0 up", value)


def count_or_none(name: str, value: object) -> int | None:
    """A whole number, where 0 is the server's own default and is not sent."""
    return whole_number(name, value) or None


def any_integer(name: str, value: object) -> int:
    """A whole number, perhaps a negative one."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    refuse(name, "a whole number", value)


def boolean(name: str, value: object) -> bool:
    """True or False."""
    if isinstance(value, bool):
        return value
    refuse(name, "True or False", value)


def flag(name: str, value: object) -> bool | None:
    """True or False, where False is the server's own default and is not sent."""
    return boolean(name, value) or None


# --- names ---

_FORBIDDEN_IN_DATABASES = '/\\. "$\x00'


def database_name(name: object) -> str:
    """The name of a database.

    :raises InvalidName: the server would refuse it.
    """
    if not isinstance(name, str):
        refuse("a database's name", "a string", name)
    if not name:
        raise InvalidName("a database's name must not be empty")
    for character in _FORBIDDEN_IN_DATABASES:
        if character in name and name != "$external":
            raise InvalidName(f"the database name {name!r} must not contain {character!r}")
    return name


def collection_name(name: object) -> str:
    """The name of a collection.

    :raises InvalidName: the server would refuse it.
    """
    if not isinstance(name, str):
        refuse("a collection's name", "a string", name)
    if not name or ".." in name or name[0] == "." or name[-1] == ".":
        raise InvalidName(
            f"the collection name {name!r} must not be empty, begin or end with a dot, or contain two dots in a row"
        )
    if "$" in name and not name.startswith(("oplog.$main", "$cmd")):
        raise InvalidName(f"the collection name {name!r} must not contain '$'")
    if "\x00" in name:
        raise InvalidName(f"the collection name {name!r} must not contain the null character")
    return name


# --- options of commands ---

Check: TypeAlias = Callable[[str, Any], object]
#: An option's name in Python -> its name on the wire, and what checks it.
Table: TypeAlias = Mapping[str, tuple[str, Check | None]]


def wire_options(
    given: Document, table: Table, method: Callable[..., object] | None = None, *, strict: bool = True
) -> PlainDocument:
    """Options under the wire's names, checked; those that are None are left out.

    A name may be Python's or the wire's own, as PyMongo's methods take some in one form and some in the other.

    :param method: what takes the options: an error lists those in its signature, else those of the table.
    :param strict: whether a name that is not in the table is refused; else it is sent, and the server decides.
    :raises UnknownOption: a name is unknown.
    :raises ConfigurationError: a value is of the wrong kind, or an option is given twice.
    """
    fields: PlainDocument = {}
    for name, value in given.items():
        row = table.get(name) or _by_wire_name(table, name)
        if row is None:
            if strict:
                _refuse_option(name, table, method)
            if value is not None:
                fields[name] = value
            continue
        if value is None:
            continue
        wire, check = row
        checked = value if check is None else check(name, value)
        if wire in fields:
            raise ConfigurationError(f"{name!r}: this option is given under two names; give it once")
        if checked is not None:
            fields[wire] = checked
    return fields


def _refuse_option(name: str, table: Table, method: Callable[..., object] | None) -> NoReturn:
    known, whose = list(table), ""
    if method is not None:
        parameters = inspect.signature(method).parameters.values()
        known = [parameter.name for parameter in parameters if parameter.default is not parameter.empty]
        whose = f" of {method.__name__}"
    near = near_match(name, known)
    guess = f"did you mean {near}? The" if near else "the"
    raise UnknownOption(f"unknown option {name!r}; {guess} options{whose} are {', '.join(sorted(known))}")


def _by_wire_name(table: Table, name: str) -> tuple[str, Check | None] | None:
    return next((row for row in table.values() if row[0] == name), None)
