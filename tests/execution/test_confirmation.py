"""What is asked of routers before a session continues from a token, and which cluster time goes with it: on a tape."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from bson import Int64
from bson.timestamp import Timestamp

from tests.execution.replay import Bench, finish, reply
from wiredrv.concerns import ReadPreference
from wiredrv.description import TopologyType
from wiredrv.errors import InvalidToken
from wiredrv.events import CausalTokenIgnoredEvent
from wiredrv.execution import confirmation
from wiredrv.operations.base import Target
from wiredrv.operations.find import Find
from wiredrv.session.after import After
from wiredrv.session.options import SessionOptions
from wiredrv.session.state import SessionState
from wiredrv.session.tokens import UNKNOWN_DEPLOYMENT, CausalToken

TARGET = Target("db", "c")
TIME = Timestamp(1000, 1)


@pytest.fixture(autouse=True)
def without_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a tape nothing waits, and there is no event loop that could tell the time."""
    monkeypatch.setattr(confirmation, "TimeLimit", lambda *arguments: None)
    monkeypatch.setattr(confirmation, "_may_wait", lambda *arguments: False)


def signed(seconds: int, key_id: int = 7) -> dict[str, Any]:
    return {"clusterTime": Timestamp(seconds, 1), "signature": {"hash": b"h" * 20, "keyId": Int64(key_id)}}


def at(seconds: int, **more: Any) -> bytes:
    times = {"$clusterTime": signed(seconds, 0), "operationTime": Timestamp(seconds, 1)}
    return reply({"ok": 1, "cursor": {"id": 0, "ns": "db.c", "firstBatch": []}, **times, **more})


def token(cluster_time: Any = None, *, verified: bool = False) -> CausalToken:
    return CausalToken(UNKNOWN_DEPLOYMENT, TIME, cluster_time, verified)


def scene(
    tape: list[bytes], given: CausalToken, kind: TopologyType, refuse: bool = False
) -> tuple[Bench, SessionState, list[Any]]:
    heard: list[Any] = []
    bench = Bench(tape, listeners=[heard.append])
    bench.topology.description = replace(bench.topology.description, topology_type=kind)
    session = SessionState(SessionOptions(), bench.executor.acquire(), bench.executor)
    session.after = After((given,), refuse)
    return bench, session, heard


def reasons(heard: list[Any]) -> list[str]:
    return [event.reason for event in heard if isinstance(event, CausalTokenIgnoredEvent)]


def names(bench: Bench) -> list[str]:
    return [next(iter(command)) for command in bench.transport.commands()]


ROUTED = [TopologyType.SHARDED, TopologyType.LOAD_BALANCED]


@pytest.mark.parametrize("kind", ROUTED)
@pytest.mark.parametrize(
    "tape, asked, after",
    [
        ([at(1000), at(1000)], ["ping", "find"], True),
        ([at(900), at(1001), at(1001)], ["ping", "listDatabases", "find"], True),
        ([at(900), at(901), at(901)], ["ping", "listDatabases", "find"], False),
    ],
    ids=["the router knows it", "a shard knows it", "nobody knows it"],
)
def test_routers_ask_the_shards_where_they_do_not_know_the_time_themselves(
    kind: TopologyType, tape: list[bytes], asked: list[str], after: bool
) -> None:
    bench, session, heard = scene(tape, token(signed(1000)), kind)
    finish(bench.executor.execute(Find(TARGET, {}, {}), session))
    assert names(bench) == asked
    find = bench.transport.commands()[-1]
    assert find.get("readConcern") == ({"afterClusterTime": TIME} if after else None)
    assert reasons(heard) == ([] if after else ["unconfirmed"])
    # The token's own cluster time was not verified: it goes nowhere.
    for command in bench.transport.commands():
        assert command.get("$clusterTime", {"signature": {"keyId": 0}})["signature"]["keyId"] == 0
    assert session.after is None
    bench.nothing_is_out()


@pytest.mark.parametrize("kind", ROUTED)
def test_a_verified_time_goes_to_a_router_with_the_question_alone(kind: TopologyType) -> None:
    bench, session, heard = scene([at(1005), at(1005)], token(signed(1001), verified=True), kind)
    finish(bench.executor.execute(Find(TARGET, {}, {}), session))
    ping, find = bench.transport.commands()
    assert ping["$clusterTime"] == signed(1001)
    assert ping["lsid"] != find["lsid"]
    assert find["$clusterTime"] == signed(1005, 0)  # what the router answered
    assert not reasons(heard)
    assert session.cluster_time == signed(1005, 0)


@pytest.mark.parametrize(
    "given, kind",
    [
        (token(signed(1001)), TopologyType.SHARDED),
        (token(signed(1001, 0), verified=True), TopologyType.SHARDED),
        (token(signed(1001), verified=True), TopologyType.REPLICA_SET_WITH_PRIMARY),
        (token(signed(1001), verified=True), TopologyType.SINGLE),
    ],
    ids=["not verified", "keyId 0", "a replica set", "one server"],
)
def test_no_other_time_goes_to_a_server(given: CausalToken, kind: TopologyType) -> None:
    bench, session, _ = scene([at(1000), at(1000)], given, kind)
    finish(bench.executor.execute(Find(TARGET, {}, {}), session))
    ping, find = bench.transport.commands()
    assert "$clusterTime" not in ping
    assert find["$clusterTime"] == signed(1000, 0)


@pytest.mark.parametrize("code", [204, 205, 210, 211])
@pytest.mark.parametrize("refuse", [True, False])
def test_a_time_whose_signature_servers_refuse_is_of_another_deployment(code: int, refuse: bool) -> None:
    tape = [reply({"ok": 0, "code": code, "errmsg": "no"}), at(900)]
    bench, session, heard = scene(tape, token(signed(1001), verified=True), TopologyType.SHARDED, refuse)
    if refuse:
        for _ in range(2):  # and is not asked for again
            with pytest.raises(InvalidToken) as refused:
                finish(bench.executor.execute(Find(TARGET, {}, {}), session))
            assert refused.value.reason == "foreign"
        assert names(bench) == ["ping"]
    else:
        finish(bench.executor.execute(Find(TARGET, {}, {}), session))
        assert reasons(heard) == ["foreign"]
        # Nothing of it stays: what every server would refuse must not be in the next command.
        assert "$clusterTime" not in bench.transport.commands()[-1]
    bench.nothing_is_out()


@pytest.mark.parametrize("refuse", [True, False])
def test_a_question_that_fails_is_asked_again_if_the_session_insists(refuse: bool) -> None:
    refusal = reply({"ok": 0, "code": 8000, "errmsg": "no"})
    bench, session, heard = scene([refusal, at(1000), at(1000)], token(), TopologyType.REPLICA_SET_WITH_PRIMARY, refuse)
    if refuse:
        with pytest.raises(InvalidToken) as refused:
            finish(bench.executor.execute(Find(TARGET, {}, {}), session))
        assert refused.value.reason == "unavailable"
        finish(bench.executor.execute(Find(TARGET, {}, {}), session))
        assert names(bench) == ["ping", "ping", "find"]
    else:
        finish(bench.executor.execute(Find(TARGET, {}, {}), session))
        assert names(bench) == ["ping", "find"]
        assert reasons(heard) == ["unavailable"]


def test_what_the_client_knows_is_not_asked_for() -> None:
    bench, session, _ = scene([at(1000), at(1000)], token(), TopologyType.REPLICA_SET_WITH_PRIMARY)
    finish(bench.executor.execute(Find(TARGET, {}, {})))
    finish(bench.executor.execute(Find(replace(TARGET, read_preference=ReadPreference.SECONDARY), {}, {}), session))
    assert names(bench) == ["find", "find"]
    assert bench.transport.commands()[-1]["readConcern"] == {"afterClusterTime": TIME}
