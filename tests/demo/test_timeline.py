"""The demo's timeline: what is recorded of a command, how it is shown, and which commands are chosen to be shown."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any
from uuid import UUID

import pytest
from bson.binary import Binary
from bson.objectid import ObjectId
from bson.timestamp import Timestamp

from demo.excerpts import (
    Excerpt,
    across_failover,
    causal_read,
    conflict_and_retry,
    lives,
    snapshot_reads,
    unanswered_commits,
)
from demo.show import Show
from demo.timeline import Entry, Recorder, lines, timestamp_text
from wiredrv.description import ServerDescription, ServerType, TopologyDescription, TopologyType
from wiredrv.errors import AutoReconnect, OperationFailure
from wiredrv.events import (
    CommandFailedEvent,
    CommandStartedEvent,
    CommandSucceededEvent,
    TopologyDescriptionChangedEvent,
)
from wiredrv.listeners import ListenerHub
from wiredrv.server_facts import ErrorCode
from wiredrv.types import Address

HERE = Address("127.0.0.1", 27001)
LSID = {"id": Binary.from_uuid(UUID("a1b2c3d4-0000-0000-0000-000000000000"))}
NINE = Timestamp(9 * 3600, 7)
TEN = Timestamp(10 * 3600, 1)


# --- the recorder ---------------------------------------------------------------------------------------------------


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def tell(recorder: Recorder, *events: object) -> None:
    """Publish events like a client."""
    hub = ListenerHub([recorder])
    for event in events:
        hub.publish(hub.command if "Command" in type(event).__name__ else hub.topology, event)


def started(command: dict[str, Any], number: int = 1) -> CommandStartedEvent:
    return CommandStartedEvent(next(iter(command)), "shop", number, number, HERE, 1, command=command)


def succeeded(reply: dict[str, Any], number: int = 1) -> CommandSucceededEvent:
    return CommandSucceededEvent("x", "shop", number, number, HERE, 1, reply=reply, duration=0.0042)


def failed(error: BaseException, number: int = 1) -> CommandFailedEvent:
    return CommandFailedEvent("x", "shop", number, number, HERE, 1, failure=error, duration=0.5)


def roles(server_type: ServerType) -> TopologyDescriptionChangedEvent:
    description = TopologyDescription(
        TopologyType.REPLICA_SET_WITH_PRIMARY, {HERE: ServerDescription(HERE, server_type)}
    )
    return TopologyDescriptionChangedEvent(ObjectId(), TopologyDescription(), description)


def recorded(command: dict[str, Any], *events: object) -> Entry:
    clock = Clock()
    recorder = Recorder(clock)
    clock.now += 1.5
    tell(recorder, roles(ServerType.RS_PRIMARY), started(command), *events)
    (entry,) = recorder.entries
    return entry


def test_a_command_is_kept_with_its_session_transaction_times_and_server() -> None:
    command = {
        "update": "accounts",
        "lsid": LSID,
        "txnNumber": 4,
        "startTransaction": True,
        "autocommit": False,
        "readConcern": {"level": "snapshot", "afterClusterTime": NINE},
    }
    entry = recorded(command, succeeded({"ok": 1, "$clusterTime": {"clusterTime": TEN}}))
    assert entry == Entry(
        at=1.5,
        name="update",
        collection="accounts",
        session="a1b2c3",
        txn_number=4,
        starts_transaction=True,
        in_transaction=True,
        after=NINE,
        snapshot=True,
        snapshot_time=None,
        cluster_time=TEN,
        address=HERE,
        role="primary",
        duration=0.0042,
    )


def test_a_snapshot_read_is_kept_with_its_time() -> None:
    command = {"find": "a", "readConcern": {"level": "snapshot", "atClusterTime": NINE}}
    entry = recorded(command, succeeded({"ok": 1}))
    assert (entry.snapshot, entry.snapshot_time, entry.in_transaction, entry.session) == (True, NINE, False, "")


def test_a_get_more_is_kept_with_its_collection() -> None:
    assert recorded({"getMore": 77, "collection": "a"}, succeeded({"ok": 1})).collection == "a"


def test_a_command_without_a_collection_has_none() -> None:
    assert recorded({"commitTransaction": 1}, succeeded({"ok": 1})).collection is None


@pytest.mark.parametrize(
    "error, failure, code, unanswered",
    [
        (OperationFailure("busy", 112, {"codeName": "WriteConflict"}), "WriteConflict", 112, False),
        (OperationFailure("busy", 112, {}), "code 112", 112, False),
        (AutoReconnect("gone"), "no answer", None, True),
    ],
)
def test_a_failure_is_kept_with_its_reason(
    error: BaseException, failure: str, code: int | None, unanswered: bool
) -> None:
    entry = recorded({"ping": 1}, failed(error))
    assert (entry.failure, entry.code, entry.unanswered, entry.duration) == (failure, code, unanswered, 0.5)


def test_the_role_is_the_one_at_the_time_of_sending() -> None:
    recorder = Recorder()
    tell(recorder, started({"ping": 1}), succeeded({"ok": 1}))
    tell(recorder, roles(ServerType.RS_SECONDARY), started({"ping": 1}), roles(ServerType.RS_PRIMARY))
    tell(recorder, succeeded({"ok": 1}))
    assert [entry.role for entry in recorder.entries] == ["unknown", "secondary"]


def test_the_mark_divides_what_was_from_what_comes() -> None:
    recorder = Recorder()
    tell(recorder, started({"ping": 1}), succeeded({"ok": 1}))
    mark = recorder.mark
    tell(recorder, started({"hello": 1}, 2), succeeded({"ok": 1}, 2))
    assert [entry.name for entry in recorder.entries[mark:]] == ["hello"]


# --- lines ----------------------------------------------------------------------------------------------------------


def entry(at: float, name: str, session: str = "aaaaaa", **changes: Any) -> Entry:
    plain = Entry(at, name, None, session, None, False, False, None, False, None, TEN, HERE, "primary", 0.001)
    return plain._replace(**changes)


def test_a_timestamp_is_a_time_of_day_and_a_number() -> None:
    assert timestamp_text(NINE) == "09:00:00/7"
    assert timestamp_text(None) == "-"


TOLD = [
    entry(5.0, "update", collection="accounts", txn_number=12, starts_transaction=True, after=NINE),
    entry(5.0125, "commitTransaction", txn_number=12, failure="no answer"),
]


def test_entries_are_aligned_lines() -> None:
    assert lines(TOLD) == [
        "at ms  session  txn  command            cluster time  server          ms  remarks",
        "  0.0  aaaaaa    12  update accounts    10:00:00/1    primary 27001  1.0  ok, startTransaction, "
        "afterClusterTime 09:00:00/7",
        " 12.5  aaaaaa    12  commitTransaction  10:00:00/1    primary 27001  1.0  failed: no answer",
    ]


def test_where_lines_would_be_too_long_remarks_stand_below() -> None:
    narrow = lines([*TOLD, entry(5.02, "find")], 78)
    assert narrow == [
        "at ms session txn command           cluster time server         ms",
        "  0.0 aaaaaa   12 update accounts   10:00:00/1   primary 27001 1.0",
        "      ok, startTransaction, afterClusterTime 09:00:00/7",
        " 12.5 aaaaaa   12 commitTransaction 10:00:00/1   primary 27001 1.0",
        "      failed: no answer",
        " 20.0 aaaaaa    - find              10:00:00/1   primary 27001 1.0",
    ]


@pytest.mark.parametrize(
    "changes, remark",
    [
        ({"snapshot": True, "snapshot_time": NINE}, "ok, atClusterTime 09:00:00/7"),
        ({"snapshot": True}, "ok, snapshot, of a time that the server picks"),
        ({"snapshot": True, "in_transaction": True}, "ok"),
    ],
)
def test_snapshot_reads_say_their_time(changes: dict[str, Any], remark: str) -> None:
    assert lines([entry(0, "find", **changes)])[1].endswith(f"1.0  {remark}")


# --- excerpts -------------------------------------------------------------------------------------------------------


def attempt(at: float, number: int, session: str, *commands: str, **last: Any) -> list[Entry]:
    """The commands of one attempt of a transaction; ``last`` changes the last of them."""
    found = [
        entry(at + n / 10, name, session, txn_number=number, in_transaction=True) for n, name in enumerate(commands)
    ]
    found[-1] = found[-1]._replace(**last)
    return found


CONFLICTED = attempt(0, 1, "aaaaaa", "update", failure="WriteConflict", code=ErrorCode.WriteConflict)
ABORTED = attempt(1, 1, "aaaaaa", "abortTransaction", failure="NoSuchTransaction", code=251)
COMMITTED = attempt(2, 2, "aaaaaa", "update", "insert", "commitTransaction")
SMOOTH = attempt(0, 9, "bbbbbb", "update", "commitTransaction")
LOST = attempt(0, 5, "cccccc", "update", "commitTransaction", failure="no answer", unanswered=True)
FOUND = attempt(3, 5, "cccccc", "commitTransaction")


def test_a_life_goes_from_the_first_attempt_to_the_commit() -> None:
    unfinished = attempt(9, 3, "aaaaaa", "update")
    mixed = [*COMMITTED, *unfinished, *SMOOTH, *ABORTED, *CONFLICTED, entry(0, "find")]
    assert lives(mixed) == [SMOOTH, [*CONFLICTED, *ABORTED, *COMMITTED]]


def test_the_shortest_life_with_a_conflict_is_shown() -> None:
    longer = [e._replace(session="dddddd") for e in (*CONFLICTED, *ABORTED, *ABORTED, *COMMITTED)]
    shown = conflict_and_retry([*longer, *SMOOTH, *CONFLICTED, *ABORTED, *COMMITTED])
    assert shown.entries == (*CONFLICTED, *ABORTED, *COMMITTED)


def test_commits_without_an_answer_are_found_with_what_followed() -> None:
    assert unanswered_commits([*FOUND, *SMOOTH, *LOST]) == [[LOST[-1], *FOUND]]


def test_of_a_failover_a_commit_without_an_answer_is_shown_rather_than_another_command() -> None:
    began_again = [
        *attempt(0, 1, "eeeeee", "update", failure="no answer", unanswered=True),
        *attempt(1, 2, "eeeeee", "commitTransaction"),
    ]
    assert across_failover([*began_again, *SMOOTH]).entries == tuple(began_again)
    shown = across_failover([*began_again, *LOST, *FOUND])
    assert shown.entries == (*LOST, *FOUND)
    assert "commit" in shown.title


def test_a_causal_read_is_shown_with_its_write_and_a_few_reads_meanwhile() -> None:
    write = entry(1.0, "update")
    causal = entry(1.1, "find", after=NINE, duration=1.0)
    meanwhile = [entry(1.2 + n / 100, "find", "bbbbbb") for n in range(5)]
    late = entry(2.5, "find", "bbbbbb")
    earlier = [entry(0.1, "update"), entry(0.2, "find", after=NINE)]
    shown = causal_read([*meanwhile, late, causal, write, *earlier])
    assert shown.entries == (write, causal, *meanwhile[:2])
    assert shown.left_out == "3 more reads without a session meanwhile"


def test_the_first_reads_of_one_snapshot_are_shown() -> None:
    first = [entry(0, "find", snapshot=True), entry(1, "find", snapshot=True, snapshot_time=NINE)]
    second = [
        entry(2, "find", snapshot=True),
        *(entry(2 + n, "find", snapshot=True, snapshot_time=TEN) for n in range(1, 5)),
    ]
    in_transaction = entry(1.5, "update", snapshot=True, in_transaction=True)
    shown = snapshot_reads([*second, in_transaction, *first])
    assert shown.entries == tuple(second[:3])
    assert shown.left_out == "2 more reads of it"


@pytest.mark.parametrize("choose", [causal_read, conflict_and_retry, across_failover, snapshot_reads])
def test_where_nothing_of_the_kind_happened_the_excerpt_is_empty(
    choose: Callable[[Iterable[Entry]], Excerpt], capsys: pytest.CaptureFixture[str]
) -> None:
    assert choose([]).entries == ()
    assert choose([*SMOOTH, entry(0, "ping")]).entries == ()
    Show().excerpt(choose([]))
    assert "(none was seen this time)" in capsys.readouterr().out
