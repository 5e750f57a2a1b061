"""``wiredrv shell``: on a terminal, as a person types; with code that is given or piped in; with servers or without."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.local.processes import all_gone, children
from tests.support.proxy import RecordingProxy
from tests.support.terminal import Terminal, terminal
from wiredrv.cli.main import main
from wiredrv.local import ReplicaSet, Standalone
from wiredrv.local._wait import until

_SHELL = [sys.executable, "-W", "default", "-m", "wiredrv", "shell"]
_WITHIN = 60
_PROMPT = ">>> "

both_backends = pytest.mark.parametrize("backend", ["asyncio", "trio"])


@contextmanager
def shell(state: Path, *arguments: str, first: str = _PROMPT) -> Iterator[Terminal]:
    """A shell on a terminal, with a history of its own, after its first prompt."""
    variables = {"XDG_STATE_HOME": str(state), "MONGODB_URI": ""}
    with terminal([*_SHELL, *arguments], variables) as opened:
        opened.read_until(first)
        yield opened


def ask(opened: Terminal, line: str, prompt: str = _PROMPT) -> str:
    """Type a line, and return what is shown until the next prompt, without the line."""
    opened.send(f"{line}\n")
    return opened.read_until(prompt).partition("\n")[2].removesuffix(prompt)


def run(*arguments: str, given: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
    """A shell that is not on a terminal."""
    environment = {key: value for key, value in os.environ.items() if key != "MONGODB_URI"} | variables
    return subprocess.run(
        [*_SHELL, *arguments], input=given, capture_output=True, text=True, timeout=_WITHIN, env=environment
    )


# --- on a terminal --------------------------------------------------------------------------------------------------


@both_backends
def test_what_is_typed_is_run_and_what_it_evaluates_to_is_shown(
    backend: str, replica_set: ReplicaSet, tmp_path: Path
) -> None:
    name = f"shell_{backend}"
    with shell(tmp_path, replica_set.uri.replace("/?", f"/{name}?"), "--backend", backend) as opened:
        assert f"on {backend}, Python 3." in opened.shown
        assert "MongoDB " in opened.shown
        assert "ReplicaSetWithPrimary rs0" in opened.shown
        assert ask(opened, "db.name, session.has_ended") == f"('{name}', False)\n"
        assert ask(opened, "(await db.things.insert_one({'_id': 1})).inserted_id") == "1\n"
        assert ask(opened, "_ + 1") == "2\n"
        assert ask(opened, "await db.things.find().to_list()") == "[{'_id': 1}]\n"
        assert ask(opened, f"import {backend}; x = 5") == ""
        # A block of several lines, with the session that is at hand.
        ask(opened, "async with session.start_transaction():", prompt="... ")
        ask(opened, "    a = await db.things.insert_one({'_id': x}, session=session)", prompt="... ")
        assert ask(opened, "") == ""
        assert ask(opened, "await db.things.count_documents({}, session=session)") == "2\n"
        assert ask(opened, "await client.drop_database(db)") == ""
        opened.send("\x04")
        assert opened.wait() == 0
    assert "Warning" not in opened.shown
    assert "await db.things.find().to_list()" in (tmp_path / "wiredrv" / "shell_history").read_text()
    assert (tmp_path / "wiredrv" / "shell_history").stat().st_mode & 0o077 == 0


@both_backends
def test_ctrl_c_ends_what_runs_and_not_the_shell(backend: str, standalone: Standalone, tmp_path: Path) -> None:
    with shell(tmp_path, standalone.uri, "--backend", backend) as opened:
        ask(opened, "(await db.things.insert_one({})).acknowledged")
        for line in (
            "print('begun'); await anyio.sleep(600)",
            "print('begun'); await db.things.find_one({'$where': 'sleep(60000) || true'})",
            "print('begun') or [None for _ in iter(int, 1)]",  # does not let the event loop run
            "print('begun'); await anyio.sleep(0); [None for _ in iter(int, 1)]",
        ):
            opened.send(f"{line}\n")
            opened.read_until("begun\n")
            time.sleep(0.3)  # so that it is in the middle of it
            begun = time.monotonic()
            opened.send("\x03")
            opened.read_until("Interrupted\n")
            opened.read_until(_PROMPT)
            assert time.monotonic() - begun < 20
        assert ask(opened, "(await client.admin.command('ping'))['ok']") == "1.0\n"
        # At the prompt, it drops what was typed.
        opened.send("abandoned(\x03")
        opened.read_until("KeyboardInterrupt\n")
        opened.read_until(_PROMPT)
        assert ask(opened, "1 + 1") == "2\n"
        assert ask(opened, "await db.things.drop()") == ""
        opened.send("exit(3)\n")
        assert opened.wait() == 3
    assert "Warning" not in opened.shown


def test_errors_show_the_lines_that_were_typed_and_nothing_of_the_shell(standalone: Standalone, tmp_path: Path) -> None:
    with shell(tmp_path, standalone.uri) as opened:
        assert ask(opened, "1 / 0") == (
            'Traceback (most recent call last):\n  File "<wiredrv shell>", line 1, in <module>\n'
            "ZeroDivisionError: division by zero\n"
        )
        assert ask(opened, "await db.command('nonsense')") == (
            'Traceback (most recent call last):\n  File "<wiredrv shell>", line 1, in <module>\n'
            "wiredrv.errors.OperationFailure: no such command: 'nonsense' (code 59, CommandNotFound)\n"
        )
        assert "SyntaxError" in ask(opened, "1 +* 1")
        assert "write `await` before it" in ask(opened, "db.things.find_one()")
        assert "`await _.to_list()` reads its documents" in ask(opened, "db.nothing.find()")
        assert ask(opened, "await _.to_list()") == "[]\n"
        opened.send("\x04")
        assert opened.wait() == 0
    assert "Warning" not in opened.shown


def test_the_client_keeps_watching_while_nothing_is_typed(disturbed_replica_set: ReplicaSet, tmp_path: Path) -> None:
    with shell(tmp_path, disturbed_replica_set.uri) as opened:
        first = disturbed_replica_set.primary()
        first.kill()
        second = disturbed_replica_set.primary(timeout=30).address
        ask(opened, "servers = lambda: client.topology_description.servers.values()")
        question = "[str(server.address) for server in servers() if server.is_writable]"
        assert until(lambda: ask(opened, question) == f"['{second}']\n" or None, 30)
        opened.send("\x04")
        assert opened.wait() == 0


def test_a_server_that_does_not_answer_leaves_a_prompt_that_says_so(tmp_path: Path) -> None:
    with shell(tmp_path, "mongodb://127.0.0.1:1") as opened:
        assert "no server answers yet (ServerSelectionTimeoutError); `wiredrv ping URI` says why" in opened.shown
        assert ask(opened, "1 + 1") == "2\n"
        opened.send("\x04")
        assert opened.wait() == 0


def test_a_user_who_is_not_accepted_is_named_and_the_password_is_not(standalone: Standalone, tmp_path: Path) -> None:
    with shell(tmp_path, standalone.uri.replace("://", "://ada:s3cr3t@")) as opened:
        assert "the server answers with an error: authentication failed" in opened.shown
        assert "authentication failed" in ask(opened, "await db.things.find_one()")
        opened.send("\x04")
        assert opened.wait() == 0
    assert "s3cr3t" not in opened.shown


# --- with servers of its own ----------------------------------------------------------------------------------------


@pytest.mark.usefixtures("starts_servers")
def test_without_a_uri_it_offers_to_start_servers_that_end_with_it(tmp_path: Path) -> None:
    with shell(tmp_path, first="[Y/n] ") as opened:
        opened.send("\n")
        opened.read_until("starting a replica set of 1 member")
        opened.read_until(_PROMPT)
        found = children(opened.process.pid)
        assert len(found) == 2
        assert ask(opened, "await client.supports_transactions()") == "True\n"
        opened.send("\x04")
        assert opened.wait() == 0
        assert all_gone(found)


def test_an_offer_that_is_declined_says_how_to_name_servers(tmp_path: Path) -> None:
    with shell(tmp_path, first="[Y/n] ") as opened:
        opened.send("n\n")
        assert opened.wait() == 1
    assert "wiredrv: name the servers: `wiredrv shell URI`" in opened.shown


@pytest.mark.usefixtures("starts_servers")
def test_local_starts_servers_without_asking() -> None:
    done = run("--local", "-c", "await client.supports_transactions()", "--backend", "trio")
    assert (done.returncode, done.stdout) == (0, "True\n")
    assert "ready: 127.0.0.1:" in done.stderr


# --- with code that is given ----------------------------------------------------------------------------------------


@both_backends
def test_code_that_is_given_prints_what_each_expression_evaluates_to(backend: str, standalone: Standalone) -> None:
    program = "x = 3\nasync def double(n):\n    await anyio.sleep(0)\n    return 2 * n\nawait double(x)\n'end'"
    for done in (
        run(standalone.uri, "--backend", backend, "-c", program),
        run("--backend", backend, given=program, MONGODB_URI=standalone.uri),
    ):
        assert (done.returncode, done.stdout, done.stderr) == (0, "6\n'end'\n", "")


def test_only_a_cursor_is_called_one(standalone: Standalone) -> None:
    done = run(standalone.uri, "-c", "client\ndb\ndb.things\nsession\ndb.things.find()")
    said = [line for line in done.stdout.splitlines() if "to_list" in line]
    assert (done.returncode, done.stderr, len(said)) == (0, "", 1)
    assert done.stdout.endswith(f"{said[0]}\n")


@pytest.mark.parametrize(
    "program, status, says",
    [
        ("1 / 0", 1, "ZeroDivisionError: division by zero"),
        ("await db.command('nonsense')", 1, "OperationFailure: no such command"),
        ("1 +* 1", 1, "SyntaxError"),
        ("exit(7)", 7, ""),
        ("exit('enough')", 1, "enough"),
    ],
)
def test_the_exit_status_says_how_the_code_ended(program: str, status: int, says: str, standalone: Standalone) -> None:
    done = run(standalone.uri, "-c", program)
    assert done.returncode == status
    assert says in done.stderr
    assert "_shell_" not in done.stderr


def test_ctrl_c_ends_code_that_is_given(standalone: Standalone, tmp_path: Path) -> None:
    with terminal([*_SHELL, standalone.uri, "-c", "print('begun'); await anyio.sleep(600)"]) as opened:
        opened.read_until("begun")
        opened.send("\x03")
        assert opened.wait() == 130
    assert "Traceback" not in opened.shown


def test_sessions_are_ended_on_the_server_and_the_client_is_closed(standalone: Standalone) -> None:
    with RecordingProxy(standalone.members[0].address) as proxy:
        done = run(proxy.uri, "-c", "await db.things.find_one(session=session)")
        assert (done.returncode, done.stderr) == (0, "")
        assert "endSessions" in [next(iter(command)) for command in proxy.sent]


def test_without_servers_and_a_terminal_it_says_what_to_name() -> None:
    done = run("-c", "1")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(
        "wiredrv: name the servers: `wiredrv shell URI`, or the environment variable MONGODB_URI"
    )


def test_a_uri_and_local_exclude_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["shell", "mongodb://127.0.0.1:1", "--local"]) == 1
    assert "give a URI or --local, not both" in capsys.readouterr().err
    assert threading.active_count() == 1 or not [t for t in threading.enumerate() if "portal" in t.name]
