"""``wiredrv topology``: its output for a description, and for real servers."""

from __future__ import annotations

import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

import pytest

from tests.support.terminal import terminal
from wiredrv.cli._topology_show import (
    Elections,
    Row,
    Seen,
    Watcher,
    changed_lines,
    heading,
    is_settled,
    rows,
    table,
)
from wiredrv.cli.main import main
from wiredrv.cli.topology import member_uri
from wiredrv.description import ServerDescription, ServerType, TopologyDescription, TopologyType
from wiredrv.errors import AutoReconnect
from wiredrv.local import ReplicaSet, Standalone
from wiredrv.types import Address

A, B, C = Address("a"), Address("b", 1), Address("c", 2)
PRIMARY = ServerDescription(
    A,
    ServerType.RS_PRIMARY,
    round_trip_time=0.00123,
    max_wire_version=17,
    set_name="rs0",
    tags={"rack": "2", "dc": "east"},
)
SECONDARY = ServerDescription(B, ServerType.RS_SECONDARY, round_trip_time=0.1, max_wire_version=21, set_name="rs0")
UNHEARD = ServerDescription(C)
LOST = ServerDescription(C, error=AutoReconnect("no route"))


def topology(*servers: ServerDescription, kind: TopologyType = TopologyType.UNKNOWN) -> TopologyDescription:
    return TopologyDescription(kind, {server.address: server for server in servers}, set_name="rs0")


# --- pure -----------------------------------------------------------------------------------------------------------


def test_every_server_has_a_row_with_what_is_known_of_it() -> None:
    assert rows(topology(LOST, SECONDARY, PRIMARY), {A: "6.0.5"}) == [
        Row("a:27017", "primary", "1.2 ms", "6.0.5", "rs0", "dc=east, rack=2", ""),
        Row("b:1", "secondary", "100.0 ms", "wire version 21", "rs0", "-", ""),
        Row("c:2", "unknown", "-", "-", "-", "-", "AutoReconnect: no route"),
    ]


@pytest.mark.parametrize("server_type", ServerType)
def test_every_server_type_has_a_role_in_words(server_type: ServerType) -> None:
    (row,) = rows(topology(ServerDescription(A, server_type)), {})
    assert row.role
    assert row.role == row.role.lower()
    assert not row.role.startswith("rs")


@pytest.mark.parametrize(
    "description, text",
    [
        (
            topology(PRIMARY, SECONDARY, kind=TopologyType.REPLICA_SET_WITH_PRIMARY),
            "ReplicaSetWithPrimary rs0, 2 servers",
        ),
        (TopologyDescription(TopologyType.SINGLE, {A: PRIMARY}), "Single, 1 server"),
    ],
)
def test_the_heading_names_the_deployment(description: TopologyDescription, text: str) -> None:
    assert heading(description) == text


def test_the_table_is_aligned() -> None:
    assert table(rows(topology(PRIMARY, LOST), {A: "6.0.5"})) == [
        "server   role     round trip  version  set  tags             remarks",
        "a:27017  primary  1.2 ms      6.0.5    rs0  dc=east, rack=2",
        "c:2      unknown  -           -        -    -                AutoReconnect: no route",
    ]


ROW = Row("a:1", "primary", "1.0 ms", "6.0.5", "rs0", "-", "")


@pytest.mark.parametrize(
    "before, after, told",
    [
        ([ROW], [ROW], []),
        ([ROW], [ROW._replace(round_trip="9.0 ms")], []),
        ([ROW], [ROW._replace(role="secondary")], ["a:1 primary -> secondary"]),
        (
            [ROW],
            [ROW._replace(role="unknown", version="-", set_name="-", remarks="AutoReconnect: gone")],
            ["a:1 primary -> unknown; AutoReconnect: gone"],
        ),
        ([ROW], [ROW._replace(tags="dc=east")], ["a:1 primary; dc=east"]),
        ([ROW], [], ["a:1 is gone"]),
        ([], [ROW], ["a:1 is new: primary"]),
        # What is learnt of a version, or no longer known, is no change; another version is one.
        ([ROW._replace(version="wire version 17")], [ROW], []),
        ([ROW._replace(version="-")], [ROW], []),
        ([ROW], [ROW._replace(version="wire version 17")], []),
        ([ROW], [ROW._replace(version="7.0.1")], ["a:1 primary; 7.0.1"]),
    ],
)
def test_changes_are_told_but_not_those_of_round_trip_times(
    before: list[Row], after: list[Row], told: list[str]
) -> None:
    assert changed_lines(before, after) == told


def test_an_update_is_told_although_the_version_was_not_known_meanwhile(capsys: pytest.CaptureFixture[str]) -> None:
    watcher = Watcher()
    watcher.draw(WITH_A, {A: "6.0.5"})
    down = ServerDescription(A, error=AutoReconnect("no route"))
    watcher.change(Seen(SECONDS[0], topology(down, SECONDARY)), {})
    watcher.change(Seen(SECONDS[1], WITH_A), {})
    capsys.readouterr()
    watcher.change(Seen(SECONDS[2], WITH_A), {A: "7.0.1"})
    assert capsys.readouterr().out == "12:00:02  a:27017 primary; 7.0.1\n"


@pytest.mark.parametrize("columns, names", [(100, "version"), (40, "round trip")])
def test_the_newest_changes_are_visible_on_small_terminals(
    columns: int, names: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("LINES", "14")
    from wiredrv.cli._topology_live import LiveWatcher

    watcher = LiveWatcher()
    for number in range(20):
        watcher.tell(f"change {number} of a server")
    with watcher:
        watcher.draw(WITH_A, {A: "6.0.5"})
    shown = capsys.readouterr().out
    assert all(text in shown for text in (names, "a:27017", "secondary"))
    assert "change 19 of a server" in shown
    assert "change 0 " not in shown
    assert len(shown.splitlines()) <= 14
    assert max(map(len, shown.splitlines())) <= columns


@pytest.mark.parametrize(
    "description, settled",
    [
        (topology(), False),
        (topology(PRIMARY), True),
        (topology(PRIMARY, UNHEARD), False),
        (topology(PRIMARY, ServerDescription(C, ServerType.POSSIBLE_PRIMARY)), False),
        (topology(PRIMARY, LOST), True),
        (topology(UNHEARD, kind=TopologyType.LOAD_BALANCED), True),
    ],
)
def test_a_description_is_settled_when_every_server_was_heard_of_or_failed(
    description: TopologyDescription, settled: bool
) -> None:
    assert is_settled(description) is settled


@pytest.mark.parametrize(
    "uri, expected",
    [
        ("a,b", "mongodb://b:1/?directConnection=true"),
        ("mongodb://a", "mongodb://b:1/?directConnection=true"),
        ("mongodb://a,b/", "mongodb://b:1/?directConnection=true"),
        ("mongodb://a?replicaSet=rs0", "mongodb://b:1/?replicaSet=rs0&directConnection=true"),
        ("mongodb://u:p%40w@a,b/db?tls=true", "mongodb://u:p%40w@b:1/db?tls=true&directConnection=true"),
        ("mongodb://a/?directConnection=false&w=1", "mongodb://b:1/?w=1&directConnection=true"),
        ("mongodb+srv://u@a/?srvMaxHosts=2", "mongodb://u@b:1/?tls=true&directConnection=true"),
        ("mongodb+srv://a/?tls=false", "mongodb://b:1/?tls=false&directConnection=true"),
    ],
)
def test_a_member_is_asked_with_the_same_user_and_options(uri: str, expected: str) -> None:
    assert member_uri(uri, B) == expected


@pytest.mark.parametrize(
    "address, host", [(Address("::1", 5), "[::1]:5"), (Address("/tmp/m-1.sock", None), "%2Ftmp%2Fm-1.sock")]
)
def test_addresses_of_every_kind_become_hosts_again(address: Address, host: str) -> None:
    assert member_uri("mongodb://a", address) == f"mongodb://{host}/?directConnection=true"


SECONDS = [datetime(2026, 1, 1, 12, 0, second) for second in range(6)]
OTHER = ServerDescription(B, ServerType.RS_PRIMARY, set_name="rs0")
WITH_A, WITHOUT, WITH_B = (
    topology(PRIMARY, SECONDARY, kind=TopologyType.REPLICA_SET_WITH_PRIMARY),
    topology(LOST, SECONDARY, kind=TopologyType.REPLICA_SET_NO_PRIMARY),
    topology(LOST, OTHER, kind=TopologyType.REPLICA_SET_WITH_PRIMARY),
)
_NOBODY = "no primary: nothing can be written until one is elected"


@pytest.mark.parametrize(
    "descriptions, told",
    [
        ([WITH_A, WITH_A], []),
        ([WITHOUT, WITHOUT, WITH_A], []),  # what was before is not known
        ([WITH_A, WITHOUT, WITHOUT, WITH_B], [_NOBODY, "b:1 is primary, after 2.0 s without one"]),
        ([WITH_A, WITHOUT, WITH_A], [_NOBODY, "a:27017 is primary, after 1.0 s without one"]),
        ([WITH_A, WITH_B], ["b:1 is primary, without a time without one"]),
        ([topology(PRIMARY, kind=TopologyType.SINGLE), topology(kind=TopologyType.SINGLE)], []),
    ],
)
def test_an_election_is_told_with_the_time_that_it_took(
    descriptions: list[TopologyDescription], told: list[str]
) -> None:
    elections = Elections()
    lines = [elections.lines(one, at) for one, at in zip(descriptions, SECONDS, strict=False)]
    assert [line for each in lines for line in each] == told


# --- on real servers ------------------------------------------------------------------------------------------------


def test_a_replica_set_is_shown(replica_set: ReplicaSet, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["topology", replica_set.uri]) == 0
    first, _, *lines = capsys.readouterr().out.splitlines()
    assert first == "ReplicaSetWithPrimary rs0, 3 servers"
    cells = [line.split() for line in lines]
    assert sorted(row[0] for row in cells) == sorted(str(server.address) for server in replica_set.members)
    assert sorted(row[1] for row in cells) == ["primary", "secondary", "secondary"]
    assert all(row[3] == "ms" and float(row[2]) > 0 for row in cells)
    assert {row[4].count(".") for row in cells} == {2}
    assert {row[5] for row in cells} == {"rs0"}


def test_a_standalone_is_shown(standalone: Standalone, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["topology", standalone.uri]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("Single, 1 server")
    assert "standalone" in shown


def test_servers_that_do_not_answer_are_shown_with_the_reason(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["topology", "mongodb://127.0.0.1:1"]) == 1
    assert "127.0.0.1:1  unknown" in (shown := capsys.readouterr().out)
    assert "refused" in shown


def test_a_uri_that_cannot_be_read_is_one_message(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["topology", "mongodb://user:se/cret@host"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("wiredrv: ")
    assert "cret" not in said


def test_watching_tells_what_changes_until_ctrl_c(disturbed_replica_set: ReplicaSet) -> None:
    with watching(disturbed_replica_set.uri) as process:
        read_until(process, "secondary")
        primary = disturbed_replica_set.primary()
        primary.kill()
        assert f"{primary.address} primary -> unknown" in read_until(process, "primary -> unknown")
        assert "secondary -> primary" in read_until(process, "secondary -> primary")
        assert re.search(r" is primary, after \d+\.\d s without one$", read_until(process, "is primary, after").strip())
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
    assert (process.returncode, errors) == (0, b"")


def test_a_terminal_shows_a_table_and_the_changes_below_it_until_ctrl_c(disturbed_replica_set: ReplicaSet) -> None:
    uri = disturbed_replica_set.uri.replace("/?", "/?appName=secret-of-ours&")
    with terminal([sys.executable, "-m", "wiredrv", "topology", uri, "--watch"]) as shown:
        shown.read_until("ReplicaSetWithPrimary rs0, 3 servers")
        shown.read_until("remarks")
        primary = disturbed_replica_set.primary()
        primary.kill()
        shown.read_until(f"{primary.address} primary -> unknown")
        shown.read_until("s without one")
        shown.send("\x03")
        assert shown.wait() == 0
    assert "Traceback" not in shown.shown
    assert "secret-of-ours" not in shown.shown


def test_a_terminal_without_rich_says_what_to_install(standalone: Standalone) -> None:
    program = "import sys; sys.modules['rich'] = None; from wiredrv.cli.main import main; sys.exit(main(sys.argv[1:]))"
    with terminal([sys.executable, "-c", program, "topology", standalone.uri, "--watch"]) as shown:
        shown.read_until("pip install 'wiredrv[cli]'")
        shown.read_until("Single, 1 server")
        shown.send("\x03")
        assert shown.wait() == 0
    assert "Traceback" not in shown.shown


def test_a_terminal_that_cannot_redraw_shows_a_line_for_each_change(standalone: Standalone) -> None:
    command = [sys.executable, "-m", "wiredrv", "topology", standalone.uri, "--watch"]
    with terminal(command, {"TERM": "dumb"}) as shown:
        shown.read_until("standalone")
        shown.send("\x03")
        assert shown.wait() == 0


@contextmanager
def watching(uri: str) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "wiredrv.cli.main", "topology", uri, "--watch"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0)
    with process:
        try:
            yield process
        finally:
            process.kill()


def read_until(process: subprocess.Popen[bytes], text: str, timeout: float = 30.0) -> str:
    """The first line that contains ``text``."""
    assert process.stdout is not None
    deadline = time.monotonic() + timeout
    while select.select([process.stdout], [], [], max(deadline - time.monotonic(), 0))[0]:
        line = process.stdout.readline().decode()
        assert line, "it ended"
        if text in line:
            return line
    raise AssertionError(f"no line with {text!r} within {timeout:g} s")
