"""``wiredrv export``: what it writes, where, and what it says when it cannot."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bson import json_util
from bson.codec_options import DatetimeConversion
from bson.datetime_ms import DatetimeMS

from tests.support.scans import IDS
from tests.support.terminal import terminal
from wiredrv.cli._output import output_to
from wiredrv.cli.export import projection_of, query_of
from wiredrv.cli.main import main
from wiredrv.errors import ConfigurationError
from wiredrv.local import ReplicaSet, Standalone
from wiredrv.sync import Client

DATABASE = "wiredrv_export"


@pytest.fixture
def client(replica_set: ReplicaSet) -> Iterator[Client]:
    with Client(replica_set.uri) as client:
        client.drop_database(DATABASE)
        yield client


def test_a_snapshot_is_written_in_order_with_every_type(
    client: Client, replica_set: ReplicaSet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    documents: list[dict[str, Any]] = [{"_id": value, "n": number} for number, value in enumerate(IDS)]
    documents[3]["when"] = DatetimeMS(2**60)
    client[DATABASE].kinds.insert_many(documents)
    file = tmp_path / "kinds.json"
    arguments = ["--snapshot", "--ordered", "--format", "canonical", "--output", str(file)]
    assert main(["export", replica_set.uri, f"{DATABASE}.kinds", *arguments]) == 0
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith(f"exported {len(IDS)} documents of {DATABASE}.kinds, as of 20")
    far_dates = json_util.JSONOptions(datetime_conversion=DatetimeConversion.DATETIME_AUTO)
    found = [json_util.loads(line, json_options=far_dates) for line in file.read_text().splitlines()]
    assert [document["n"] for document in found] == list(range(len(IDS)))
    assert found[3]["when"] == DatetimeMS(2**60)
    assert stat.S_IMODE(file.stat().st_mode) == 0o666 & ~_umask()
    assert list(tmp_path.iterdir()) == [file]

    # The same moment, although it has changed since.
    client[DATABASE].kinds.delete_many({})
    token = printed.err.split("--token ")[1].split()[0]
    again = ["--token", token, "--ordered", "--format", "canonical", "--quiet"]
    assert main(["export", replica_set.uri, f"{DATABASE}.kinds", *again]) == 0
    printed = capsys.readouterr()
    assert printed.out == file.read_text()
    assert printed.err == ""


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_a_query_and_fields_of_a_standalone(standalone: Standalone, capsys: pytest.CaptureFixture[str]) -> None:
    with Client(standalone.uri) as client:
        client.drop_database(DATABASE)
        client[DATABASE].orders.insert_many([{"_id": number, "sku": f"é{number}", "n": 1} for number in range(5)])
    asked = ["--query", '{"_id": {"$gte": 3}}', "--fields", "sku, -_id"]
    assert main(["export", standalone.uri, f"{DATABASE}.orders", *asked]) == 0
    printed = capsys.readouterr()
    assert [json_util.loads(line) for line in printed.out.splitlines()] == [{"sku": "é3"}, {"sku": "é4"}]
    assert "--snapshot reads one moment" in printed.err
    assert main(["export", standalone.uri, f"{DATABASE}.orders", "--snapshot"]) == 1
    assert "a standalone" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["shop"], "does not name a collection"),
        (["shop."], "does not name a collection"),
        (["shop.orders", "--query", "{a"], "--query is not extended JSON"),
        (["shop.orders", "--query", "[]"], "--query must be a document"),
        (["shop.orders", "--fields", ","], "--fields takes names"),
        (["shop.orders", "--snapshot", "--readers", "0"], "readers must be from 1"),
        (["shop.orders", "--token", "nonsense"], "this is not a token"),
        (["shop.orders", "--output", "/"], "is a directory"),
        (["shop.orders", "--output", "/no/such/place"], "cannot be written: No such file"),
    ],
)
def test_what_is_wrong_is_said(
    replica_set: ReplicaSet, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    assert main(["export", replica_set.uri, *arguments]) == 1
    printed = capsys.readouterr()
    assert words in printed.err
    assert printed.out == ""


def test_what_cannot_be_completed_leaves_the_old_file(
    client: Client, replica_set: ReplicaSet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    client[DATABASE].broken.insert_many([{"_id": 1}, {"_id": 2}])
    file = tmp_path / "broken.json"
    file.write_text("old")
    file.chmod(0o640)
    arguments = ["--output", str(file), "--snapshot"]
    assert main(["export", replica_set.uri, f"{DATABASE}.broken", *arguments, "--query", '{"$nonsense": 1}']) == 1
    assert "nonsense" in capsys.readouterr().err
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]
    assert main(["export", replica_set.uri, f"{DATABASE}.broken", *arguments]) == 0
    assert len(file.read_text().splitlines()) == 2
    assert stat.S_IMODE(file.stat().st_mode) == 0o640


def test_a_file_appears_when_it_is_complete(tmp_path: Path) -> None:
    place, link = tmp_path / "place", tmp_path / "link"
    link.symlink_to(place)
    with output_to(str(link)) as file:
        file.write("all of it\n")
        assert not place.exists()
    assert place.read_text() == "all of it\n"
    assert link.is_symlink()
    with pytest.raises(ConfigurationError, match="No space left"), output_to(str(place)):
        raise OSError(28, "No space left on device")
    assert sorted(tmp_path.iterdir()) == [link, place]


def test_a_named_pipe_is_written_directly(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()))
    reader.start()
    with output_to(str(pipe)) as file:
        file.write("through it\n")
    reader.join(10)
    assert read == ["through it\n"]
    assert list(tmp_path.iterdir()) == [pipe]


def test_ctrl_c_and_a_reader_that_leaves(client: Client, replica_set: ReplicaSet, tmp_path: Path) -> None:
    client[DATABASE].large.insert_many([{"_id": number, "text": "x" * 5000} for number in range(3000)])
    program = [sys.executable, "-m", "wiredrv", "export", replica_set.uri, f"{DATABASE}.large", "--snapshot"]
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        assert running.stdout is not None
        assert running.stdout.readline().startswith(b'{"_id": ')
        running.stdout.close()  # as `head -1` does
        assert running.stderr is not None
        assert running.stderr.read() == b""
        assert running.wait(30) == 141
    program += ["--output", str(tmp_path / "large.json"), "--query", '{"$where": "sleep(5) || true"}']
    with subprocess.Popen(program, stderr=subprocess.PIPE) as running:
        end = time.monotonic() + 20
        while not list(tmp_path.iterdir()) and time.monotonic() < end:
            time.sleep(0.01)
        time.sleep(0.5)
        running.send_signal(signal.SIGINT)
        assert running.wait(30) == 130
    assert list(tmp_path.iterdir()) == []


def test_a_terminal_shows_a_bar(client: Client, replica_set: ReplicaSet, tmp_path: Path) -> None:
    client[DATABASE].large.insert_many([{"_id": number, "text": "x" * 500} for number in range(3000)])
    program = [sys.executable, "-m", "wiredrv", "export", replica_set.uri, f"{DATABASE}.large", "--snapshot"]
    with terminal([*program, "--output", str(tmp_path / "large.json")]) as screen:
        assert screen.wait() == 0
    assert "/3000" in screen.shown
    assert "exported 3,000 documents" in screen.shown


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, None),
        ("a", {"a": 1}),
        ("a, b.c", {"a": 1, "b.c": 1}),
        ("a,-_id", {"a": 1, "_id": 0}),
        ("-_id", {"_id": 0}),
    ],
)
def test_fields(text: str | None, expected: dict[str, int] | None) -> None:
    assert projection_of(text) == expected


def test_a_query_is_extended_json() -> None:
    assert query_of('{"when": {"$date": {"$numberLong": "0"}}}')["when"].year == 1970
    with pytest.raises(ConfigurationError, match="only -_id leaves one out"):
        projection_of("-a")
