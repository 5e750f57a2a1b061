"""Server selection, max staleness and round-trip times, through the pure functions."""

from __future__ import annotations

import json
import math
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bson import json_util

from spec_tests.data.case import Case, DataCase, equal, refused, whole
from spec_tests.errors import SpecFailure
from wiredrv.concerns import NO_MAX_STALENESS, ReadPreference
from wiredrv.description import ServerDescription, ServerType, TopologyDescription, TopologyType
from wiredrv.topology.rtt import RoundTripTimes
from wiredrv.topology.selection import candidates, choose, suitable_servers
from wiredrv.topology.settings import TopologySettings
from wiredrv.types import Address

_DEFAULTS = TopologySettings()
#: The seed of the random numbers, so that the outcome of a case is the same in every run.
_SEED = 20_260_101


def server_selection(tests: Path) -> Iterator[DataCase]:
    """Suitable servers, averages of round-trip times, and the choice in the latency window."""
    yield from whole(tests, ("server_selection/**/*.json",), _check_selection)
    yield from whole(tests, ("rtt/*.json",), _check_average)
    yield from whole(tests, ("in_window/*.json",), _check_choice)


def max_staleness(tests: Path) -> Iterator[DataCase]:
    """Suitable servers where staleness is limited."""
    return whole(tests, ("**/*.json",), _check_selection)


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


def _check_selection(case: Case) -> None:
    case = json_util.loads(json.dumps(case))
    topology = _topology(case["topology_description"])
    heartbeat = case.get("heartbeatFrequencyMS", 10_000) / 1000
    if case.get("error"):
        refused("error", lambda: suitable_servers(topology, _preference(case["read_preference"]), heartbeat))
        return
    preference = None if case.get("operation") == "write" else _preference(case["read_preference"])
    deprioritized = _addresses(case.get("deprioritized_servers", ()))
    suitable = suitable_servers(topology, preference, heartbeat, deprioritized)
    equal("suitable_servers", {server.address for server in suitable}, _addresses(case["suitable_servers"]))
    found = candidates(
        topology,
        preference,
        local_threshold=_DEFAULTS.local_threshold,
        heartbeat_frequency=heartbeat,
        deprioritized=deprioritized,
    )
    equal("in_latency_window", {server.address for server in found}, _addresses(case["in_latency_window"]))


def _check_average(case: Case) -> None:
    before = case["avg_rtt_ms"]
    times = RoundTripTimes()
    times.average = None if before == "NULL" else before
    times.add(case["new_rtt_ms"])
    if not math.isclose(times.average or 0.0, case["new_avg_rtt"], rel_tol=1e-6):
        raise SpecFailure("the average differs", "new_avg_rtt", case["new_avg_rtt"], times.average)


def _check_choice(case: Case) -> None:
    topology = _topology(case["topology_description"])
    counts = {Address.parse(state["address"]): state["operation_count"] for state in case["mocked_topology_state"]}
    servers = candidates(
        topology,
        ReadPreference.NEAREST,
        local_threshold=_DEFAULTS.local_threshold,
        heartbeat_frequency=_DEFAULTS.heartbeat_frequency,
    )
    draw = random.Random(_SEED).random
    iterations, outcome = case["iterations"], case["outcome"]
    chosen = Counter(str(choose(servers, counts, draw).address) for _ in range(iterations))
    for address, expected in outcome["expected_frequencies"].items():
        tolerance = outcome["tolerance"] if 0 < expected < 1 else 0
        frequency = chosen[address] / iterations
        if abs(frequency - expected) > tolerance:
            raise SpecFailure("chosen too often or too seldom", f"expected_frequencies.{address}", expected, frequency)
