"""The specifications' own cases for server selection and max staleness, run through the pure functions."""

from __future__ import annotations

import json
import random
from collections import Counter
from typing import Any

import pytest
from bson import json_util

from tests.support.specs import SpecFile, check_count, load
from wiredrv.concerns import NO_MAX_STALENESS, ReadPreference
from wiredrv.description import ServerDescription, ServerType, TopologyDescription, TopologyType
from wiredrv.errors import ConfigurationError
from wiredrv.topology.rtt import RoundTripTimes
from wiredrv.topology.selection import candidates, choose, suitable_servers
from wiredrv.topology.settings import TopologySettings
from wiredrv.types import Address

SELECTION = load("server-selection/tests/server_selection/**/*.json")
STALENESS = load("max-staleness/tests/**/*.json")
ROUND_TRIPS = load("server-selection/tests/rtt/*.json")
IN_WINDOW = load("server-selection/tests/in_window/*.json")
DEFAULTS = TopologySettings()


def _ids(files: list[SpecFile]) -> list[str]:
    return [file.name.partition("/tests/")[2] for file in files]


@pytest.mark.parametrize(
    "files, count",
    [(SELECTION, 88), (STALENESS, 32), (ROUND_TRIPS, 7), (IN_WINDOW, 8)],
    ids=["selection", "staleness", "rtt", "window"],
)
def test_all_cases_were_found(files: list[SpecFile], count: int) -> None:
    check_count(files, count)


def _server(given: dict[str, Any]) -> ServerDescription:
    rtt = given.get("avg_rtt_ms")
    last_write = given.get("lastWrite")
    return ServerDescription(
        Address.parse(given["address"]),
        ServerType(given["type"]),
        round_trip_time=None if rtt is None else rtt / 1000,
        tags=given.get("tags", {}),
        last_update_time=given.get("lastUpdateTime", 0) / 1000,
        last_write_date=None if last_write is None else last_write["lastWriteDate"] / 1000,
        max_wire_version=given.get("maxWireVersion", 21),
    )


def _topology(given: dict[str, Any]) -> TopologyDescription:
    servers = [_server(server) for server in given["servers"]]
    return TopologyDescription(TopologyType(given["type"]), {server.address: server for server in servers})


def _preference(given: dict[str, Any]) -> ReadPreference:
    mode = given.get("mode", "primary")
    return ReadPreference(
        mode[0].lower() + mode[1:],
        given.get("tag_sets") if given.get("tag_sets") != [{}] else None,
        given.get("maxStalenessSeconds", NO_MAX_STALENESS),
    )


def _addresses(servers: Any) -> set[Address]:
    return {Address.parse(server["address"]) for server in servers}


def _check_selection(case: dict[str, Any]) -> None:
    topology = _topology(case["topology_description"])
    preference = None if case.get("operation") == "write" else _preference(case["read_preference"])
    heartbeat = case.get("heartbeatFrequencyMS", 10_000) / 1000
    deprioritized = _addresses(case.get("deprioritized_servers", ()))
    suitable = suitable_servers(topology, preference, heartbeat, deprioritized)
    assert {server.address for server in suitable} == _addresses(case["suitable_servers"])
    found = candidates(
        topology,
        preference,
        local_threshold=DEFAULTS.local_threshold,
        heartbeat_frequency=heartbeat,
        deprioritized=deprioritized,
    )
    assert {server.address for server in found} == _addresses(case["in_latency_window"])


@pytest.mark.parametrize("file", SELECTION + STALENESS, ids=_ids(SELECTION + STALENESS))
def test_selection(file: SpecFile) -> None:
    case = json_util.loads(json.dumps(file.data))
    if case.get("error"):
        with pytest.raises(ConfigurationError):
            suitable_servers(
                _topology(case["topology_description"]),
                _preference(case["read_preference"]),
                case.get("heartbeatFrequencyMS", 10_000) / 1000,
            )
    else:
        _check_selection(case)


@pytest.mark.parametrize("file", ROUND_TRIPS, ids=_ids(ROUND_TRIPS))
def test_average_round_trip(file: SpecFile) -> None:
    before = file.data["avg_rtt_ms"]
    times = RoundTripTimes()
    times.average = None if before == "NULL" else before
    times.add(file.data["new_rtt_ms"])
    assert times.average == pytest.approx(file.data["new_avg_rtt"])


@pytest.mark.parametrize("file", IN_WINDOW, ids=_ids(IN_WINDOW))
def test_choice_in_the_latency_window(file: SpecFile) -> None:
    topology = _topology(file.data["topology_description"])
    counts = {Address.parse(s["address"]): s["operation_count"] for s in file.data["mocked_topology_state"]}
    servers = candidates(
        topology,
        ReadPreference.NEAREST,
        local_threshold=DEFAULTS.local_threshold,
        heartbeat_frequency=DEFAULTS.heartbeat_frequency,
    )
    draw = random.Random(20_260_101).random
    iterations, outcome = file.data["iterations"], file.data["outcome"]
    chosen = Counter(str(choose(servers, counts, draw).address) for _ in range(iterations))
    assert sum(chosen.values()) == iterations
    for address, expected in outcome["expected_frequencies"].items():
        tolerance = outcome["tolerance"] if 0 < expected < 1 else 0
        assert chosen[address] / iterations == pytest.approx(expected, abs=tolerance)
