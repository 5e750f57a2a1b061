"""The database of the tests with ``rollback``: its collections and indexes are made before a transaction begins.

One for all tests of a process. What a test writes is never committed, so the next one finds the collections empty, and
they are made once. Servers create no index on a collection that exists, no view and no time-series collection in a
transaction; and two transactions that create the same collection conflict.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wiredrv.client.requests import IndexModel
from wiredrv.concerns import WriteConcern
from wiredrv.errors import CollectionExists, ConfigurationError
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


class Prepared:
    """The database of the tests with ``rollback`` of one process.

    :param client: makes and drops what is needed.
    """

    def __init__(self, client: Client[PlainDocument]) -> None:
        self._client = client
        #: The name of the database.
        self.name = fresh_name("rollback")
        self._collections: set[str] = set()
        self._indexes: set[tuple[str, str]] = set()

    def prepare(self, plan: Plan) -> None:
        """Create the collections and indexes that are not there yet, on a majority of the servers.

        :raises OperationFailure: the server refused.
        """
        database = self._client.get_database(self.name, write_concern=WriteConcern("majority"))
        for name, given in plan.collections.items():
            options = {option: value for option, value in given.items() if option != _INDEXES}
            if name not in self._collections:
                try:
                    database.create_collection(name, **options)
                except CollectionExists:
                    pass  # made by a fixture of the project
                self._collections.add(name)
            wanted = {(name, index.document["name"]): index for index in given.get(_INDEXES, ())}
            missing = [index for key, index in wanted.items() if key not in self._indexes]
            if missing:
                database[name].create_indexes(missing)
                self._indexes.update(wanted)

    def drop(self) -> None:
        """Drop the database."""
        drop(self._client, self.name)
