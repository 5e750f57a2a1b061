"""Another driver under the runner: PyMongo Async, through the adapter."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pymongo
import pytest
from bson import ObjectId
from pymongo import monitoring
from pymongo.errors import AutoReconnect, OperationFailure

from spec_tests import conformance, seam
from spec_tests.__main__ import main
from spec_tests.figures import read_page
from spec_tests.operations.base import bind
from spec_tests.peers.pymongo_events import translators
from spec_tests.suites import SpecsMissing, find_specs
from wiredrv import events
from wiredrv.local import ReplicaSet
from wiredrv.types import Address

PAGE = Path(__file__).resolve().parents[2] / "docs" / "conformance.md"
SERVER = ("localhost", 27018)


@pytest.fixture
def pymongo_driver() -> Iterator[None]:
    seam.use_driver("pymongo")
    yield
    seam.use_driver("wiredrv")


def test_the_names_of_the_driver_are_looked_up_in_the_adapter(pymongo_driver: None) -> None:
    assert seam.public("InsertOne") is pymongo.InsertOne
    assert seam.write_concern({"w": 2}) == pymongo.WriteConcern(2)
    assert seam.read_preference({"mode": "secondary"}) == pymongo.ReadPreference.SECONDARY
    assert not seam.has_public("NoSuchName")
    assert not seam.has_introspection("observe_spans")


def test_afterwards_those_of_wiredrv_are() -> None:
    seam.use_driver("pymongo")
    assert seam.is_server_error(OperationFailure("refused"))
    seam.use_driver("wiredrv")
    assert not seam.is_server_error(OperationFailure("refused"))
    assert seam.public("InsertOne").__module__.startswith("wiredrv.")


@pytest.mark.parametrize(
    ("error", "expected"),
    [(OperationFailure("refused"), True), (AutoReconnect("gone"), False), (ValueError("wrong"), False)],
)
def test_an_error_of_the_server_is_told_from_others(pymongo_driver: None, error: Exception, expected: bool) -> None:
    assert isinstance(error, seam.OPERATION_ERRORS)
    assert seam.is_server_error(error) is expected


def test_the_labels_of_an_error_are_read(pymongo_driver: None) -> None:
    error = AutoReconnect("gone")
    error._add_error_label("TransientTransactionError")
    assert seam.labels_of(error) == ["TransientTransactionError"]
    assert seam.labels_of(ValueError()) == []


def test_an_option_that_a_cursor_does_not_have_makes_a_test_unsupported(pymongo_driver: None) -> None:
    find = pymongo.AsyncMongoClient[Any](connect=False)["db"]["c"].find
    assert bind(find, {"filter": {}, "batchSize": 2}, {}, snake_options=True) == {"filter": {}, "batch_size": 2}
    with pytest.raises(Exception, match="argument timeoutMode"):
        bind(find, {"filter": {}, "timeoutMode": "iteration"}, {}, snake_options=True)


def test_the_limit_of_an_operation_is_taken_from_its_arguments(pymongo_driver: None) -> None:
    arguments = {"timeoutMS": 50, "filter": {}}
    with seam.time_limit(arguments):
        assert arguments == {"filter": {}}
    seam.use_driver("wiredrv")
    arguments = {"timeoutMS": 50}
    with seam.time_limit(arguments):
        assert arguments == {"timeoutMS": 50}


def _published(publish: Any) -> list[Any]:
    """The events that our listener gets when PyMongo publishes one."""
    heard: list[Any] = []
    publish(monitoring._EventListeners(translators([heard.append])))
    return heard


def test_events_of_commands_and_heartbeats_are_not_confused() -> None:
    (command,) = _published(lambda hub: hub.publish_command_start({"ping": 1}, "admin", 7, SERVER, 3))
    assert isinstance(command, events.CommandStartedEvent)
    assert (command.command_name, command.address, command.command) == ("ping", Address(*SERVER), {"ping": 1})
    (heartbeat,) = _published(lambda hub: hub.publish_server_heartbeat_started(SERVER, True))
    assert heartbeat == events.ServerHeartbeatStartedEvent(Address(*SERVER), awaited=True)


def test_events_of_servers_and_of_the_topology_are_not_confused() -> None:
    topology = ObjectId()
    assert _published(lambda hub: hub.publish_topology_opened(topology)) == [events.TopologyOpenedEvent(topology)]
    assert _published(lambda hub: hub.publish_server_opened(SERVER, topology)) == [
        events.ServerOpeningEvent(topology, Address(*SERVER))
    ]


def test_events_of_pools_keep_their_reasons() -> None:
    (closed,) = _published(lambda hub: hub.publish_connection_closed(SERVER, 4, "stale"))
    assert closed == events.ConnectionClosedEvent(Address(*SERVER), 4, "stale")
    (cleared,) = _published(lambda hub: hub.publish_pool_cleared(SERVER, None, True))
    assert cleared == events.PoolClearedEvent(Address(*SERVER), None, True)


def test_the_tables_get_a_column_for_the_peer_of_the_same_deployment() -> None:
    def document(driver: str, topology: str, passed: int) -> dict[str, Any]:
        counts = {"passed": passed, "failed": 0, "skipped": 0, "unsupported": 0}
        return {
            "driver": driver,
            "topology": topology,
            "server_version": "6.0.5",
            "backend": "asyncio",
            "suites": {"crud": counts},
            "tests": [],
        }

    text = conformance.page(
        [
            document("wiredrv", "replicaset", 332),
            document("wiredrv", "single", 324),
            document("pymongo", "replicaset", 308),
        ]
    )
    replica_set, single = text.split("### single")
    assert "| suite | passed | failed | skipped | unsupported | passed by PyMongo Async |" in replica_set
    assert "| crud | 332 | 0 | 0 | 0 | 308 |" in replica_set
    assert "PyMongo" not in single


def test_pymongo_runs_on_asyncio_only(capsys: pytest.CaptureFixture[str]) -> None:
    try:
        find_specs()
    except SpecsMissing as error:
        pytest.skip(str(error))
    assert main(["--driver", "pymongo", "--backend", "trio"]) == 2
    assert "pymongo runs on asyncio only" in capsys.readouterr().err


def test_pymongo_passes_what_its_own_runner_passes(replica_set: ReplicaSet, tmp_path: Path) -> None:
    try:
        find_specs()
    except SpecsMissing as error:
        pytest.skip(str(error))
    file = tmp_path / "results.json"
    suites = ["--suite", "causal-consistency", "--suite", "sessions", "--suite", "transactions-convenient-api"]
    command = [sys.executable, "-m", "spec_tests", "--driver", "pymongo", "--uri", replica_set.uri, "--json", str(file)]
    finished = subprocess.run([*command, *suites], capture_output=True, text=True, timeout=300)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    written = json.loads(file.read_text())
    assert written["driver"] == "pymongo"
    found = {name: counts["passed"] for name, counts in written["suites"].items()}
    assert found == {"causal-consistency": 17, "sessions": 28, "transactions-convenient-api": 29}
    # It has no snapshot times.
    assert written["suites"]["sessions"]["unsupported"] == 5
    column = read_page(PAGE.read_text("utf-8")).peers["replicaset, server 6.0.5, asyncio"]
    assert {name: column.get(name) for name in found} == found, "docs/conformance.md: `make conformance ARGS=pymongo`"
