"""Transitions of the topology: the whole table, and what must hold after any sequence of descriptions."""

from __future__ import annotations

from typing import Any

import pytest
from bson import ObjectId
from hypothesis import given
from hypothesis import strategies as st

from wiredrv.description import (
    ServerDescription,
    ServerType,
    TopologyDescription,
    TopologyType,
)
from wiredrv.errors import AutoReconnect
from wiredrv.server_facts import MAX_WIRE_VERSION, MIN_WIRE_VERSION
from wiredrv.topology.changes import changes, makes_pool_ready, same_server
from wiredrv.topology.settings import TopologySettings
from wiredrv.topology.update import (
    apply,
    compare_topology_versions,
    initial_description,
    load_balancer_description,
    unknown_server,
)
from wiredrv.types import Address

A, B, C = Address("a"), Address("b"), Address("c")
T, S = TopologyType, ServerType
MEMBERS = (S.RS_PRIMARY, S.RS_SECONDARY, S.RS_ARBITER, S.RS_OTHER)


def server(address: Address, kind: ServerType, **fields: Any) -> ServerDescription:
    if kind in MEMBERS:
        fields = {"set_name": "rs", "hosts": frozenset({A, B}), **fields}
    return ServerDescription(address, kind, min_wire_version=0, max_wire_version=21, **fields)


def topology(kind: TopologyType, *servers: ServerDescription) -> TopologyDescription:
    set_name = "rs" if kind in (T.REPLICA_SET_NO_PRIMARY, T.REPLICA_SET_WITH_PRIMARY) else None
    return TopologyDescription(kind, {server.address: server for server in servers}, set_name)


TWO_SEEDS = TopologySettings(seeds=(A, B))

# The specification's "TopologyType table": for each server type what becomes of a topology with the servers a (of
# which the new description is) and b, of the types Unknown, Sharded, ReplicaSetNoPrimary, ReplicaSetWithPrimary (a was
# the primary). "-" means that a is removed.
NO, WITH = T.REPLICA_SET_NO_PRIMARY, T.REPLICA_SET_WITH_PRIMARY
TABLE = {
    S.UNKNOWN: [(T.UNKNOWN, ""), (T.SHARDED, ""), (NO, ""), (NO, "")],
    S.STANDALONE: [(T.UNKNOWN, "-"), (T.SHARDED, "-"), (NO, "-"), (NO, "-")],
    S.MONGOS: [(T.SHARDED, ""), (T.SHARDED, ""), (NO, "-"), (NO, "-")],
    S.RS_PRIMARY: [(WITH, ""), (T.SHARDED, "-"), (WITH, ""), (WITH, "")],
    S.RS_SECONDARY: [(NO, ""), (T.SHARDED, "-"), (NO, ""), (NO, "")],
    S.RS_ARBITER: [(NO, ""), (T.SHARDED, "-"), (NO, ""), (NO, "")],
    S.RS_OTHER: [(NO, ""), (T.SHARDED, "-"), (NO, ""), (NO, "")],
    S.RS_GHOST: [(T.UNKNOWN, ""), (T.SHARDED, "-"), (NO, ""), (NO, "")],
}
COLUMNS = (T.UNKNOWN, T.SHARDED, NO, WITH)


@pytest.mark.parametrize("kind", TABLE)
@pytest.mark.parametrize("column", range(4), ids=[column.value for column in COLUMNS])
def test_topology_type_table(kind: ServerType, column: int) -> None:
    before_a = server(A, S.RS_PRIMARY) if COLUMNS[column] is WITH else unknown_server(A)
    before = topology(COLUMNS[column], before_a, unknown_server(B))
    after = apply(before, server(A, kind), TWO_SEEDS)
    expected, removed = TABLE[kind][column]
    assert after.topology_type is expected
    assert set(after.servers) == ({B} if removed else {A, B})


@pytest.mark.parametrize(
    "settings, expected",
    [
        (TopologySettings(seeds=(A,)), T.UNKNOWN),
        (TopologySettings(seeds=(A,), direct_connection=True), T.SINGLE),
        (TopologySettings(seeds=(A,), direct_connection=True, set_name="rs"), T.SINGLE),
        (TopologySettings(seeds=(A,), direct_connection=False, set_name="rs"), NO),
        (TopologySettings(seeds=(A, B), set_name="rs"), NO),
        (TopologySettings(seeds=(A,), load_balanced=True), T.LOAD_BALANCED),
    ],
)
def test_initial_topology_type(settings: TopologySettings, expected: TopologyType) -> None:
    initial = initial_description(settings)
    assert initial.topology_type is expected
    assert set(initial.servers) == set(settings.seeds)
    assert all(known.server_type is S.UNKNOWN for known in initial.servers.values())


def test_a_load_balancer_stays_one() -> None:
    settings = TopologySettings(seeds=(A,), load_balanced=True)
    balanced = apply(initial_description(settings), load_balancer_description(A), settings)
    assert balanced.servers[A].server_type is S.LOAD_BALANCER
    assert apply(balanced, unknown_server(A, AutoReconnect("x")), settings) is balanced
    assert apply(balanced, server(A, S.MONGOS), settings) is balanced


def test_a_description_of_a_server_that_left_changes_nothing() -> None:
    before = topology(WITH, server(A, S.RS_PRIMARY))
    assert apply(before, server(C, S.RS_PRIMARY), TWO_SEEDS) is before


V1 = {"processId": ObjectId(b"1" * 12), "counter": 1}
V2 = {"processId": ObjectId(b"1" * 12), "counter": 2}
OTHER = {"processId": ObjectId(b"2" * 12), "counter": 1}


@pytest.mark.parametrize(
    "one, other, expected",
    [(None, None, -1), (None, V1, -1), (V1, None, -1), (V1, V1, 0), (V1, V2, -1), (V2, V1, 1), (V2, OTHER, -1)],
)
def test_topology_version_comparison(one: Any, other: Any, expected: int) -> None:
    assert compare_topology_versions(one, other) == expected


def test_an_outdated_topology_version_is_ignored() -> None:
    before = topology(WITH, server(A, S.RS_PRIMARY, topology_version=V2))
    assert apply(before, server(A, S.RS_SECONDARY, topology_version=V1), TWO_SEEDS) is before
    assert apply(before, server(A, S.RS_SECONDARY, topology_version=V2), TWO_SEEDS) is not before


@pytest.mark.parametrize(
    "fields, words",
    [
        (
            {"min_wire_version": MAX_WIRE_VERSION + 1, "max_wire_version": 99},
            ["a:27017", str(MAX_WIRE_VERSION + 1), f"up to {MAX_WIRE_VERSION}"],
        ),
        (
            {"min_wire_version": 0, "max_wire_version": MIN_WIRE_VERSION - 1},
            ["a:27017", str(MIN_WIRE_VERSION - 1), f"at least {MIN_WIRE_VERSION}", "MongoDB 4.2"],
        ),
    ],
)
def test_incompatible_servers_are_told_with_both_versions(fields: dict[str, Any], words: list[str]) -> None:
    settings = TopologySettings(seeds=(A,))
    after = apply(initial_description(settings), ServerDescription(A, S.STANDALONE, **fields), settings)
    assert after.compatibility_error is not None
    assert all(word in after.compatibility_error for word in words)
    again = apply(after, server(A, S.STANDALONE), settings)
    assert again.compatible


def test_the_shortest_session_timeout_of_data_bearing_servers_counts() -> None:
    state = topology(NO, unknown_server(A), unknown_server(B))
    state = apply(state, server(A, S.RS_PRIMARY, logical_session_timeout_minutes=30), TWO_SEEDS)
    assert state.logical_session_timeout_minutes == 30
    state = apply(state, server(B, S.RS_ARBITER), TWO_SEEDS)
    assert state.logical_session_timeout_minutes == 30
    state = apply(state, server(B, S.RS_SECONDARY, logical_session_timeout_minutes=20), TWO_SEEDS)
    assert state.logical_session_timeout_minutes == 20
    state = apply(state, server(B, S.RS_SECONDARY), TWO_SEEDS)
    assert state.logical_session_timeout_minutes is None


def test_stale_primary_names_both_elections() -> None:
    newer, older = ObjectId(b"2" * 12), ObjectId(b"1" * 12)
    state = topology(NO, unknown_server(A), unknown_server(B))
    state = apply(state, server(A, S.RS_PRIMARY, election_id=newer, set_version=1), TWO_SEEDS)
    state = apply(state, server(B, S.RS_PRIMARY, election_id=older, set_version=2), TWO_SEEDS)
    assert state.primary is not None
    assert state.primary.address == A
    assert f"({older}, 2) is stale compared to ({newer}, 1)" in str(state.servers[B].error)


def test_a_member_by_another_name_leaves_also_while_there_is_a_primary() -> None:
    before = topology(WITH, server(A, S.RS_PRIMARY), unknown_server(B))
    after = apply(before, server(B, S.RS_SECONDARY, me=C), TWO_SEEDS)
    assert set(after.servers) == {A}
    assert after.topology_type is WITH


# --- properties -----------------------------------------------------------------------------------------------------

ADDRESSES = st.sampled_from([A, B, C])
ELECTIONS = st.sampled_from([None, ObjectId(b"1" * 12), ObjectId(b"2" * 12)])


@st.composite
def descriptions(draw: st.DrawFn) -> ServerDescription:
    kind = draw(st.sampled_from([*TABLE]))
    if kind not in MEMBERS:
        return server(draw(ADDRESSES), kind)
    address = draw(ADDRESSES)
    return server(
        address,
        kind,
        set_name=draw(st.sampled_from(["rs", "rs", "other"])),
        hosts=frozenset(draw(st.sets(ADDRESSES, min_size=1))),
        me=draw(st.sampled_from([None, address, C])),
        primary=draw(st.sampled_from([None, A, B])),
        election_id=draw(ELECTIONS) if kind is S.RS_PRIMARY else None,
        set_version=draw(st.sampled_from([None, 1, 2])),
    )


@given(
    st.sampled_from(
        [
            TopologySettings(seeds=(A,)),
            TWO_SEEDS,
            TopologySettings(seeds=(A, B), set_name="rs"),
            TopologySettings(seeds=(A,), direct_connection=True),
            TopologySettings(seeds=(A,), direct_connection=True, set_name="rs"),
        ]
    ),
    st.lists(descriptions(), max_size=12),
)
def test_what_holds_after_any_sequence(settings: TopologySettings, sequence: list[ServerDescription]) -> None:
    state = initial_description(settings)
    for description in sequence:
        before, state = state, apply(state, description, settings)
        kinds = [known.server_type for known in state.servers.values()]
        assert all(address == known.address for address, known in state.servers.items())
        assert kinds.count(S.RS_PRIMARY) <= 1 or state.topology_type is T.SINGLE
        if state.topology_type in (NO, WITH):
            assert (state.topology_type is WITH) is (S.RS_PRIMARY in kinds)
            assert not {S.STANDALONE, S.MONGOS} & set(kinds)
        if state.topology_type is T.SHARDED:
            assert set(kinds) <= {S.UNKNOWN, S.MONGOS}
        if before.topology_type is T.SINGLE:
            assert state.topology_type is T.SINGLE
        if before.set_name is not None:
            assert state.set_name == before.set_name
        change = changes(before, state)
        assert change.topology_changed or not (change.changed or change.opened or change.closed)
        if state is before:
            assert not change.topology_changed


# --- differences ----------------------------------------------------------------------------------------------------


def test_times_alone_are_no_change() -> None:
    one = server(A, S.RS_SECONDARY, round_trip_time=0.1, last_update_time=1.0, last_write_date=1.0, op_time=1)
    other = server(A, S.RS_SECONDARY, round_trip_time=0.2, last_update_time=2.0, last_write_date=2.0, op_time=2)
    assert same_server(one, other)
    assert not changes(topology(NO, one), topology(NO, other)).topology_changed


@pytest.mark.parametrize(
    "fields",
    [
        {"set_version": 2},
        {"tags": {"a": "b"}},
        {"me": A},
        {"topology_version": V1},
        {"error": AutoReconnect("x")},
        {"logical_session_timeout_minutes": 30},
    ],
)
def test_any_compared_field_is_a_change(fields: dict[str, Any]) -> None:
    one, other = server(A, S.RS_SECONDARY), server(A, S.RS_SECONDARY, **fields)
    assert not same_server(one, other)
    assert changes(topology(NO, one), topology(NO, other)).changed == ((one, other),)


def test_errors_with_the_same_words_are_equal() -> None:
    assert same_server(unknown_server(A, AutoReconnect("x")), unknown_server(A, AutoReconnect("x")))
    assert not same_server(unknown_server(A, AutoReconnect("x")), unknown_server(A, AutoReconnect("y")))


@pytest.mark.parametrize(
    "kind, topology_type, ready",
    [
        (S.RS_SECONDARY, NO, True),
        (S.MONGOS, T.SHARDED, True),
        (S.RS_ARBITER, NO, False),
        (S.RS_ARBITER, T.SINGLE, True),
        (S.UNKNOWN, T.SINGLE, False),
        (S.RS_GHOST, T.UNKNOWN, False),
    ],
)
def test_which_checks_make_a_pool_ready(kind: ServerType, topology_type: TopologyType, ready: bool) -> None:
    assert makes_pool_ready(server(A, kind), topology_type) is ready


# --- servers that are removed -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer, reason",
    [
        (server(A, ServerType.RS_PRIMARY, set_name="other", hosts=(A,)), "belongs to the replica set 'other'"),
        (server(A, ServerType.RS_SECONDARY, set_name="other", hosts=(A,)), "belongs to the replica set 'other'"),
        (server(A, ServerType.STANDALONE), "belongs to no replica set"),
        (server(A, ServerType.MONGOS), "belongs to no replica set"),
    ],
)
def test_a_seed_of_another_replica_set_is_remembered_with_its_answer(answer: ServerDescription, reason: str) -> None:
    settings = TopologySettings(seeds=(A, B), set_name="rs")
    updated = apply(initial_description(settings), answer, settings)
    assert A not in updated.servers
    assert updated.removed == {A: f"{A} {reason}, but replicaSet='rs' was asked for"}


def test_the_removed_servers_that_are_remembered_are_few() -> None:
    hosts = tuple(Address(f"h{number}") for number in range(20))
    settings = TopologySettings(seeds=hosts, set_name="rs")
    updated = initial_description(settings)
    for host in hosts:
        updated = apply(updated, server(host, ServerType.STANDALONE), settings)
    assert tuple(updated.removed) == hosts[-8:]
