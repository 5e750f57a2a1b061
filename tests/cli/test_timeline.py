"""``wiredrv timeline``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.terminal import terminal
from tests.timeline.recordings import SESSION, bank
from wiredrv.cli.main import main


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "run.jsonl"
    path.write_text("".join(json.dumps(fields) + "\n" for fields in bank()), encoding="utf-8")
    return path


def test_it_shows_the_recording_and_writes_the_page(recording: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["timeline", str(recording)]) == 0
    out = capsys.readouterr().out
    page = recording.with_suffix(".html")
    assert f"session {SESSION}" in out
    assert out.endswith(f"The page is {page}\n")
    assert "\x1b" not in out
    assert "<title>Session timeline: run.jsonl</title>" in page.read_text(encoding="utf-8")


def test_the_page_goes_elsewhere_or_nowhere(
    recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["timeline", str(recording), "--no-html"]) == 0
    assert ".html" not in capsys.readouterr().out
    assert main(["timeline", str(recording), "--html", str(tmp_path / "other.html")]) == 0
    assert {path.name for path in tmp_path.iterdir()} == {"run.jsonl", "other.html"}


def test_the_page_never_replaces_the_recording(recording: Path, capsys: pytest.CaptureFixture[str]) -> None:
    named = recording.rename(recording.with_suffix(".html"))
    before = named.read_text(encoding="utf-8")
    assert main(["timeline", str(named)]) == 1
    assert "name another file with --html OUT" in capsys.readouterr().err
    assert named.read_text(encoding="utf-8") == before
    assert main(["timeline", str(named), "--no-html"]) == 0


def test_what_is_shown_can_be_chosen(recording: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["timeline", str(recording), "--no-html", "--session", SESSION[:4], "--transaction", "2"]) == 0
    out = capsys.readouterr().out
    assert "commitTransaction" in out
    assert "transaction 1" not in out
    assert main(["timeline", str(recording), "--no-html", "--errors"]) == 0
    assert "WriteConflict" in capsys.readouterr().out


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad, binary = tmp_path / "bad.jsonl", tmp_path / "binary"
    bad.write_text("hello\n")
    binary.write_bytes(b"\xff\xfe")
    for path, message in ((tmp_path / "none", "No such file"), (bad, "line 1"), (binary, "UTF-8"), (tmp_path, "Is a")):
        assert main(["timeline", str(path)]) == 1
        assert message in capsys.readouterr().err


def test_a_page_that_cannot_be_written_is_an_error(recording: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["timeline", str(recording), "--html", "/nowhere/page.html"]) == 1
    assert "/nowhere/page.html cannot be written: No such file" in capsys.readouterr().err


def test_without_rich_it_says_what_to_install(
    recording: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "rich.console", None)
    assert main(["timeline", str(recording), "--no-html"]) == 1
    assert "pip install 'wiredrv[cli]'" in capsys.readouterr().err


def test_what_it_shows_does_not_control_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hostile = {"kind": "command", "id": 1, "at": 1, "name": "\x1b[2Jfind", "ok": False, "error": {"type": "X\r\n"}}
    path = tmp_path / "run.jsonl"
    path.write_text("".join(json.dumps(fields) + "\n" for fields in (bank()[0], hostile)))
    assert main(["timeline", str(path), "--no-html"]) == 0
    out = capsys.readouterr().out
    assert "\\x1b[2Jfind" in out
    assert not set("\x1b\r") & set(out)


def test_in_a_terminal_it_fits(recording: Path) -> None:
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "80"}
    command = [sys.executable, "-m", "wiredrv", "timeline", str(recording), "--no-html"]
    with terminal(command, environment) as shown:
        text = shown.read_until("no session")
        assert shown.wait() == 0
    assert "┌ transaction 2, attempt 2" in text
    assert max(map(len, text.splitlines())) <= 80


def test_a_terminal_gets_colours(
    recording: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert main(["timeline", str(recording), "--no-html"]) == 0
    assert "\x1b[31m" in capsys.readouterr().out


def test_the_reader_of_a_pipe_may_leave(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    lines = [{"kind": "command", "id": number, "at": number, "name": "find"} for number in range(20_000)]
    path.write_text("".join(json.dumps(fields) + "\n" for fields in (bank()[0], *lines)))
    command = [sys.executable, "-m", "wiredrv", "timeline", str(path), "--no-html"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(30) == 141
