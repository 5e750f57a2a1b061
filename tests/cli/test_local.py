"""``wiredrv local up`` and ``wiredrv local exec``, run like a user runs them."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.local.processes import all_gone, children
from tests.support.terminal import terminal
from wiredrv.cli.main import commands, main
from wiredrv.local._ask import ask
from wiredrv.local._wait import until
from wiredrv.local.server import is_free
from wiredrv.types import Address

_WIREDRV = [sys.executable, "-m", "wiredrv.cli.main"]
_WITHIN = 60


@contextmanager
def up(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """``wiredrv local up``, killed at the end if it is still running."""
    command = [*_WIREDRV, "local", "up", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with process:
        try:
            yield process
        finally:
            process.kill()


def execute(*arguments: str) -> subprocess.CompletedProcess[str]:
    """``wiredrv local exec``."""
    return subprocess.run([*_WIREDRV, "local", "exec", *arguments], capture_output=True, text=True, timeout=_WITHIN)


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().rstrip("\n")


def address(uri: str) -> Address:
    return Address.parse(uri.removeprefix("mongodb://").partition("/")[0].partition(",")[0])


@pytest.mark.usefixtures("starts_servers")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_up_prints_the_uri_and_runs_until_it_is_told_to_stop(number: signal.Signals) -> None:
    with up("--standalone") as process:
        uri = line(process)
        assert ask(address(uri), {"ping": 1})["ok"] == 1
        started = children(process.pid)
        process.send_signal(number)
        rest, errors = process.communicate(timeout=_WITHIN)
        assert (process.returncode, rest, errors) == (0, "", "")
        assert all_gone(started)


@pytest.mark.usefixtures("starts_servers")
def test_up_starts_a_replica_set_with_as_many_members_as_asked_for() -> None:
    with up("--members", "2", "--test-commands") as process:
        uri = line(process)
        assert uri.count("127.0.0.1:") == 2
        assert uri.endswith("/?replicaSet=rs0")
        command = {"configureFailPoint": "failCommand", "mode": "off"}
        assert ask(address(uri), command)["ok"] == 1


@pytest.mark.usefixtures("starts_servers")
def test_up_ends_its_servers_when_it_is_killed() -> None:
    with up("--standalone") as process:
        line(process)
        started = children(process.pid)
        process.kill()
        assert len(started) == 2
        assert all_gone(started)


@pytest.mark.usefixtures("starts_servers")
def test_up_can_be_stopped_while_it_starts() -> None:
    with up() as process:
        started = until(lambda: found if len(found := children(process.pid)) == 4 else None, _WITHIN)
        assert started
        process.send_signal(signal.SIGTERM)
        assert process.wait(_WITHIN) == 0
        assert all_gone(started)


@pytest.mark.usefixtures("starts_servers")
def test_up_ends_when_a_server_ends_by_itself() -> None:
    with up("--standalone") as process:
        ask_to_shut_down(address(line(process)))
        _, errors = process.communicate(timeout=_WITHIN)
        assert process.returncode == 1
        assert "ended by itself" in errors


def ask_to_shut_down(server: Address) -> None:
    with pytest.raises(Exception, match="does not answer 'shutdown'"):
        ask(server, {"shutdown": 1, "force": True}, timeout=30)


@pytest.mark.usefixtures("starts_servers")
def test_up_starts_again_from_a_kept_directory(tmp_path: Path) -> None:
    uris = []
    for _ in range(2):
        with up("--standalone", "--dir", str(tmp_path / "kept")) as process:
            uris.append(line(process))
            process.terminate()
            assert process.wait(_WITHIN) == 0
    assert uris[0] == uris[1]


@pytest.mark.usefixtures("starts_servers")
def test_exec_gives_the_command_the_uri_and_returns_its_status() -> None:
    done = execute("--standalone", "--", "sh", "-c", "echo $MONGODB_URI; exit 7")
    assert done.returncode == 7
    assert done.stdout.startswith("mongodb://127.0.0.1:")
    with pytest.raises(Exception, match="does not answer"):
        ask(address(done.stdout.strip()), {"ping": 1})


@pytest.mark.usefixtures("starts_servers")
def test_exec_of_a_command_that_a_signal_ended_returns_what_shells_return() -> None:
    assert execute("--standalone", "--", "sh", "-c", "kill -9 $$").returncode == 128 + 9


@pytest.mark.usefixtures("starts_servers")
def test_exec_hands_sigterm_to_the_command_and_stops_the_servers_after_it() -> None:
    program = "trap 'echo told; exit 5' TERM; echo ready; while :; do sleep 0.05; done"
    command = [*_WIREDRV, "local", "exec", "--standalone", "--", "sh", "-c", program]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert line(process) == "ready"
            started = children(process.pid)
            process.terminate()
            assert line(process) == "told"
            assert process.wait(_WITHIN) == 5
            assert all_gone(started)
        finally:
            process.kill()


@pytest.mark.usefixtures("starts_servers")
def test_exec_of_a_command_that_is_not_there_says_so() -> None:
    done = execute("--standalone", "--", "no-such-command-anywhere")
    assert done.returncode == 127
    assert "no-such-command-anywhere: No such file" in done.stderr


@pytest.mark.usefixtures("starts_servers")
def test_exec_of_a_file_that_is_no_program_says_so(tmp_path: Path) -> None:
    assert execute("--standalone", "--", str(tmp_path)).returncode == 126


@pytest.mark.usefixtures("starts_servers")
@pytest.mark.parametrize(
    "arguments, says",
    [
        (["--members", "9"], "from 1 to 7 members"),
        (["--mongod", "/no/such/mongod"], "The mongod that the argument names cannot be used"),
        (["--standalone", "--port", "70000"], "ports must be from 1 to 65535"),
        (["--sharded", "--shards", "0"], "from 1 to 8 shards"),
        (["--sharded", "--mongos", "/no/such/mongos"], "docker-compose.yml"),
    ],
)
def test_an_error_of_ours_is_one_message_and_status_1(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["local", "up", *arguments]) == 1
    assert says in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments", [[], ["nonsense"], ["local"], ["local", "exec"], ["local", "up", "--members", "2", "--standalone"]]
)
def test_arguments_that_cannot_be_read_are_status_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "usage: wiredrv" in capsys.readouterr().err


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    helped = capsys.readouterr().out
    assert "local" in commands()
    assert all(name in helped for name in commands())


# --- with the port of the README's first program ---


def three_free_ports() -> int:
    """The first of three ports in a row that nothing listens on."""
    # Below the range that free_ports() draws from.
    return next(first for first in range(16_000, 18_000, 3) if all(map(is_free, range(first, first + 3))))


@pytest.mark.usefixtures("starts_servers")
def test_the_first_program_of_the_readme_runs_on_what_up_starts_at_its_port(tmp_path: Path) -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    found = re.search(r"```python\n(.*?)```", readme, re.DOTALL)
    assert found is not None
    assert readme.count("localhost:27017/?replicaSet=rs0") == 1
    port = three_free_ports()
    (tmp_path / "program.py").write_text(found[1].replace("localhost:27017", f"localhost:{port}"))
    with up("--port", str(port)) as process:
        hosts = ",".join(f"127.0.0.1:{number}" for number in range(port, port + 3))
        assert line(process) == f"mongodb://{hosts}/?replicaSet=rs0"
        done = subprocess.run(
            [sys.executable, "program.py"], cwd=tmp_path, capture_output=True, text=True, timeout=_WITHIN
        )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("3 orders\n{'_id': ObjectId(")


@pytest.mark.usefixtures("starts_servers")
def test_a_port_that_is_taken_is_one_message_before_anything_starts(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert main(["local", "up", "--port", str(port)]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith(f"wiredrv: another program listens on 127.0.0.1:{port}: end it, ask for another port")


@pytest.mark.usefixtures("starts_servers")
def test_a_terminal_shows_what_is_started_while_it_starts() -> None:
    with terminal([*_WIREDRV, "local", "up", "--members", "1"]) as shell:
        assert "starting a replica set of 1 member: mongod" in shell.read_until("member: mongod")
        shell.read_until("s  listening on port")
        shell.read_until("s  ready: 127.0.0.1:")
        assert "mongodb://127.0.0.1:" in shell.read_until("/?replicaSet=rs0")
        shell.read_until("Ctrl-C stops the servers.")
        shell.send("\x03")
        assert shell.wait() == 0


def test_output_that_nobody_reads_any_more_ends_a_command_quietly() -> None:
    program = "import sys\nfrom wiredrv.cli.main import main\nsys.exit(main(['ping', 'mongodb://127.0.0.1:1']))"
    command = f'{sys.executable} -u -c "{program}"; echo $? >&2'
    done = subprocess.run(["bash", "-c", f"({command}) | true"], capture_output=True, text=True, timeout=_WITHIN)
    assert done.stderr == "141\n"
