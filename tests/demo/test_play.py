"""The demo: on real servers with a smaller workload, with a bank that loses money, and what it prints."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest

from demo import own_writes, play, verdicts
from demo.__main__ import choose_show, main
from demo.bank import Bank, Crew
from demo.excerpts import Excerpt
from demo.ledger import Fate, Tally, Transfer
from demo.scale import Scale
from demo.show import Show
from demo.stage import Part, Stage, ask_member, until
from demo.verdicts import Check, Verdict
from wiredrv.client.client import Client
from wiredrv.client.sessions.client_session import ClientSession
from wiredrv.concerns import WriteConcern
from wiredrv.errors import AutoReconnect, ConfigurationError, ConnectionFailure, DriverError
from wiredrv.local import ReplicaSet, Standalone
from wiredrv.server_facts import ErrorCode

SMALL = Scale(
    hold=0.3,
    rounds=5,
    accounts=12,
    workers=8,
    transfers=160,
    failover_transfers=80,
    writers=2,
    snapshots=2,
    reads=3,
    part_limit=60.0,
)


class Quiet(Show):
    """Records what would be printed."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def write(self, text: str) -> None:
        self.lines.append(text)

    @property
    def text(self) -> str:
        return "\n".join(self.lines)


# --- on real servers ------------------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_all_four_parts_hold_on_servers_of_its_own(disturbed_replica_set: ReplicaSet) -> None:
    show = Quiet()
    # On the demo's own servers all open transactions are its own; these may have some of killed routers.
    await anyio.to_thread.run_sync(disturbed_replica_set.primary().ask, {"killAllSessions": []}, 20.0)
    async with play.open_stage(disturbed_replica_set.uri, disturbed_replica_set, SMALL, show) as stage:
        judged = await play.play(stage)
    assert [verdict.failed for verdict in judged] == [(), (), (), ()]
    names = [verdicts.OWN_WRITES, verdicts.TRANSFERS, verdicts.FAILOVER, verdicts.SNAPSHOTS]
    assert [verdict.part for verdict in judged] == names
    assert sum(not server.running for server in disturbed_replica_set.members) == 1
    for figure in (
        "of them stale",
        "write conflicts",
        "got no answer: outcome unknown",
        "snapshots, each read 3 times (6 reads)",
    ):
        assert figure in show.text
    for told in ("afterClusterTime", "atClusterTime", "WriteConflict", "commitTransaction"):
        assert told in show.text


@pytest.mark.usefixtures("starts_servers")
@pytest.mark.anyio
async def test_it_says_what_it_starts_while_it_starts() -> None:
    show = Quiet()
    async with play._stage(None, 3, SMALL, show) as stage:
        shown = list(show.lines)
        assert stage.deployment is not None
    steps = [re.sub(r"^ +[0-9.]+ s  ", "", line) for line in shown]
    assert steps[0].startswith("starting a replica set of 3 members: mongod ")
    assert [step.partition(" ")[0] for step in steps[1:4]] == ["listening", "electing", "ready:"]
    assert len(shown) == 5
    assert "the connection string is mongodb://127.0.0.1:" in shown[4]


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_servers_of_others_are_not_disturbed(backend: str, replica_set: ReplicaSet, tmp_path: Path) -> None:
    show, page = Quiet(), tmp_path / "demo.html"
    assert play.perform(backend, replica_set.uri, 3, SMALL, show, page) == 0
    assert f"a page for a browser: {page}" in show.text
    text = page.read_text()
    for name in ("commitTransaction", "WriteConflict", "afterClusterTime"):
        assert name in text
    assert "nothing there is held back or killed" in show.text
    assert "left out: the demo kills its own servers only" in show.text
    assert all(server.state == "running" for server in replica_set.members)
    assert "=== all that was shown holds ===" in show.text


def test_a_timeline_that_cannot_be_written_is_said_and_changes_nothing(
    replica_set: ReplicaSet, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async def nothing(stage: Stage) -> list[Verdict]:
        return [Verdict("nothing", (Check("nothing was wrong", True),))]

    monkeypatch.setattr(play, "play", nothing)
    show = Quiet()
    assert play.perform("asyncio", replica_set.uri, 3, SMALL, show, tmp_path / "none" / "demo.html") == 0
    assert "cannot be written" in show.text
    assert "No such file or directory" in show.text


@pytest.mark.anyio
async def test_its_database_and_its_tag_are_gone_afterwards(replica_set: ReplicaSet) -> None:
    async with play.open_stage(replica_set.uri, replica_set, SMALL, Quiet()) as stage:
        await stage.bank.open()
        verdict = await own_writes.play(stage)
        assert verdict is not None
        assert verdict.holds
        name = stage.database.name
        assert name in await stage.client.list_database_names()
    async with Client(replica_set.uri) as client:
        assert name not in await client.list_database_names()
        config = (await client.admin.command("replSetGetConfig"))["config"]
    assert [member["tags"] for member in config["members"]] == [{}, {}, {}]


def test_money_that_is_lost_is_found_and_the_exit_status_is_1(
    replica_set: ReplicaSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    change = Bank._change

    async def lossy(bank: Bank, account: int, amount: int, session: ClientSession) -> None:
        await change(bank, account, amount - (account == 0 and amount > 0), session)

    monkeypatch.setattr(Bank, "_change", lossy)
    show = Quiet()
    assert play.perform("asyncio", replica_set.uri, 3, SMALL, show) == 1
    summary = show.text.partition("=== something does not hold ===")[2]
    assert "[FAILED] transfers in transactions: the balances equal the replayed ledger -- accounts 0 differ" in summary
    assert "[FAILED] snapshot reads on a secondary: every balance total is 12,000" in summary
    assert "in the ledger" not in summary


def test_a_standalone_is_refused(standalone: Standalone, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--uri", standalone.uri]) == 1
    assert "a standalone has no transactions" in capsys.readouterr().err


@pytest.mark.anyio
@pytest.mark.parametrize("took_place", [True, False])
async def test_an_unknown_outcome_is_resolved_once_the_transaction_has_ended(
    replica_set: ReplicaSet, took_place: bool
) -> None:
    async with play.open_stage(replica_set.uri, replica_set, SMALL, Quiet()) as stage:
        bank, transfer = stage.bank, Transfer(5, 0, 1, 3)
        await bank.open()
        tally = Tally({5: transfer}, fates={5: Fate.UNKNOWN})
        async with stage.client.start_session() as session, anyio.create_task_group() as tasks:
            session.start_transaction(write_concern=WriteConcern("majority"))
            await bank._change(0, -3, session)
            await bank._change(1, 3, session)
            await bank._ledger.insert_one({"transfer": 5, "source": 0, "target": 1, "amount": 3}, session=session)
            tasks.start_soon(bank.resolve_all, tally)
            # While the transaction is open there is no result: the task that looks for it conflicts with its writes.
            await _conflict(stage)
            assert tally.resolved == {}
            await (session.commit_transaction() if took_place else session.abort_transaction())
        assert tally.resolved == {5: took_place}
        assert (5 in (await bank.book()).times()) is took_place


@pytest.mark.anyio
async def test_a_transfer_whose_commit_leaves_its_outcome_open_is_looked_up_and_not_made_again(
    replica_set: ReplicaSet,
) -> None:
    async with play.open_stage(replica_set.uri, replica_set, SMALL, Quiet()) as stage:
        await stage.bank.open()
        # The commit takes place; the write concern error is not a reason to send it again.
        concern = {"code": 100, "codeName": "UnsatisfiableWriteConcern", "errmsg": "not enough members"}
        data = {"failCommands": ["commitTransaction"], "writeConcernError": concern}
        fail_point = {"configureFailPoint": "failCommand", "mode": {"times": 1}, "data": data}
        await ask_member(stage, str(stage.client.topology.primary), fail_point, 10.0)
        tally = Tally()
        await stage.bank.transfer(Transfer(5, 0, 1, 3), tally)
        assert (tally.doubts.total(), tally.resolved, tally.acknowledged) == (1, {5: True}, {5})
        assert (await stage.bank.book()).entries == (Transfer(5, 0, 1, 3),)


@pytest.mark.anyio
@pytest.mark.parametrize("errors, made", [(1, True), (2, True), (3, False)])
async def test_a_transfer_that_is_not_there_after_an_error_is_made_again_but_not_for_ever(
    replica_set: ReplicaSet, monkeypatch: pytest.MonkeyPatch, errors: int, made: bool
) -> None:
    call = Bank._call
    raised: list[DriverError] = []

    async def failing(bank: Bank, *arguments: Any) -> None:
        if len(raised) < errors:
            raised.append(AutoReconnect("gone"))
            raise raised[-1]
        await call(bank, *arguments)

    monkeypatch.setattr(Bank, "_call", failing)
    async with play.open_stage(replica_set.uri, replica_set, SMALL, Quiet()) as stage:
        await stage.bank.open()
        tally = Tally()
        crew = Crew(stage.bank, iter([Transfer(5, 0, 1, 3)]), tally)
        await crew.work(None, None)
        assert tally.doubts == {"AutoReconnect": errors}
        assert tally.resolved == {5: False}
        assert tally.acknowledged == ({5} if made else set())
        assert tally.failures == ({} if made else {5: "AutoReconnect: gone"})
        assert len((await stage.bank.book()).entries) == made


async def _conflict(stage: Stage) -> None:
    await until(lambda: any(entry.code == ErrorCode.WriteConflict for entry in stage.recorder.entries), "a conflict")


# --- parts that do not finish ---------------------------------------------------------------------------------------


def _raising(error: BaseException) -> Part:
    async def part(stage: Stage) -> Verdict | None:
        raise error

    return part


async def _endless(stage: Stage) -> Verdict | None:
    await anyio.sleep_forever()
    return None


@pytest.mark.anyio
@pytest.mark.parametrize(
    "part, reason",
    [
        (_raising(AutoReconnect("gone")), "AutoReconnect: gone"),
        (_raising(ExceptionGroup("", [AutoReconnect("gone")])), "AutoReconnect: gone"),
        (_endless, "it took longer than 0.05 s"),
    ],
)
async def test_a_part_that_breaks_off_does_not_hold(part: Part, reason: str, replica_set: ReplicaSet) -> None:
    async with play.open_stage(replica_set.uri, None, Scale(part_limit=0.05), Quiet()) as stage:
        verdict = await play._judge("it", part, stage)
    assert verdict == verdicts.broken("it", reason)
    assert verdicts.exit_status([verdict]) == 1


@pytest.mark.anyio
async def test_a_defect_of_the_demo_is_no_verdict(replica_set: ReplicaSet) -> None:
    async with play.open_stage(replica_set.uri, None, SMALL, Quiet()) as stage:
        with pytest.raises(ZeroDivisionError):
            await play._judge("it", _raising(ZeroDivisionError()), stage)
        with pytest.raises(ExceptionGroup):
            await play._judge("it", _raising(ExceptionGroup("", [AutoReconnect(), ZeroDivisionError()])), stage)


@pytest.mark.anyio
async def test_waiting_has_an_end() -> None:
    with pytest.raises(ConnectionFailure, match=r"rain did not come about within 0\.01 s"):
        await until(lambda: False, "rain", 0.01)


# --- what it prints -------------------------------------------------------------------------------------------------


def test_plain_progress_is_a_line_for_each_quarter(capsys: pytest.CaptureFixture[str]) -> None:
    with Show().progress("things", 40) as progress:
        for done in (0, 3, 11, 12, 25, 39, 40, 40):
            progress.update(done)
    said = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert said == ["11 of 40 things", "25 of 40 things", "39 of 40 things", "40 of 40 things"]


def test_a_failed_check_says_what_was_found(capsys: pytest.CaptureFixture[str]) -> None:
    Show().verdict(Verdict("a", (Check("it is so", True, "unused"), Check("so is this", False, "it is not"))))
    assert capsys.readouterr().out.splitlines() == [
        "",
        "  [ok]     it is so",
        "  [FAILED] so is this -- it is not",
    ]


def test_on_a_terminal_there_is_colour_and_a_bar(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm-256color")
    show = choose_show()
    assert type(show) is not Show
    show.heading("a [part]")
    with show.progress("things", 10) as progress:
        progress.update(10)
    show.check(Check("it [is] so", False, "it is [not]"))
    show.excerpt(Excerpt("a title", ()))
    printed = capsys.readouterr().out
    for text in ("a [part]", "10/10", "FAILED", "it [is] so", "it is [not]", "a title"):
        assert text in printed


def test_a_terminal_without_rich_gets_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.delitem(sys.modules, "demo.rich_show", raising=False)
    monkeypatch.setitem(sys.modules, "rich.console", None)
    assert type(choose_show()) is Show


def test_what_is_no_terminal_gets_plain_lines() -> None:
    assert type(choose_show()) is Show


# --- arguments ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments, says",
    [
        (["--members", "2"], "the demo needs 3 members or more"),
        (["--members", "many"], "the demo needs 3 members or more"),
        (["--backend", "curio"], "invalid choice: 'curio'"),
        (["--uri", "mongodb://h", "--members", "3"], "not allowed with argument"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert says in capsys.readouterr().err


def test_a_backend_that_is_not_installed_is_named() -> None:
    with pytest.raises(ConfigurationError, match="no_such_backend is not installed: pip install no_such_backend"):
        play.perform("no_such_backend", None, 3, SMALL, Quiet())
