"""The databases of the tests with ``rollback``: collections and indexes are made before a transaction begins.

One for all tests of a process that ask for the same collections: a test finds those that it asked for and no others,
whatever order the tests run in. What a test writes is never committed, so the next one finds the collections empty, and
they are made once. Servers create no index on a collection that exists, no view and no time-series collection in a
transaction; and two transactions that create the same collection conflict.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wiredrv.client.requests import IndexModel
from wiredrv.concerns import WriteConcern
from wiredrv.errors import ConfigurationError
from wiredrv.sync import Client
from wiredrv.testing.leftovers import drop, fresh_name
from wiredrv.types import PlainDocument

if TYPE_CHECKING:
    import pytest

MARK = "mongodb_rollback"
_ARGUMENTS = {"collections", "on_commit"}
#: Of a collection: the key of its indexes among the options of its creation.
_INDEXES = "indexes"


@dataclass(frozen=True, slots=True)
class Plan:
    """What a test needs before its transaction.

    :param collections: for the name of each: the options of its creation, and ``indexes``.
    :param on_commit: whether the ``on_commit`` hooks of joined transactions are called.
    """

    collections: Mapping[str, PlainDocument]
    on_commit: bool = False


def planned(marks: Sequence[pytest.Mark]) -> Plan:
    """What the marks of a test ask for. The collections of all add up; of ``on_commit``, the first mark decides.

    :param marks: the closest first.
    :raises ConfigurationError: an argument is of the wrong kind.
    """
    collections: dict[str, PlainDocument] = {}
    on_commit: bool | None = None
    for mark in marks:
        if mark.args or not mark.kwargs.keys() <= _ARGUMENTS:
            raise ConfigurationError(
                f"the mark {MARK} takes collections= and on_commit=, not {(*mark.args, *sorted(mark.kwargs))!r}"
            )
        for name, options in _collections(mark.kwargs.get("collections", ())).items():
            collections.setdefault(name, options)
        if on_commit is None and "on_commit" in mark.kwargs:
            on_commit = mark.kwargs["on_commit"]
            if not isinstance(on_commit, bool):
                raise ConfigurationError(f"on_commit is True or False, not {on_commit!r}")
    return Plan(collections, bool(on_commit))


def _collections(given: object) -> dict[str, PlainDocument]:
    if isinstance(given, Mapping):
        found = {name: _options(name, value) for name, value in given.items()}
    elif isinstance(given, str) or not isinstance(given, Sequence):
        raise ConfigurationError(
            f"collections= takes a list of names, or a mapping of names to their indexes or options, not {given!r}"
        )
    else:
        found = {name: {} for name in given}
    for name in found:
        if not isinstance(name, str):
            raise ConfigurationError(f"a collection's name is a string, not {name!r}")
    return found


def _options(name: object, given: object) -> PlainDocument:
    if given is None:
        return {}
    options: PlainDocument = dict(given) if isinstance(given, Mapping) else {_INDEXES: given}
    indexes = options.get(_INDEXES, ())
    if isinstance(indexes, str) or not isinstance(indexes, Sequence):
        raise ConfigurationError(f"the indexes of {name!r} are a list of IndexModel objects or keys, not {indexes!r}")
    options[_INDEXES] = [index if isinstance(index, IndexModel) else IndexModel(index) for index in indexes]
    return options


@dataclass(frozen=True, slots=True)
class Ready:
    """What a test with ``rollback`` is given.

    :param database: the name of a database with the collections that it asked for.
    :param on_commit: whether the ``on_commit`` hooks of joined transactions are called.
    """

    database: str
    on_commit: bool


class Prepared:
    """The databases of the tests with ``rollback`` of one process.

    :param client: makes and drops what is needed.
    """

    def __init__(self, client: Client[PlainDocument]) -> None:
        self._client = client
        #: For what was asked for, the name of the database that has it.
        self._ready: dict[str, str] = {}
        self._made: list[str] = []

    def prepare(self, plan: Plan) -> Ready:
        """The database with the collections and indexes of a plan; they are made if no test has asked for them yet.

        :raises OperationFailure: the server refused.
        """
        asked = repr(
            [
                (name, sorted(_without_indexes(options).items()), [index.document for index in _indexes(options)])
                for name, options in sorted(plan.collections.items())
            ]
        )
        if asked not in self._ready:
            self._made.append(fresh_name("rollback"))
            self._make(self._made[-1], plan.collections)
            self._ready[asked] = self._made[-1]
        return Ready(self._ready[asked], plan.on_commit)

    def _make(self, name: str, collections: Mapping[str, PlainDocument]) -> None:
        """On a majority of the servers."""
        database = self._client.get_database(name, write_concern=WriteConcern("majority"))
        for collection, options in collections.items():
            database.create_collection(collection, **_without_indexes(options))
            if indexes := _indexes(options):
                database[collection].create_indexes(indexes)

    def drop(self) -> None:
        """Drop the databases."""
        while self._made:
            drop(self._client, self._made.pop())


def _without_indexes(options: PlainDocument) -> PlainDocument:
    return {option: value for option, value in options.items() if option != _INDEXES}


def _indexes(options: PlainDocument) -> list[IndexModel]:
    return list(options.get(_INDEXES, ()))
