"""Where an operation goes and what is sent there, according to the specifications' prose. On a tape.

Retries that select another server or none, transactions under overload, aggregations that write, and what counts as an
operation of a server.
"""

from __future__ import annotations

from typing import Any

import pytest
from bson.timestamp import Timestamp

from tests.execution.fakes import begin_transaction, make_operation
from tests.execution.replay import Bench, finish, reply
from wiredrv.concerns import ReadPreference, WriteConcern
from wiredrv.errors import (
    AutoReconnect,
    BulkWriteError,
    ConfigurationError,
    DriverError,
    NotPrimaryError,
    OperationFailure,
    ServerSelectionTimeoutError,
    WaitQueueTimeoutError,
    WriteConcernError,
)
from wiredrv.execution.pins import RouterPin
from wiredrv.execution.settings import ExecutionSettings
from wiredrv.operations.aggregate import Aggregate
from wiredrv.operations.base import OperationKind, Target
from wiredrv.operations.find import Find
from wiredrv.operations.insert import Insert
from wiredrv.operations.update import Update
from wiredrv.operations.write_batch import StatementGroup, WriteBatch
from wiredrv.session.options import SessionOptions
from wiredrv.session.state import SessionState
from wiredrv.types import Limits
from wiredrv.wire.op_msg import decode_message

TARGET = Target("db", "c")
OK = reply({"ok": 1, "n": 1})
EMPTY = reply({"ok": 1, "cursor": {"id": 0, "ns": "db.c", "firstBatch": []}})
LOST = b""  # the connection is closed instead of a reply
SHED = reply({"ok": 0, "code": 462, "errmsg": "busy", "errorLabels": ["SystemOverloadedError", "RetryableError"]})
NO_WRITES = reply({"ok": 0, "code": 91, "errmsg": "down", "errorLabels": ["RetryableWriteError", "NoWritesPerformed"]})
OVERLOAD = ("SystemOverloadedError", "RetryableError")
WITHOUT_RETRYABLE_WRITES = pytest.mark.parametrize("then", [{"supports_sessions": False}, {"is_standalone": True}])


def insert() -> Insert:
    return Insert(TARGET, {"_id": 1}, 1, {})


def explicit(bench: Bench, **options: Any) -> SessionState:
    return SessionState(SessionOptions(**options), bench.executor.acquire(), bench.executor)


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    async def sleep(seconds: float = 0) -> None:
        """Overload's backoffs take no time here; neither does the checkpoint of an unacknowledged write."""

    monkeypatch.setattr("wiredrv.execution.executor.waits.sleep", sleep)
    monkeypatch.setattr("wiredrv.execution.exchange.waits.checkpoint", sleep)


def refusing(bench: Bench, *errors: Exception | None) -> None:
    """Make the next check-outs fail with these errors; None: that one succeeds."""
    check_out, coming = bench.pool.check_out, list(errors)

    async def refuse(deadline: float | None = None) -> Any:
        error = coming.pop(0) if coming else None
        if error is not None:
            raise error
        return await check_out(deadline)

    bench.pool.check_out = refuse  # type: ignore[method-assign]  # the tape has no failing connections


# --- servers without sessions, without retryable writes ---------------------------------------------------------------


@WITHOUT_RETRYABLE_WRITES
def test_a_numbered_write_is_never_sent_to_a_server_without_retryable_writes(then: dict[str, Any]) -> None:
    """Retryable writes, "Executing Retryable Write Commands": the error of the attempt before is raised."""
    bench = Bench([LOST, OK], then=then)
    with pytest.raises(AutoReconnect):
        finish(bench.executor.execute(insert()))
    (command,) = bench.transport.commands()
    assert command["txnNumber"] == 1
    bench.nothing_is_out()


@WITHOUT_RETRYABLE_WRITES
def test_neither_is_one_whose_connection_could_not_be_made(then: dict[str, Any]) -> None:
    bench = Bench([OK], **then)
    refusing(bench, AutoReconnect("refused"))
    with pytest.raises(AutoReconnect, match="refused"):
        finish(bench.executor.execute(insert()))
    assert bench.transport.sent == []
    bench.nothing_is_out()


@WITHOUT_RETRYABLE_WRITES
def test_after_nothing_but_overload_a_write_may_go_there_without_a_number(then: dict[str, Any]) -> None:
    """Client backpressure, "Overload retry policy": regardless of what the server supports."""
    bench = Bench([SHED, OK], **then)
    finish(bench.executor.execute(insert()))
    assert all("txnNumber" not in command for command in bench.transport.commands())
    assert len(bench.transport.sent) == 2


@WITHOUT_RETRYABLE_WRITES
def test_a_number_that_was_used_is_not_lost_by_overload_between(then: dict[str, Any]) -> None:
    bench = Bench([LOST, SHED, OK], then={})
    made = bench.pool.check_out

    async def change(deadline: float | None = None) -> Any:
        if len(bench.pool.made) == 2:
            bench.pool._then = then
        return await made(deadline)

    bench.pool.check_out = change  # type: ignore[method-assign]  # only the third server is another one
    with pytest.raises((AutoReconnect, OperationFailure)):
        finish(bench.executor.execute(insert()))
    assert len(bench.transport.sent) == 2


def test_an_implicit_session_is_not_sent_to_a_server_without_sessions() -> None:
    bench = Bench([LOST, EMPTY], then={"supports_sessions": False})
    finish(bench.executor.execute(Find(TARGET, {}, {})))
    first, second = bench.transport.commands()
    assert "lsid" in first
    assert "lsid" not in second


def test_an_update_of_many_is_sent_again_after_overload_without_session_where_there_are_none() -> None:
    bench = Bench([SHED, OK], then={"supports_sessions": False})
    update = Update(TARGET, {"q": {}, "u": {"$set": {"x": 1}}, "multi": True}, {})
    finish(bench.executor.execute(update))
    assert ["lsid" in command for command in bench.transport.commands()] == [True, False]


def test_an_explicit_session_where_there_are_none_hides_no_earlier_error() -> None:
    """Retryable reads, 3b: an error while building the retry's command is not the one to raise."""
    bench = Bench([LOST, EMPTY], then={"supports_sessions": False})
    with pytest.raises(AutoReconnect):
        finish(bench.executor.execute(Find(TARGET, {}, {}), explicit(bench)))
    assert len(bench.transport.sent) == 1


def test_snapshot_reads_that_an_older_server_lacks_hide_no_earlier_error() -> None:
    bench = Bench([LOST, EMPTY], then={"wire_version": 9})
    with pytest.raises(AutoReconnect):
        finish(bench.executor.execute(Find(TARGET, {}, {}), explicit(bench, snapshot=True)))
    assert len(bench.transport.sent) == 1


# --- too large for the new server ---


def test_a_command_that_is_too_large_for_the_retrys_server_hides_no_earlier_error() -> None:
    bench = Bench([LOST, OK], then={"limits": Limits(17, 100, 48_000_000, 100_000)})
    with pytest.raises(AutoReconnect):
        finish(bench.executor.execute(Insert(TARGET, {"_id": 1, "x": "x" * 20_000}, 1, {})))
    assert len(bench.transport.sent) == 1


@pytest.mark.parametrize("narrower", [Limits(17, 16_777_216, 48_000_000, 2), Limits(17, 16_777_216, 17_000, 100_000)])
def test_a_batch_is_not_sent_again_in_smaller_pieces(narrower: Limits) -> None:
    """What the first attempt wrote of the rest would be written again under the next transaction number."""
    bench = Bench([LOST, OK], then={"limits": narrower})
    bodies = [{"_id": number, "x": "x" * 200} for number in range(5)]
    batch = WriteBatch(TARGET, StatementGroup("insert", bodies, range(5)), 0, True, {})
    with pytest.raises(AutoReconnect):
        finish(bench.executor.execute(batch))
    assert len(bench.transport.sent) == 1
    assert batch.taken == 5


def test_a_batch_that_fits_there_too_is_sent_again() -> None:
    bench = Bench([LOST, OK], then={"limits": Limits(17, 16_777_216, 1_000_000, 5)})
    bodies = [{"_id": number} for number in range(5)]
    finish(bench.executor.execute(WriteBatch(TARGET, StatementGroup("insert", bodies, range(5)), 0, True, {})))
    assert len(bench.transport.sent) == 2


# --- write concern errors ---------------------------------------------------------------------------------------------


def concern_error(version: Any = None, **more: Any) -> bytes:
    document: dict[str, Any] = {
        "ok": 1,
        "n": 2,
        "writeConcernError": {"code": 91, "errmsg": "shutting down"},
        "errorLabels": ["RetryableWriteError"],
        **more,
    }
    return reply(document | ({"topologyVersion": version} if version is not None else {}))


def test_a_bulk_whose_retry_writes_nothing_fails_with_what_was_written() -> None:
    bench = Bench([concern_error(), NO_WRITES])
    batch = WriteBatch(TARGET, StatementGroup("insert", [{"_id": 1}, {"_id": 2}], (0, 1)), 0, True, {})
    with pytest.raises(BulkWriteError) as caught:
        finish(bench.executor.execute(batch))
    assert caught.value.details is not None
    assert caught.value.details["n"] == 2
    assert [error["code"] for error in caught.value.details["writeConcernErrors"]] == [91]
    assert len(bench.transport.sent) == 2


def test_one_write_whose_retry_writes_nothing_fails_with_its_concern_error() -> None:
    bench = Bench([concern_error(), NO_WRITES])
    with pytest.raises(WriteConcernError) as caught:
        finish(bench.executor.execute(insert()))
    assert caught.value.has_error_label("RetryableWriteError")


@pytest.mark.parametrize("retry_writes", [True, False])
def test_the_topology_hears_of_a_concern_error_once_with_the_replys_version(retry_writes: bool) -> None:
    """SDAM, "isStaleError": the topologyVersion comes from the command's response."""
    version = {"processId": "p", "counter": 7}
    bench = Bench([concern_error(version), OK], ExecutionSettings(retry_writes=retry_writes))
    try:
        finish(bench.executor.execute(insert()))
    except WriteConcernError:
        assert not retry_writes
    (error,) = bench.topology.errors
    assert isinstance(error, NotPrimaryError)
    assert (error.code, error.details["topologyVersion"]) == (91, version)


def test_a_concern_error_that_says_nothing_of_the_server_is_not_told() -> None:
    bench = Bench([concern_error(writeConcernError={"code": 64, "errmsg": "slow"}, errorLabels=[])])
    with pytest.raises(WriteConcernError):
        finish(bench.executor.execute(insert()))
    assert bench.topology.errors == []


# --- in a transaction -------------------------------------------------------------------------------------------------


def in_transaction(bench: Bench) -> SessionState:
    """A session whose transaction has started on a router."""
    session = explicit(bench)
    begin_transaction(session)
    finish(bench.executor.execute(insert(), session))
    assert session.pin == RouterPin(bench.server.address)
    return session


def unmade() -> AutoReconnect:
    return AutoReconnect("no room for another connection", error_labels=OVERLOAD)


def test_a_statement_that_is_tried_again_under_overload_stays_on_its_router() -> None:
    bench = Bench([OK, OK], is_mongos=True)
    session = in_transaction(bench)
    pins: list[object] = []
    server = bench.topology.server

    def look_up(address: Any) -> Any:
        pins.append(session.pin)
        return server(address)

    bench.topology.server = look_up  # type: ignore[method-assign]  # called for what is pinned alone
    refusing(bench, unmade())
    finish(bench.executor.execute(insert(), session))
    assert pins == [RouterPin(bench.server.address)] * 2
    assert session.pin == RouterPin(bench.server.address)
    assert [command.get("startTransaction") for command in bench.transport.commands()] == [True, None]


def test_a_shed_statement_stays_pinned_even_if_the_server_calls_it_transient() -> None:
    labels = [*OVERLOAD, "TransientTransactionError"]
    bench = Bench([OK, reply({"ok": 0, "code": 462, "errmsg": "busy", "errorLabels": labels}), OK], is_mongos=True)
    session = in_transaction(bench)
    finish(bench.executor.execute(insert(), session))
    assert session.pin == RouterPin(bench.server.address)


def test_a_statement_that_is_given_up_lets_its_router_go_if_its_error_is_transient() -> None:
    bench = Bench([OK], is_mongos=True)
    session = in_transaction(bench)
    refusing(bench, unmade(), unmade(), unmade())
    with pytest.raises(AutoReconnect) as caught:
        finish(bench.executor.execute(insert(), session))
    assert caught.value.has_error_label("TransientTransactionError")
    assert session.pin is None


def test_it_stays_pinned_while_the_error_that_is_shown_leaves_the_transaction_open() -> None:
    """Otherwise the abort would go to another router, which does not know the transaction."""
    bench = Bench([OK, SHED], is_mongos=True)
    session = in_transaction(bench)
    refusing(bench, None, unmade(), unmade())
    with pytest.raises(OperationFailure) as caught:
        finish(bench.executor.execute(insert(), session))
    assert not caught.value.has_error_label("TransientTransactionError")
    assert caught.value.transaction is not None, "the error that is shown tells of the transaction"
    assert session.pin == RouterPin(bench.server.address)


# --- labels, and what is reported to whom -----------------------------------------------------------------------------


@pytest.mark.parametrize("error", [ServerSelectionTimeoutError("none"), WaitQueueTimeoutError("none")])
def test_a_write_that_got_no_server_or_connection_is_not_labelled_and_not_tried_again(error: Any) -> None:
    bench = Bench([OK])
    refusing(bench, error)
    with pytest.raises(type(error)) as caught:
        finish(bench.executor.execute(insert()))
    assert not caught.value.has_error_label("RetryableWriteError")
    assert bench.transport.sent == []


@pytest.mark.parametrize("standalone", [True, False])
def test_a_standalone_gets_no_cluster_time_to_wait_for(standalone: bool) -> None:
    """Causal consistency: "All operations against a standalone node are causally consistent automatically"."""
    bench = Bench([EMPTY], is_standalone=standalone)
    session = explicit(bench)
    session.advance_operation_time(Timestamp(7, 0))
    finish(bench.executor.execute(Find(TARGET, {}, {}), session))
    assert ("readConcern" in bench.transport.commands()[0]) is not standalone


# --- operationCount ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tape", [[OK], [LOST], [SHED], [reply({"ok": 1, "writeErrors": [{}]})], [b"nonsense"]])
def test_an_operation_counts_from_its_selection_to_its_end(tape: list[bytes]) -> None:
    """Server selection, "operationCount": also while it waits for a connection, and however it ends."""
    bench = Bench(tape, ExecutionSettings(retry_writes=False))
    check_out = bench.pool.check_out
    counted: list[int] = []

    async def count(deadline: float | None = None) -> Any:
        counted.append(bench.server.operations)
        return await check_out(deadline)

    bench.pool.check_out = count  # type: ignore[method-assign]  # to look while it waits
    try:
        finish(bench.executor.execute(insert()))
    except DriverError:
        pass
    assert set(counted) == {1}
    bench.nothing_is_out()


@pytest.mark.parametrize("error", [AutoReconnect("refused"), WaitQueueTimeoutError("none"), RuntimeError("a defect")])
def test_one_that_gets_no_connection_counts_no_longer(error: Exception) -> None:
    bench = Bench([], ExecutionSettings(retry_writes=False))
    refusing(bench, error)
    with pytest.raises(type(error)):
        finish(bench.executor.execute(insert()))
    bench.nothing_is_out()


def test_a_commit_counts_like_any_other() -> None:
    bench = Bench([OK, OK], is_mongos=True)
    session = in_transaction(bench)
    session.transaction.commit()
    finish(bench.executor.execute(make_operation(OperationKind.COMMIT, Target("admin")), session))
    bench.nothing_is_out()


def test_an_explicit_session_on_a_server_without_sessions_is_still_refused_at_once() -> None:
    bench = Bench([EMPTY], supports_sessions=False)
    with pytest.raises(ConfigurationError, match="not supported"):
        finish(bench.executor.execute(Find(TARGET, {}, {}), explicit(bench)))


# --- aggregations that write ------------------------------------------------------------------------------------------

OUT: list[dict[str, Any]] = [{"$match": {}}, {"$out": "there"}]
SECONDARY = Target("db", "c", read_preference=ReadPreference.SECONDARY)


@pytest.mark.parametrize(
    ("oldest", "sent"), [(12, None), (13, {"mode": "secondary"})], ids=["before 5.0", "5.0 and later"]
)
@pytest.mark.parametrize("waits", [False, True])
def test_the_read_preference_that_is_sent_is_the_one_that_selected(
    oldest: int, sent: dict[str, str] | None, waits: bool
) -> None:
    """CRUD, "Read preferences and server selection" of pipelines with write stages."""
    bench = Bench([EMPTY], is_mongos=True)
    topology = bench.topology
    asked: list[object] = []
    pick, select = topology.pick, topology.select
    if not waits:
        topology.oldest_wire_version = oldest

    def known(read_preference: object) -> Any:
        asked.append(read_preference)
        return None if waits else pick(read_preference)

    async def found(read_preference: object, *arguments: Any) -> Any:
        asked.append(read_preference)
        topology.oldest_wire_version = oldest  # the servers are known from here on
        return await select(read_preference, *arguments)

    topology.pick, topology.select = known, found  # type: ignore[method-assign]  # to see what is asked for
    finish(bench.executor.execute(Aggregate(SECONDARY, OUT, {})))
    assert asked[-1] == (ReadPreference.PRIMARY if sent is None else ReadPreference.SECONDARY)
    assert bench.transport.commands()[0].get("$readPreference") == sent


def test_a_pipeline_that_only_reads_goes_where_its_preference_says_whatever_the_servers() -> None:
    bench = Bench([EMPTY], is_mongos=True)
    bench.topology.oldest_wire_version = 12
    finish(bench.executor.execute(Aggregate(SECONDARY, OUT[:1], {})))
    assert bench.transport.commands()[0]["$readPreference"] == {"mode": "secondary"}


@pytest.mark.parametrize("stage", [{"$out": "there"}, {"$merge": {"into": "there"}}])
def test_an_aggregate_that_writes_unacknowledged_has_no_session(stage: dict[str, Any]) -> None:
    """Sessions, "When using unacknowledged writes"; OP_MSG, "moreToCome"."""
    bench = Bench([])
    aggregate = Aggregate(Target("db", "c", write_concern=WriteConcern(w=0)), [stage], {})
    assert finish(bench.executor.execute(aggregate)).batch == []
    (command,) = bench.transport.commands()
    assert "lsid" not in command
    assert command["writeConcern"] == {"w": 0}
    assert decode_message(bench.transport.sent[0]).more_to_come
    with pytest.raises(ConfigurationError, match="w=0"):
        finish(bench.executor.execute(aggregate, explicit(bench)))
    assert len(bench.transport.sent) == 1
    bench.nothing_is_out()


def test_an_aggregate_that_reads_has_its_session_whatever_the_write_concern() -> None:
    bench = Bench([EMPTY])
    finish(bench.executor.execute(Aggregate(Target("db", "c", write_concern=WriteConcern(w=0)), OUT[:1], {})))
    (command,) = bench.transport.commands()
    assert "lsid" in command
    assert "writeConcern" not in command
