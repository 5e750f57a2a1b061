"""The executor's loop on a tape: what is retried and how, what is learned, and what is released exactly once."""

from __future__ import annotations

import struct
from typing import Any

import bson
import pytest
from bson.timestamp import Timestamp

from tests.execution.fakes import SERVER, begin_transaction, make_operation
from tests.execution.replay import Bench, finish, reply
from wiredrv import events
from wiredrv.concerns import WriteConcern
from wiredrv.errors import (
    AutoReconnect,
    ConfigurationError,
    InvalidOperation,
    NotPrimaryError,
    OperationFailure,
    ProtocolError,
)
from wiredrv.execution.pins import RouterPin
from wiredrv.execution.settings import ExecutionSettings
from wiredrv.operations.base import OperationKind, Target
from wiredrv.operations.cursors import GetMore, KillCursors
from wiredrv.operations.find import Find
from wiredrv.operations.insert import Insert
from wiredrv.session.options import SessionOptions
from wiredrv.session.state import SessionState
from wiredrv.session.transaction import Outcome, TransactionState
from wiredrv.session.turns import Purpose

TARGET = Target("db", "c")
OK = reply({"ok": 1})
LOST = b""  # the connection is closed instead of a reply
NOT_PRIMARY = reply({"ok": 0, "code": 10107, "errmsg": "not primary", "errorLabels": ["RetryableWriteError"]})
SHED = reply({"ok": 0, "code": 462, "errmsg": "busy", "errorLabels": ["SystemOverloadedError", "RetryableError"]})


def at(seconds: int) -> dict[str, Any]:
    return {"$clusterTime": {"clusterTime": Timestamp(seconds, 0)}, "operationTime": Timestamp(seconds, 0)}


def explicit(bench: Bench, **options: Any) -> SessionState:
    return SessionState(SessionOptions(**options), bench.executor.acquire(), bench.executor)


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Overload's backoffs take no time here, and are recorded for tests."""
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr("wiredrv.execution.executor.waits.sleep", sleep)
    monkeypatch.setattr("wiredrv.execution.executor.waits.random", lambda: 0.5)
    return slept


# --- retries ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", [LOST, NOT_PRIMARY], ids=["lost", "not primary"])
def test_a_retryable_write_is_sent_again_with_the_same_number_and_session(first: bytes) -> None:
    bench = Bench([first, reply({"ok": 1, "n": 1})])
    result = finish(bench.executor.execute(Insert(TARGET, {"_id": 1}, 1, {})))
    assert result.inserted_id == 1
    one, two = bench.transport.commands()
    assert (one["txnNumber"], one["lsid"]) == (two["txnNumber"], two["lsid"]) == (1, one["lsid"])
    bench.nothing_is_out()


def test_a_write_to_a_standalone_has_no_number_and_is_not_sent_again() -> None:
    bench = Bench([LOST, OK], is_standalone=True)
    with pytest.raises(AutoReconnect):
        finish(bench.executor.execute(Insert(TARGET, {"_id": 1}, 1, {})))
    (command,) = bench.transport.commands()
    assert "txnNumber" not in command
    bench.nothing_is_out()


def test_each_write_has_a_number_of_its_own_in_its_session() -> None:
    bench = Bench([OK, OK])
    session = explicit(bench)
    for number in (1, 2):
        finish(bench.executor.execute(Insert(TARGET, {"_id": number}, number, {}), session))
    assert [command["txnNumber"] for command in bench.transport.commands()] == [1, 2]


def test_a_cursor_that_was_opened_without_a_session_is_read_without_one() -> None:
    """The server that opened it did not support sessions; one that does would refuse to read it in another session."""
    bench = Bench([reply({"ok": 1, "cursor": {"id": 5, "ns": "db.c", "nextBatch": []}})])
    result = finish(bench.executor.execute(GetMore(TARGET, 5, "c", SERVER)))
    assert result.lease is None
    (command,) = bench.transport.commands()
    assert "lsid" not in command


def test_overload_is_retried_twice_with_growing_pauses(no_pauses: list[float]) -> None:
    bench = Bench([SHED, SHED, SHED, SHED])
    with pytest.raises(OperationFailure, match="busy"):
        finish(bench.executor.execute(Find(TARGET, {}, {})))
    assert len(bench.transport.sent) == 3
    assert no_pauses == pytest.approx([0.1, 0.2])


def test_retries_can_be_switched_off() -> None:
    bench = Bench([LOST, OK], ExecutionSettings(retry_reads=False))
    with pytest.raises(AutoReconnect):
        finish(bench.executor.execute(Find(TARGET, {}, {})))
    assert len(bench.transport.sent) == 1


def test_every_failure_is_told_to_the_topology() -> None:
    bench = Bench([LOST, NOT_PRIMARY])
    with pytest.raises(NotPrimaryError):
        finish(bench.executor.execute(Find(TARGET, {}, {})))
    assert [type(error) for error in bench.topology.errors] == [AutoReconnect, NotPrimaryError]


def test_every_attempt_has_its_two_events_under_one_operation_id() -> None:
    seen: list[Any] = []
    bench = Bench([LOST, reply({"ok": 1, "n": 1})], listeners=[seen.append])
    finish(bench.executor.execute(Insert(TARGET, {"_id": 1}, 1, {})))
    assert [type(event) for event in seen] == [
        events.CommandStartedEvent,
        events.CommandFailedEvent,
        events.CommandStartedEvent,
        events.CommandSucceededEvent,
    ]
    assert len({event.operation_id for event in seen}) == 1
    assert seen[0].request_id == seen[1].request_id != seen[2].request_id == seen[3].request_id
    assert [event.connection_id for event in seen] == [1, 1, 2, 2]


# --- sessions ---------------------------------------------------------------------------------------------------------


def test_an_implicit_session_comes_back_after_use() -> None:
    bench = Bench([OK, OK])
    for _ in range(2):
        finish(bench.executor.execute(Insert(TARGET, {"_id": 1}, 1, {})))
    one, two = bench.transport.commands()
    assert one["lsid"] == two["lsid"]
    assert len(bench.executor.sessions) == 1


def test_an_implicit_session_that_met_a_network_error_does_not_come_back() -> None:
    bench = Bench([LOST], ExecutionSettings(retry_reads=False))
    with pytest.raises(AutoReconnect):
        finish(bench.executor.execute(Find(TARGET, {}, {})))
    assert len(bench.executor.sessions) == 0


def test_an_open_cursor_keeps_its_implicit_session_until_the_server_has_no_more() -> None:
    first = {"ok": 1, "cursor": {"id": 9, "ns": "db.c", "firstBatch": [{"_id": 1}]}}
    more = {"ok": 1, "cursor": {"id": 9, "ns": "db.c", "nextBatch": [{"_id": 2}]}}
    last = {"ok": 1, "cursor": {"id": 0, "ns": "db.c", "nextBatch": []}}
    bench = Bench([reply(first), reply(more), reply(last)])
    opened = finish(bench.executor.execute(Find(TARGET, {}, {})))
    assert opened.lease is not None
    for _ in range(2):
        assert len(bench.executor.sessions) == 0
        finish(bench.executor.execute(GetMore(TARGET, 9, "c", SERVER, opened.lease)))
    assert len(bench.executor.sessions) == 1
    assert len({bytes(command["lsid"]["id"]) for command in bench.transport.commands()}) == 1


def test_a_cursor_whose_first_batch_is_all_gives_its_session_back_once() -> None:
    all_of_it = {"ok": 1, "cursor": {"id": 0, "ns": "db.c", "firstBatch": [{"_id": 1}]}}
    bench = Bench([reply(all_of_it), reply(all_of_it)])
    for _ in range(2):
        assert finish(bench.executor.execute(Find(TARGET, {}, {}))).lease is None
        assert len(bench.executor.sessions) == 1
    one, two = bench.transport.commands()
    assert one["lsid"] == two["lsid"]


def test_a_killed_cursors_session_is_for_the_cursor_to_give_back() -> None:
    bench = Bench([OK])
    lease = bench.executor.acquire()
    finish(bench.executor.execute(KillCursors(TARGET, "c", (9,), SERVER, lease)))
    assert bench.transport.commands()[0]["lsid"] == lease.lsid
    assert len(bench.executor.sessions) == 0


@pytest.mark.parametrize("tape", [[OK], [LOST], [SHED], [reply({"ok": 0, "code": 1})]])
def test_an_explicit_session_is_free_again_however_its_operation_ended(tape: list[bytes]) -> None:
    bench = Bench(tape, ExecutionSettings(retry_writes=False))
    session = explicit(bench)
    try:
        finish(bench.executor.execute(Insert(TARGET, {"_id": 1}, 1, {}), session))
    except (AutoReconnect, OperationFailure):
        pass
    assert not session.turns.busy
    assert len(bench.executor.sessions) == 0, "only its owner gives an explicit session back"
    bench.nothing_is_out()


def test_a_session_in_use_is_refused_without_harm_to_who_uses_it() -> None:
    bench = Bench([OK])
    session = explicit(bench, overlap="refuse")
    session.turns.enter("find", Purpose.STATEMENT, "another task")
    with pytest.raises(InvalidOperation, match="another task"):
        finish(bench.executor.execute(Insert(TARGET, {"_id": 1}, 1, {}), session))
    assert session.turns.busy
    assert bench.transport.sent == []


def test_a_session_of_another_client_is_refused() -> None:
    bench, other = Bench([OK]), Bench([OK])
    with pytest.raises(InvalidOperation, match="client that started it"):
        finish(bench.executor.execute(Find(TARGET, {}, {}), explicit(other)))


def test_an_unacknowledged_write_takes_no_explicit_session_and_sends_no_session() -> None:
    unacknowledged = Target("db", "c", write_concern=WriteConcern(w=0))
    bench = Bench([])
    with pytest.raises(ConfigurationError, match="w=0"):
        finish(bench.executor.execute(Insert(unacknowledged, {"_id": 1}, 1, {}), explicit(bench)))
    assert bench.transport.sent == []
    bench.nothing_is_out()


def test_a_server_without_sessions_gets_none_and_refuses_explicit_ones() -> None:
    bench = Bench([reply({"ok": 1, "cursor": {"id": 0, "ns": "db.c", "firstBatch": []}})], supports_sessions=False)
    finish(bench.executor.execute(Find(TARGET, {}, {})))
    assert "lsid" not in bench.transport.commands()[0]
    with pytest.raises(ConfigurationError, match="not supported"):
        finish(bench.executor.execute(Find(TARGET, {}, {}), explicit(bench)))
    assert len(bench.transport.sent) == 1


# --- learning ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ok", [1, 0])
def test_times_are_learned_from_every_reply_also_from_errors(ok: int) -> None:
    bench = Bench([reply({"ok": ok, "code": 1, **at(7)})])
    session = explicit(bench)
    try:
        finish(bench.executor.execute(Insert(TARGET, {"_id": 1}, 1, {}), session))
    except OperationFailure:
        assert ok == 0
    assert (bench.executor.clock.latest or {})["clusterTime"] == Timestamp(7, 0)
    assert (session.cluster_time or {})["clusterTime"] == Timestamp(7, 0)
    assert session.operation_time == Timestamp(7, 0)


def test_what_was_learned_goes_out_with_the_next_command() -> None:
    bench = Bench([reply({"ok": 1, **at(7)}), OK])
    session = explicit(bench)
    for number in (1, 2):
        finish(bench.executor.execute(Insert(TARGET, {"_id": number}, number, {}), session))
    second = bench.transport.commands()[1]
    assert second["$clusterTime"]["clusterTime"] == Timestamp(7, 0)
    assert second["readConcern"] == {"afterClusterTime": Timestamp(7, 0)}


@pytest.mark.parametrize("where", ["beside the cursor", "in the cursor"])
def test_the_snapshots_time_is_that_of_the_first_read(where: str) -> None:
    def answer(seconds: int) -> bytes:
        cursor: dict[str, Any] = {"id": 0, "ns": "db.c", "firstBatch": []}
        time = {"atClusterTime": Timestamp(seconds, 0)}
        return reply({"ok": 1, "cursor": {**cursor, **time}} if "in" in where else {"ok": 1, "cursor": cursor, **time})

    bench = Bench([answer(5), answer(5)])
    session = explicit(bench, snapshot=True)
    for _ in range(2):
        finish(bench.executor.execute(Find(TARGET, {}, {}), session))
    assert session.snapshot_time == Timestamp(5, 0)
    first, second = bench.transport.commands()
    assert first["readConcern"] == {"level": "snapshot"}
    assert second["readConcern"] == {"level": "snapshot", "atClusterTime": Timestamp(5, 0)}


# --- transactions -----------------------------------------------------------------------------------------------------


def in_transaction(bench: Bench, sent: int = 1) -> SessionState:
    """A session with a transaction in which ``sent`` commands were sent."""
    session = explicit(bench)
    begin_transaction(session)
    for _ in range(sent):
        session.transaction.command_sent()
    return session


def test_a_first_command_that_was_shed_starts_the_transaction_again() -> None:
    bench = Bench([SHED, SHED, OK])
    session = in_transaction(bench, sent=0)
    finish(bench.executor.execute(Insert(TARGET, {"_id": 1}, 1, {}), session))
    assert [command.get("startTransaction") for command in bench.transport.commands()] == [True, True, True]
    assert session.transaction.state is TransactionState.IN_PROGRESS


def test_a_shed_first_command_whose_retry_finds_no_connection_is_an_error_of_ours() -> None:
    bench = Bench([SHED])
    session = in_transaction(bench, sent=0)
    check_out = bench.pool.check_out

    async def refuse_the_second(deadline: float | None = None) -> Any:
        if bench.pool.made:
            raise AutoReconnect("refused", error_labels=["SystemOverloadedError", "RetryableError"])
        return await check_out(deadline)

    bench.pool.check_out = refuse_the_second  # type: ignore[method-assign]  # the tape has no failing connections
    with pytest.raises((AutoReconnect, OperationFailure)) as caught:
        finish(bench.executor.execute(Insert(TARGET, {"_id": 1}, 1, {}), session))
    assert caught.value.has_error_label("SystemOverloadedError")
    assert session.transaction.active


def test_a_write_in_a_transaction_is_not_sent_again_and_has_the_transient_label() -> None:
    bench = Bench([LOST, OK])
    session = in_transaction(bench)
    with pytest.raises(AutoReconnect) as caught:
        finish(bench.executor.execute(Insert(TARGET, {"_id": 1}, 1, {}), session))
    assert caught.value.error_labels == {"TransientTransactionError"}
    assert len(bench.transport.sent) == 1
    record = caught.value.transaction
    assert record is not None
    assert (record.cause, record.txn_number) == (caught.value, 1)
    assert [command.name for command in record.commands] == ["insert"]


def test_a_commit_is_sent_again_asking_for_a_majority() -> None:
    bench = Bench([LOST, OK])
    session = in_transaction(bench)
    session.transaction.commit()
    finish(
        bench.executor.execute(
            make_operation(OperationKind.COMMIT, Target("admin", write_concern=WriteConcern(1))), session
        )
    )
    first, second = bench.transport.commands()
    assert first["writeConcern"] == {"w": 1}
    assert second["writeConcern"] == {"w": "majority", "wtimeout": 10_000}
    assert first["txnNumber"] == second["txnNumber"]
    assert session.transaction.outcome is Outcome.COMMITTED


def test_a_commit_shed_by_an_overloaded_server_is_no_attempt() -> None:
    bench = Bench([SHED, OK])
    session = in_transaction(bench)
    session.transaction.commit()
    finish(
        bench.executor.execute(
            make_operation(OperationKind.COMMIT, Target("admin", write_concern=WriteConcern(1))), session
        )
    )
    assert [command["writeConcern"] for command in bench.transport.commands()] == [{"w": 1}, {"w": 1}]


def test_a_commit_that_is_refused_here_before_it_is_sent_leaves_the_transaction_as_it_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """ "Refused here" (``failures``): nothing was sent, so nothing is known to be aborted."""
    bench = Bench([OK])
    session = in_transaction(bench)
    session.transaction.commit()
    monkeypatch.setattr(bench.topology, "pick", _incompatible)
    with pytest.raises(ConfigurationError) as caught:
        finish(bench.executor.execute(make_operation(OperationKind.COMMIT, Target("admin")), session))
    assert caught.value.error_labels == set()
    assert session.transaction.outcome is None
    assert session.transaction.withdraw_commit()


def test_a_commit_that_was_sent_stays_unknown_when_the_next_one_is_refused_here(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = Bench([LOST, LOST, OK])
    session = in_transaction(bench)
    session.transaction.commit()
    commit = make_operation(OperationKind.COMMIT, Target("admin"))
    with pytest.raises(AutoReconnect):
        finish(bench.executor.execute(commit, session))
    with monkeypatch.context() as patched:
        patched.setattr(bench.topology, "pick", _incompatible)
        with pytest.raises(ConfigurationError) as caught:
            finish(bench.executor.execute(commit, session))
    assert caught.value.has_error_label("UnknownTransactionCommitResult")
    assert session.transaction.outcome is Outcome.UNKNOWN
    assert not session.transaction.withdraw_commit()
    finish(bench.executor.execute(commit, session))
    assert session.transaction.outcome.value == "committed"


def _incompatible(*_: object) -> Any:
    raise ConfigurationError("the server reports wire version 2")


def test_a_commit_nobody_answers_is_unknown() -> None:
    bench = Bench([LOST, LOST])
    session = in_transaction(bench)
    session.transaction.commit()
    with pytest.raises(AutoReconnect) as caught:
        finish(bench.executor.execute(make_operation(OperationKind.COMMIT, Target("admin")), session))
    assert caught.value.has_error_label("UnknownTransactionCommitResult")
    assert session.transaction.outcome is Outcome.UNKNOWN


def test_a_commit_of_a_transaction_that_the_server_gave_up_is_aborted() -> None:
    gone = {"ok": 0, "code": 251, "errmsg": "gone", "errorLabels": ["TransientTransactionError"]}
    bench = Bench([reply(gone)])
    session = in_transaction(bench)
    session.transaction.commit()
    with pytest.raises(OperationFailure):
        finish(bench.executor.execute(make_operation(OperationKind.COMMIT, Target("admin")), session))
    assert session.transaction.outcome is Outcome.ABORTED


def test_a_transaction_on_a_mongos_stays_there() -> None:
    bench = Bench([OK, OK], is_mongos=True)
    session = in_transaction(bench, sent=0)
    finish(bench.executor.execute(Insert(TARGET, {"_id": 1}, 1, {}), session))
    assert session.pin == RouterPin(bench.server.address)
    session.transaction.commit()
    finish(bench.executor.execute(make_operation(OperationKind.COMMIT, Target("admin")), session))
    assert session.pin == RouterPin(bench.server.address), "a commit may have to be repeated there"


def test_a_mongos_recovery_token_is_kept_for_the_commit() -> None:
    bench = Bench([reply({"ok": 1, "recoveryToken": {"shard": "a"}}), OK], is_mongos=True)
    session = in_transaction(bench, sent=0)
    finish(bench.executor.execute(Insert(TARGET, {"_id": 1}, 1, {}), session))
    session.transaction.commit()
    finish(bench.executor.execute(make_operation(OperationKind.COMMIT, Target("admin")), session))
    assert bench.transport.commands()[1]["recoveryToken"] == {"shard": "a"}


def test_a_command_that_cannot_be_encoded_leaves_its_transaction_as_it_was() -> None:
    bench = Bench([OK])
    session = in_transaction(bench, sent=0)
    with pytest.raises(bson.errors.InvalidDocument):
        finish(bench.executor.execute(Insert(TARGET, {"_id": object()}, 1, {}), session))
    assert session.transaction.state is TransactionState.STARTING
    assert bench.transport.sent == []
    assert not session.turns.busy
    bench.nothing_is_out()


# --- the wire ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "message",
    [struct.pack("<iiii", 2**31 - 1, 1, 1, 2013) + bytes(20), struct.pack("<iiii", 3, 1, 1, 2013) + bytes(20)],
    ids=["too long", "too short"],
)
def test_a_lie_about_the_length_closes_the_connection_and_is_retried_as_a_network_error(message: bytes) -> None:
    bench = Bench([message, message])
    with pytest.raises(ProtocolError):
        finish(bench.executor.execute(Find(TARGET, {}, {})))
    assert [connection.closed for connection in bench.pool.made] == [True, True]
    bench.nothing_is_out()
