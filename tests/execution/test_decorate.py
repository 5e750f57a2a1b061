"""The fields that sessions, transactions and concerns add to a command: exactly which, and in which order.

Each case names the circumstances (operation kind, session kind, state of the transaction) and the fields that the
command has afterwards, between the command's own fields and ``$db``.
"""

from __future__ import annotations

from typing import Any

import pytest
from bson.int64 import Int64
from bson.timestamp import Timestamp

from tests.execution.fakes import SERVER, begin_transaction, make_handshake, make_operation, make_session
from wiredrv.concerns import ReadConcern, ReadPreference, WriteConcern
from wiredrv.connection.settings import ServerApi
from wiredrv.description import TopologyType
from wiredrv.errors import ConfigurationError, InvalidOperation
from wiredrv.execution.decorate import CommandContext, decorate
from wiredrv.execution.run import Run
from wiredrv.operations.base import OperationKind, Target
from wiredrv.session.options import TransactionOptions
from wiredrv.session.server_session import ServerSession
from wiredrv.session.state import SessionState
from wiredrv.session.transaction import TransactionState

T1, T5, T9 = Timestamp(1, 0), Timestamp(5, 0), Timestamp(9, 0)
CLIENT_TIME = {"clusterTime": T5, "signature": "client"}
MAJORITY = WriteConcern("majority")


def around(
    *, direct: bool = False, api: ServerApi | None = None, cluster_time: Any = None, **handshake: Any
) -> CommandContext:
    topology_type = TopologyType.SINGLE if direct else TopologyType.REPLICA_SET_WITH_PRIMARY
    return CommandContext(make_handshake(**handshake), topology_type, api, cluster_time)


def put_on(run: Run[Any], context: CommandContext | None = None) -> dict[str, Any]:
    """What ``decorate`` added to an empty command, without the fields whose values are always the same."""
    command: dict[str, Any] = {"fake": 1}
    decorate(command, run, context or around())
    assert next(iter(command)) == "fake"
    assert list(command)[-1] == "$db", "the database comes last"
    assert command.pop("$db") == run.operation.target.database
    del command["fake"]
    if "lsid" in command and run.server_session is not None:
        assert command["lsid"] == run.server_session.lsid
        command["lsid"] = "own"
    return command


def implicit(kind: OperationKind, target: Target | None = None, **traits: Any) -> Run[Any]:
    """A run with the implicit session that the executor acquires after checkout."""
    run: Run[Any] = Run(make_operation(kind, target, **traits), None)
    run.server_session = ServerSession(0.0)
    return run


# --- circumstances, and the fields that are added ---------------------------------------------------------------------

#: Session kinds: none at all (unacknowledged), implicit, causal, not causal, snapshot.
#: States: the transaction's, for explicit sessions.
S = TransactionState
IN_TRANSACTION = {"txnNumber": 1, "autocommit": False}
FIRST = {"txnNumber": 1, "startTransaction": True, "autocommit": False}

CASES: list[tuple[OperationKind, str, TransactionState, dict[str, Any]]] = [
    # No session: an unacknowledged write, or a server without sessions.
    (OperationKind.READ, "none", S.NONE, {}),
    (OperationKind.WRITE, "none", S.NONE, {}),
    (OperationKind.COMMAND, "none", S.NONE, {}),
    # Implicit sessions: their id, and nothing else.
    (OperationKind.READ, "implicit", S.NONE, {"lsid": "own"}),
    (OperationKind.WRITE, "implicit", S.NONE, {"lsid": "own"}),
    (OperationKind.COMMAND, "implicit", S.NONE, {"lsid": "own"}),
    (OperationKind.HOUSEKEEPING, "implicit", S.NONE, {"lsid": "own"}),
    # Causally consistent sessions: afterClusterTime on reads and (since 2026) on writes.
    (OperationKind.READ, "causal", S.NONE, {"lsid": "own", "readConcern": {"afterClusterTime": T1}}),
    (OperationKind.WRITE, "causal", S.NONE, {"lsid": "own", "readConcern": {"afterClusterTime": T1}}),
    (OperationKind.COMMAND, "causal", S.NONE, {"lsid": "own"}),
    (OperationKind.HOUSEKEEPING, "causal", S.NONE, {"lsid": "own"}),
    (OperationKind.READ, "causal", S.COMMITTED, {"lsid": "own", "readConcern": {"afterClusterTime": T1}}),
    (OperationKind.READ, "causal", S.ABORTED, {"lsid": "own", "readConcern": {"afterClusterTime": T1}}),
    # The first command of a transaction, of any kind.
    (OperationKind.READ, "causal", S.STARTING, {"lsid": "own", **FIRST, "readConcern": {"afterClusterTime": T1}}),
    (OperationKind.WRITE, "causal", S.STARTING, {"lsid": "own", **FIRST, "readConcern": {"afterClusterTime": T1}}),
    (OperationKind.COMMAND, "causal", S.STARTING, {"lsid": "own", **FIRST, "readConcern": {"afterClusterTime": T1}}),
    # Every later one.
    (OperationKind.READ, "causal", S.IN_PROGRESS, {"lsid": "own", **IN_TRANSACTION}),
    (OperationKind.WRITE, "causal", S.IN_PROGRESS, {"lsid": "own", **IN_TRANSACTION}),
    (OperationKind.COMMAND, "causal", S.IN_PROGRESS, {"lsid": "own", **IN_TRANSACTION}),
    # Ends of a transaction, which is not active any more then.
    (OperationKind.COMMIT, "causal", S.COMMITTED, {"lsid": "own", **IN_TRANSACTION}),
    (OperationKind.ABORT, "causal", S.ABORTED, {"lsid": "own", **IN_TRANSACTION}),
    # Sessions that are not causally consistent.
    (OperationKind.READ, "plain", S.NONE, {"lsid": "own"}),
    (OperationKind.WRITE, "plain", S.NONE, {"lsid": "own"}),
    (OperationKind.READ, "plain", S.STARTING, {"lsid": "own", **FIRST}),
    (OperationKind.READ, "plain", S.IN_PROGRESS, {"lsid": "own", **IN_TRANSACTION}),
    (OperationKind.COMMIT, "plain", S.COMMITTED, {"lsid": "own", **IN_TRANSACTION}),
    # Snapshot sessions.
    (OperationKind.READ, "snapshot", S.NONE, {"lsid": "own", "readConcern": {"level": "snapshot"}}),
    (OperationKind.WRITE, "snapshot", S.NONE, {"lsid": "own", "readConcern": {"level": "snapshot"}}),
    (OperationKind.COMMAND, "snapshot", S.NONE, {"lsid": "own", "readConcern": {"level": "snapshot"}}),
    (OperationKind.HOUSEKEEPING, "snapshot", S.NONE, {"lsid": "own"}),
]


def _run(kind: OperationKind, session_kind: str, state: TransactionState) -> Run[Any]:
    if session_kind == "none":
        return Run(make_operation(kind), None)
    if session_kind == "implicit":
        return implicit(kind)
    options = {"causal": {}, "plain": {"causal_consistency": False}, "snapshot": {"snapshot": True}}[session_kind]
    session = make_session(**options)
    session.operation_time = T1
    _bring_to(session, state)
    return Run(make_operation(kind), session)


def _bring_to(session: SessionState, state: TransactionState) -> None:
    if state is S.NONE:
        return
    begin_transaction(session)
    if state is not S.STARTING:
        session.transaction.command_sent()
    if state is S.COMMITTED:
        session.transaction.commit()
    elif state is S.ABORTED:
        session.transaction.abort()
    assert session.transaction.state is state


@pytest.mark.parametrize(
    "kind, session_kind, state, expected", CASES, ids=[f"{k.value}-{kind}-{s.name}" for k, kind, s, _ in CASES]
)
def test_the_fields_and_their_order(
    kind: OperationKind, session_kind: str, state: TransactionState, expected: dict[str, Any]
) -> None:
    command = put_on(_run(kind, session_kind, state))
    assert command == expected
    assert list(command) == list(expected)


def test_the_whole_order_at_once() -> None:
    session = make_session()
    session.operation_time = T1
    begin_transaction(session, TransactionOptions(read_concern=ReadConcern("snapshot")))
    first = put_on(
        Run(make_operation(OperationKind.WRITE), session), around(cluster_time=CLIENT_TIME, api=ServerApi("1", True))
    )
    assert list(first) == [
        "lsid",
        "txnNumber",
        "startTransaction",
        "autocommit",
        "readConcern",
        "$clusterTime",
        "apiVersion",
        "apiStrict",
    ]
    session.transaction.command_sent()
    session.transaction.learn_recovery_token({"shard": "a"})
    session.transaction.commit()
    commit = make_operation(OperationKind.COMMIT, Target("admin", write_concern=MAJORITY))
    last = put_on(Run(commit, session), around(cluster_time=CLIENT_TIME, api=ServerApi("1", None, True)))
    assert list(last) == [
        "lsid",
        "txnNumber",
        "autocommit",
        "writeConcern",
        "recoveryToken",
        "$clusterTime",
        "apiVersion",
        "apiDeprecationErrors",
    ]


def test_transaction_numbers_are_64_bits_wide() -> None:
    session = make_session()
    begin_transaction(session)
    assert isinstance(put_on(Run(make_operation(OperationKind.WRITE), session))["txnNumber"], Int64)
    run = implicit(OperationKind.WRITE)
    run.txn_number = 3
    command = put_on(run)
    assert (command, type(command["txnNumber"])) == ({"lsid": "own", "txnNumber": 3}, Int64)


def test_decorating_changes_no_state() -> None:
    session = make_session()
    begin_transaction(session)
    run: Run[Any] = Run(make_operation(OperationKind.WRITE), session)
    assert put_on(run) == put_on(run)
    assert session.transaction.state is S.STARTING


# --- concerns ---------------------------------------------------------------------------------------------------------


def test_an_operations_read_concern_goes_out_where_the_command_takes_one() -> None:
    target = Target("db", read_concern=ReadConcern("majority"))
    assert put_on(implicit(OperationKind.READ, target))["readConcern"] == {"level": "majority"}
    assert "readConcern" not in put_on(implicit(OperationKind.READ, target, accepts_read_concern=False))
    assert "readConcern" not in put_on(implicit(OperationKind.WRITE, target))


def test_read_concern_and_after_cluster_time_are_one_document() -> None:
    session = make_session()
    session.operation_time = T1
    target = Target("db", read_concern=ReadConcern("majority"))
    assert put_on(Run(make_operation(OperationKind.READ, target), session))["readConcern"] == {
        "level": "majority",
        "afterClusterTime": T1,
    }


def test_the_shared_read_concern_is_never_written_to() -> None:
    concern = ReadConcern("majority")
    session = make_session()
    session.operation_time = T1
    put_on(Run(make_operation(OperationKind.READ, Target("db", read_concern=concern)), session))
    assert concern.document == {"level": "majority"}


def test_no_after_cluster_time_before_the_first_operation_nor_without_session_support() -> None:
    session = make_session()
    assert "readConcern" not in put_on(Run(make_operation(OperationKind.READ), session))
    session.operation_time = T1
    assert "readConcern" not in put_on(
        Run(make_operation(OperationKind.READ), session), around(supports_sessions=False)
    )


def test_a_transactions_read_concern_replaces_the_operations_own_and_goes_out_once() -> None:
    session = make_session(causal_consistency=False)
    begin_transaction(session, TransactionOptions(read_concern=ReadConcern("snapshot")))
    target = Target("db", read_concern=ReadConcern("majority"))
    run: Run[Any] = Run(make_operation(OperationKind.READ, target), session)
    assert put_on(run)["readConcern"] == {"level": "snapshot"}
    session.transaction.command_sent()
    assert "readConcern" not in put_on(Run(make_operation(OperationKind.READ, target), session))


def test_write_concerns_go_out_but_not_inside_transactions() -> None:
    target = Target("db", write_concern=MAJORITY)
    assert put_on(implicit(OperationKind.WRITE, target))["writeConcern"] == {"w": "majority"}
    assert "writeConcern" not in put_on(implicit(OperationKind.READ, target))
    session = make_session()
    begin_transaction(session)
    assert "writeConcern" not in put_on(Run(make_operation(OperationKind.WRITE, target), session))


def test_an_unacknowledged_write_has_its_write_concern_and_no_session() -> None:
    run: Run[Any] = Run(make_operation(OperationKind.WRITE, Target("db", write_concern=WriteConcern(w=0))), None)
    assert not run.acknowledged
    assert put_on(run) == {"writeConcern": {"w": 0}}


# --- commit and abort (transactions specification, "Retrying commitTransaction") -------------------------------------


def _ending(kind: OperationKind, concern: WriteConcern, attempted: bool) -> dict[str, Any]:
    session = make_session()
    begin_transaction(session)
    session.transaction.command_sent()
    if kind is OperationKind.COMMIT:
        session.transaction.commit()
    else:
        session.transaction.abort()
    session.transaction.commit_attempted = attempted
    return put_on(Run(make_operation(kind, Target("admin", write_concern=concern)), session))


@pytest.mark.parametrize(
    "concern, attempted, expected",
    [
        (WriteConcern(), False, None),
        (WriteConcern(w=1), False, {"w": 1}),
        (WriteConcern(), True, {"w": "majority", "wtimeout": 10_000}),
        (WriteConcern(w=1), True, {"w": "majority", "wtimeout": 10_000}),
        (WriteConcern(w=1, wtimeout=200), True, {"w": "majority", "wtimeout": 200}),
        (WriteConcern(w=3, j=True), True, {"w": "majority", "wtimeout": 10_000, "j": True}),
        (WriteConcern("majority", wtimeout=5000), False, {"w": "majority", "wtimeout": 5000}),
    ],
)
def test_a_repeated_commit_asks_for_a_majority(
    concern: WriteConcern, attempted: bool, expected: dict[str, Any] | None
) -> None:
    assert _ending(OperationKind.COMMIT, concern, attempted).get("writeConcern") == expected


def test_an_abort_keeps_its_write_concern() -> None:
    assert _ending(OperationKind.ABORT, WriteConcern(w=1), True)["writeConcern"] == {"w": 1}


@pytest.mark.parametrize("kind", [OperationKind.COMMIT, OperationKind.ABORT], ids=lambda kind: kind.value)
def test_the_recovery_token_goes_out_with_commit_and_abort_only(kind: OperationKind) -> None:
    session = make_session()
    begin_transaction(session)
    session.transaction.command_sent()
    session.transaction.learn_recovery_token({"shard": "a"})
    assert "recoveryToken" not in put_on(Run(make_operation(OperationKind.WRITE), session))
    if kind is OperationKind.COMMIT:
        session.transaction.commit()
    else:
        session.transaction.abort()
    assert put_on(Run(make_operation(kind), session))["recoveryToken"] == {"shard": "a"}


# --- snapshots (snapshot-sessions specification) ----------------------------------------------------------------------


def test_the_first_read_asks_for_a_snapshot_and_later_ones_for_the_same() -> None:
    session = make_session(snapshot=True)
    run: Run[Any] = Run(make_operation(OperationKind.READ), session)
    assert put_on(run)["readConcern"] == {"level": "snapshot"}
    session.snapshot_time = T5
    assert put_on(run)["readConcern"] == {"level": "snapshot", "atClusterTime": T5}


def test_a_given_snapshot_time_is_asked_for_from_the_first_read_on() -> None:
    session = make_session(snapshot=True, snapshot_time=T9)
    assert put_on(Run(make_operation(OperationKind.READ), session))["readConcern"] == {
        "level": "snapshot",
        "atClusterTime": T9,
    }


def test_a_snapshot_replaces_the_operations_read_concern_and_knows_no_causality() -> None:
    session = make_session(snapshot=True)
    session.operation_time = T1
    target = Target("db", read_concern=ReadConcern("local"))
    assert put_on(Run(make_operation(OperationKind.READ, target), session))["readConcern"] == {"level": "snapshot"}


def test_a_get_more_reads_on_in_its_cursors_snapshot() -> None:
    session = make_session(snapshot=True, snapshot_time=T9)
    get_more = make_operation(OperationKind.READ, opens_cursor=True, server=SERVER)
    assert put_on(Run(get_more, session)) == {"lsid": "own"}


@pytest.mark.parametrize("wire_version, works", [(12, False), (13, True)])
def test_snapshot_reads_need_server_5_0(wire_version: int, works: bool) -> None:
    run: Run[Any] = Run(make_operation(OperationKind.READ), make_session(snapshot=True))
    if works:
        assert "readConcern" in put_on(run, around(wire_version=wire_version))
        return
    with pytest.raises(ConfigurationError, match=r"5\.0"):
        put_on(run, around(wire_version=wire_version))


# --- gossip, read preference, Stable API ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "client, session, expected", [(T5, None, T5), (None, T1, T1), (T5, T1, T5), (T5, T9, T9), (None, None, None)]
)
def test_the_later_cluster_time_of_client_and_session_goes_out(client: Any, session: Any, expected: Any) -> None:
    state = make_session()
    state.cluster_time = {"clusterTime": session} if session else None
    context = around(cluster_time={"clusterTime": client} if client else None)
    sent = put_on(Run(make_operation(OperationKind.READ), state), context).get("$clusterTime")
    assert sent == ({"clusterTime": expected} if expected else None)


NEAREST = ReadPreference("nearest")
PREFERENCES: list[tuple[str, OperationKind, ReadPreference, dict[str, Any], bool, str | None]] = [
    # which, kind, preference, server, direct, the mode that is sent
    ("a member, primary", OperationKind.READ, ReadPreference.PRIMARY, {}, False, None),
    ("a member, nearest", OperationKind.READ, NEAREST, {}, False, "nearest"),
    ("a member, command", OperationKind.COMMAND, NEAREST, {}, False, "nearest"),
    ("a member, write", OperationKind.WRITE, NEAREST, {}, False, None),
    ("a member alone, primary", OperationKind.READ, ReadPreference.PRIMARY, {}, True, "primaryPreferred"),
    ("a member alone, command", OperationKind.COMMAND, ReadPreference.PRIMARY, {}, True, "primaryPreferred"),
    ("a member alone, nearest", OperationKind.READ, NEAREST, {}, True, "nearest"),
    ("a member alone, write", OperationKind.WRITE, ReadPreference.PRIMARY, {}, True, None),
    ("a standalone, primary", OperationKind.READ, ReadPreference.PRIMARY, {"is_standalone": True}, True, None),
    ("a standalone, nearest", OperationKind.READ, NEAREST, {"is_standalone": True}, True, None),
    ("a mongos, primary", OperationKind.READ, ReadPreference.PRIMARY, {"is_mongos": True}, False, None),
    ("a mongos, nearest", OperationKind.READ, NEAREST, {"is_mongos": True}, False, "nearest"),
    ("a mongos alone, primary", OperationKind.READ, ReadPreference.PRIMARY, {"is_mongos": True}, True, None),
]


@pytest.mark.parametrize(
    "kind, preference, server, direct, mode", [case[1:] for case in PREFERENCES], ids=[case[0] for case in PREFERENCES]
)
def test_read_preferences_go_out_where_the_server_needs_them(
    kind: OperationKind, preference: ReadPreference, server: dict[str, Any], direct: bool, mode: str | None
) -> None:
    run = implicit(kind, Target("db", read_preference=preference))
    sent = put_on(run, around(direct=direct, **server)).get("$readPreference")
    assert sent == ({"mode": mode} if mode else None)


def test_a_cursors_own_server_needs_no_read_preference() -> None:
    run = implicit(OperationKind.READ, Target("db", read_preference=NEAREST), server=SERVER)
    assert "$readPreference" not in put_on(run)


def test_no_read_preference_inside_a_transaction() -> None:
    session = make_session()
    begin_transaction(session)
    run: Run[Any] = Run(make_operation(OperationKind.READ), session)
    assert "$readPreference" not in put_on(run, around(direct=True))


@pytest.mark.parametrize("kind", OperationKind, ids=lambda kind: kind.value)
def test_the_stable_api_version_is_on_every_command(kind: OperationKind) -> None:
    session = make_session()
    begin_transaction(session)
    session.transaction.command_sent()
    command = put_on(Run(make_operation(kind), session), around(api=ServerApi("1", strict=True)))
    assert (command["apiVersion"], command["apiStrict"]) == ("1", True)
    assert "apiDeprecationErrors" not in command


def test_a_transaction_on_a_standalone_is_refused_before_it_is_sent_and_says_what_to_do() -> None:
    session = make_session()
    begin_transaction(session)
    with pytest.raises(InvalidOperation, match="wiredrv local up"):
        put_on(Run(make_operation(OperationKind.WRITE), session), around(is_standalone=True))
    assert session.transaction.state is S.STARTING
