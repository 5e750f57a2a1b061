"""Server selection beyond the specification's cases: limits, choice, and what errors say."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wiredrv.concerns import ReadPreference
from wiredrv.description import ServerDescription, ServerType, TopologyDescription, TopologyType
from wiredrv.errors import AutoReconnect, ConfigurationError
from wiredrv.topology.selection import candidates, choose, describe_failure, in_latency_window, staleness
from wiredrv.types import Address

A, B, C = Address("a"), Address("b"), Address("c")
WITH, NO = TopologyType.REPLICA_SET_WITH_PRIMARY, TopologyType.REPLICA_SET_NO_PRIMARY
PRIMARY, SECONDARY = ServerType.RS_PRIMARY, ServerType.RS_SECONDARY


def topology(kind: TopologyType, *servers: ServerDescription) -> TopologyDescription:
    return TopologyDescription(kind, {server.address: server for server in servers}, "rs")


def select(state: TopologyDescription, preference: ReadPreference | None, **more: Any) -> set[Address]:
    found = candidates(state, preference, **{"local_threshold": 0.015, "heartbeat_frequency": 10.0, **more})
    return {server.address for server in found}


SET = topology(WITH, ServerDescription(A, PRIMARY), ServerDescription(B, SECONDARY, tags={"dc": "ny", "rack": "1"}))


def test_a_write_needs_the_primary() -> None:
    assert select(SET, None) == {A}
    assert select(topology(NO, ServerDescription(B, SECONDARY)), None) == set()


def test_tag_sets_are_tried_in_order() -> None:
    def tagged(*tag_sets: dict[str, str]) -> set[Address]:
        return select(SET, ReadPreference("nearest", tag_sets))

    assert tagged() == tagged({}) == {A, B}
    assert tagged({"dc": "sf"}, {"dc": "ny"}, {}) == {B}
    assert tagged({"dc": "sf"}) == set()


def test_deprioritized_servers_come_back_when_nothing_else_fits() -> None:
    assert select(SET, ReadPreference.NEAREST, deprioritized={B}) == {A}
    assert select(SET, ReadPreference.SECONDARY, deprioritized={B}) == {B}
    assert select(SET, ReadPreference.PRIMARY_PREFERRED, deprioritized={A}) == {B}
    assert select(SET, ReadPreference.SECONDARY_PREFERRED, deprioritized={A, B}) == {B}


@pytest.mark.parametrize(
    "limit, heartbeat, words",
    [(0, 10.0, "at least 90"), (89, 0.5, "at least 90"), (99, 90.0, "at least 100"), (-2, 10.0, "at least 90")],
)
def test_a_limit_that_cannot_be_told_is_refused_in_a_replica_set(limit: int, heartbeat: float, words: str) -> None:
    preference = ReadPreference("nearest", max_staleness=limit)
    with pytest.raises(ConfigurationError, match=words):
        select(SET, preference, heartbeat_frequency=heartbeat)
    sharded = topology(TopologyType.SHARDED, ServerDescription(A, ServerType.MONGOS))
    assert select(sharded, preference, heartbeat_frequency=heartbeat) == {A}


def test_a_secondary_without_a_last_write_counts_as_stale() -> None:
    silent, told = ServerDescription(B, SECONDARY), ServerDescription(C, SECONDARY, last_write_date=5.0)
    state = topology(NO, silent, told)
    assert staleness(state, silent, 10.0) == math.inf
    assert staleness(state, told, 10.0) == 10.0
    assert select(state, ReadPreference("secondary", max_staleness=90)) == {C}


@given(st.lists(st.floats(0, 1, allow_nan=False), min_size=1, max_size=6), st.floats(0, 0.5))
def test_the_fastest_server_is_always_in_the_window(times: list[float], threshold: float) -> None:
    servers = [ServerDescription(Address(f"h{n}"), SECONDARY, round_trip_time=t) for n, t in enumerate(times)]
    inside = in_latency_window(servers, threshold)
    fastest = min(times)
    assert {server.round_trip_time for server in inside} >= {fastest}
    assert all(
        (server in inside) is (server.round_trip_time <= fastest + threshold)
        for server in servers
        if server.round_trip_time is not None
    )


@given(
    st.lists(st.integers(0, 5), min_size=1, max_size=6),
    st.floats(0, 1, exclude_max=True),
    st.floats(0, 1, exclude_max=True),
)
def test_the_choice_is_never_the_only_busiest(counts: list[int], one: float, other: float) -> None:
    servers = [ServerDescription(Address(f"h{n}"), SECONDARY) for n in range(len(counts))]
    busy = {server.address: count for server, count in zip(servers, counts, strict=True)}
    draws = iter((one, other))
    chosen = choose(servers, busy, lambda: next(draws))
    if len(counts) > 1:
        assert busy[chosen.address] < max(counts) or counts.count(max(counts)) > 1


def test_servers_without_a_count_are_idle() -> None:
    servers = [ServerDescription(A, SECONDARY), ServerDescription(B, SECONDARY)]
    assert choose(servers, {A: 1}).address == B


@pytest.mark.parametrize(
    "state, preference, words",
    [
        (
            topology(NO, ServerDescription(A, error=AutoReconnect("refused")), ServerDescription(B)),
            None,
            [
                "for writing within 30 s",
                "ReplicaSetNoPrimary 'rs'",
                "a:27017: Unknown, AutoReconnect: refused",
                "b:27017: Unknown, not reached yet",
            ],
        ),
        (
            topology(NO, ServerDescription(A, error=AutoReconnect("refused"))),
            ReadPreference.PRIMARY,
            ["reading with the read preference primary", "directConnection=true"],
        ),
        (SET, ReadPreference("secondary", [{"dc": "sf"}]), ["tag sets [{'dc': 'sf'}]", "with the tags {'dc': 'ny'"]),
        (SET, ReadPreference("secondary", [{"dc": "sf"}]), ["a:27017: RSPrimary, not a secondary"]),
        (
            topology(
                NO,
                ServerDescription(A, SECONDARY, last_write_date=500.0),
                ServerDescription(B, SECONDARY, last_write_date=0.0),
            ),
            ReadPreference("secondary", [{"x": "y"}], 90),
            ["maxStalenessSeconds 90", "b:27017: RSSecondary, up to 510 s stale"],
        ),
        (topology(NO, ServerDescription(A, ServerType.RS_ARBITER)), None, ["RSArbiter, which answers no operations"]),
        (topology(TopologyType.UNKNOWN, ServerDescription(A, ServerType.RS_GHOST)), None, ["not initiated"]),
        (topology(NO), None, ["no servers are left"]),
        (
            replace(topology(NO), removed={A: "a:27017 belongs to no replica set, but replicaSet='rs' was asked for"}),
            None,
            ["no servers are left", "a:27017 belongs to no replica set, but replicaSet='rs' was asked for"],
        ),
        (topology(NO, ServerDescription(A, SECONDARY)), None, ["a:27017: RSSecondary, not the primary"]),
    ],
)
def test_an_error_says_what_was_looked_for_and_why_each_server_was_passed_over(
    state: TopologyDescription, preference: ReadPreference | None, words: list[str]
) -> None:
    text = describe_failure(state, preference, waited=30.0)
    for part in words:
        assert part in text
