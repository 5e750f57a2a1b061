"""The command line as a whole: its commands, their exit statuses, and what the page says of them."""

from __future__ import annotations

import errno
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from docs import command_line
from tests.timeline.recordings import bank
from wiredrv.cli import main as command
from wiredrv.cli._command import Command
from wiredrv.errors import ConfigurationError

PAGE = (Path(__file__).parents[2] / "docs" / "command-line.md").read_text(encoding="utf-8")
OF_USERS = sorted(set(command.commands()) - {"demo"})


def test_every_command_has_a_line_of_help_and_its_arguments_are_on_the_page() -> None:
    described = command_line.described()
    assert sorted(described) == command.commands()
    assert all(len(text) > 10 for text in described.values())
    for name in OF_USERS:
        assert re.search(rf"^### `wiredrv {name}\b", PAGE, re.MULTILINE)


@pytest.mark.parametrize("name", command.commands())
def test_every_command_and_argument_is_described(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        command.main([name, "--help"])
    assert ended.value.code == 0
    assert f"usage: wiredrv {name}" in capsys.readouterr().out
    rows = re.findall(r"^\| `(.*)` \| (.*) \|$", command_line.usage(), re.MULTILINE)
    assert all(meaning for _, meaning in rows)


@pytest.mark.parametrize("name", OF_USERS)
def test_a_command_is_loaded_without_what_only_some_installations_have(name: str) -> None:
    program = (
        "import sys\n"
        "sys.modules['rich'] = None\n"
        "from wiredrv.cli.main import load, parser_of\n"
        f"parser_of([load({name!r})])\n"
        "assert 'trio' not in sys.modules and 'readline' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


class Fails:
    """A command that ends with an error."""

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def add_parser(self, subparsers: object) -> None:
        getattr(subparsers, "add_parser")("local")  # noqa: B009  # its class has no public name

    def run(self, args: object) -> int:
        raise self._error


@pytest.mark.parametrize(
    "error, status, says",
    [
        (ConfigurationError("what to do"), 1, "wiredrv: what to do\n"),
        (KeyboardInterrupt(), 130, ""),
        (BaseExceptionGroup("", [KeyboardInterrupt()]), 130, ""),
        (BaseExceptionGroup("", [BaseExceptionGroup("", [KeyboardInterrupt(), KeyboardInterrupt()])]), 130, ""),
    ],
)
def test_an_error_is_an_exit_status_and_at_most_one_message(
    error: BaseException,
    status: int,
    says: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(command, "load", lambda name: Fails(error))
    assert command.main(["local"]) == status
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", says)


def test_ctrl_c_while_a_command_is_loaded_is_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(name: str) -> Command:
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "load", interrupted)
    assert command.main(["local"]) == 130
    assert capsys.readouterr() == ("", "")


def test_a_defect_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "load", lambda name: Fails(ExceptionGroup("", [ZeroDivisionError()])))
    with pytest.raises(ExceptionGroup):
        command.main(["local"])


FULL = pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "run.jsonl"
    path.write_text("".join(json.dumps(fields) + "\n" for fields in bank()), encoding="utf-8")
    return path


def run(output: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["/bin/sh", "-c", f'exec "$@" {output}', "sh", sys.executable, "-m", "wiredrv", *arguments]
    return subprocess.run(command, stderr=subprocess.PIPE, text=True, timeout=60)


@FULL
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_output_that_cannot_be_written_is_one_message(backend: str, recording: Path) -> None:
    for arguments in (
        ["ping", "mongodb://127.0.0.1:1", "--backend", backend],
        ["topology", "mongodb://127.0.0.1:1"],
        ["timeline", str(recording), "--no-html"],
    ):
        done = run(">/dev/full", *arguments)
        assert (done.returncode, done.stderr) == (1, "wiredrv: the output cannot be written: No space left on device\n")


def test_an_output_that_is_closed_is_one_message(recording: Path) -> None:
    for arguments in (["ping", "mongodb://127.0.0.1:1"], ["timeline", str(recording), "--no-html"]):
        done = run(">&-", *arguments)
        assert (done.returncode, done.stderr) == (
            1,
            "wiredrv: the standard output is closed: give it a file, or /dev/null\n",
        )
    assert run(">&- 2>&-", "ping", "mongodb://127.0.0.1:1").returncode == 1


def test_an_error_of_a_file_is_not_taken_for_one_of_the_output(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "load", lambda name: Fails(OSError(errno.ENOSPC, "No space left", "a file")))
    with pytest.raises(OSError, match="a file"):
        command.main(["local"])
