"""Which operations can be part of the one transaction of a test: a table, and every operation that the driver has."""

from __future__ import annotations

import importlib
import pkgutil

import pytest

from wiredrv import ReadPreference, operations
from wiredrv.operations.aggregate import Aggregate
from wiredrv.operations.base import Operation, Target
from wiredrv.operations.collections import Create
from wiredrv.operations.cursors import KillCursors
from wiredrv.operations.find import Find
from wiredrv.operations.run_command import RunCommand
from wiredrv.testing.permitted import Place, judge
from wiredrv.types import Address, PlainDocument

TARGET = Target("shop", "orders")
SECONDARY = Target("shop", read_preference=ReadPreference.SECONDARY)


def run(name: str, target: Target = TARGET, **fields: object) -> Operation[object]:
    return RunCommand(target, {name: 1, **fields})


def aggregate(*stages: str) -> Operation[object]:
    return Aggregate(TARGET, [{stage: {}} for stage in stages], {})


PLACES: list[tuple[Operation[object], Place]] = [
    (Find(TARGET, {}, {}), Place.WITHIN),
    (aggregate("$match", "$group"), Place.WITHIN),
    (run("insert", documents=[{}]), Place.WITHIN),
    (run("findandmodify"), Place.WITHIN),
    (Create(TARGET, {"capped": True, "size": 1000}), Place.WITHIN),
    (KillCursors(TARGET, "orders", (1,), Address("a", 1)), Place.WITHIN),
    (run("ping"), Place.OUTSIDE),
    (run("ping", SECONDARY), Place.OUTSIDE),
    (run("ping", Target("config")), Place.OUTSIDE),
    (run("configureFailPoint"), Place.OUTSIDE),
    (run("buildInfo", writeConcern={}), Place.OUTSIDE),
]
REASONS: list[tuple[Operation[object], str]] = [
    (run("count"), "count_documents"),
    (run("drop"), "cannot be undone"),
    (run("listIndexes"), "without those that the test has created"),
    (run("mapReduce"), "MongoDB does not permit it"),
    (run("noSuchCommand"), "MongoDB does not permit it"),
    (run("commitTransaction"), "join the transaction"),
    (Find(Target("local", "oplog.rs"), {}, {}), "'local' cannot be used"),
    (run("find", Target("config")), "'config' cannot be used"),
    (run("insert", writeConcern={"w": 1}), "has a writeConcern"),
    (run("find", readConcern={"level": "local"}), "has a readConcern"),
    (run("find", SECONDARY), "was given a read preference"),
    (Find(TARGET, {}, {"tailable": True}), "tailable"),
    (run("find", tailable=True), "tailable"),
    (Create(TARGET, {"viewOn": "orders"}), "a view"),
    (run("create", timeseries={}), "a time-series collection"),
    (aggregate("$match", "$out"), "the stage $out"),
    (aggregate("$merge"), "the stage $merge"),
    (run("aggregate", pipeline=[{"$currentOp": {}}]), "the stage $currentOp"),
]


@pytest.mark.parametrize(("operation", "place"), PLACES, ids=lambda value: getattr(value, "name", None))
def test_where_an_operation_runs(operation: Operation[object], place: Place) -> None:
    assert judge(operation) is place


@pytest.mark.parametrize(("operation", "reason"), REASONS, ids=lambda value: getattr(value, "name", None))
def test_why_it_cannot(operation: Operation[object], reason: str) -> None:
    found = judge(operation)
    assert isinstance(found, str)
    assert reason in found


@pytest.mark.parametrize("wrong", [None, 5, "$out", [5], [None]])
def test_a_pipeline_of_the_wrong_kind_is_left_to_the_server(wrong: object) -> None:
    assert judge(run("aggregate", pipeline=wrong)) is Place.WITHIN


#: What the driver sends outside of the sessions of users.
NOT_ASKED = {"abortTransaction", "commitTransaction", "endSessions", "killSessions"}


def _named() -> set[str]:
    found: set[str] = set()
    for module in pkgutil.iter_modules(operations.__path__):
        for value in vars(importlib.import_module(f"wiredrv.operations.{module.name}")).values():
            name = getattr(value, "name", None)
            if isinstance(value, type) and issubclass(value, Operation) and isinstance(name, str):
                found.add(name)
    return found


class Bare:
    """An operation without anything but its name."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.target = TARGET
        self.traits = RunCommand.traits
        self.options: PlainDocument = {}


def test_every_operation_of_the_driver_is_judged_on_purpose() -> None:
    """A new one is put into a row of its own, or is refused because no transaction permits it."""
    places = {name: judge(Bare(name)) for name in _named() - NOT_ASKED}  # type: ignore[arg-type]  # acts as one
    within = {name for name, place in places.items() if place is Place.WITHIN}
    outside = {name for name, place in places.items() if place is Place.OUTSIDE}
    reads = {"aggregate", "distinct", "find", "getMore", "killCursors"}
    assert within == reads | {"bulkWrite", "create", "createIndexes", "delete", "findAndModify", "insert", "update"}
    assert outside == {"hello", "ping"}
    assert places.keys() - within - outside == {
        "count",
        "createSearchIndexes",
        "drop",
        "dropDatabase",
        "dropIndexes",
        "dropSearchIndex",
        "listCollections",
        "listDatabases",
        "listIndexes",
        "mapReduce",
        "renameCollection",
        "updateSearchIndex",
        "validate",
    }
