"""``WIREDRV_RECORD``: a whole program is recorded, however it ends. Against a fake server, in other processes."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import textwrap
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import pytest

from tests.support.fake_server import FakeServer, with_sessions
from wiredrv.timeline.file import RecordFile
from wiredrv.timeline.records import CommandRecord, Dropped, Header, Record, read_lines

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the driver is for POSIX")

ROOT = Path(__file__).resolve().parents[2]
BEGINNING = """
import os, sys, time, signal, wiredrv.sync
client = wiredrv.sync.Client(sys.argv[1])
orders = client.shop.orders
"""

Program: TypeAlias = "Callable[..., subprocess.CompletedProcess[str]]"


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer({**with_sessions(), "setName": "rs"}) as fake:
        fake.hello |= {"hosts": [str(fake.address)], "me": str(fake.address)}
        yield fake


@pytest.fixture
def program(server: FakeServer, tmp_path: Path) -> Program:
    """Runs a program; ``file`` is the value of the variable."""

    def run(text: str, file: str = "run.jsonl") -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "WIREDRV_RECORD": file, "PYTHONPATH": str(ROOT)}
        # Python 3.12 and later warn of a fork in a process with threads, which a synchronous client has.
        options = ["-W", "ignore::DeprecationWarning"]
        command = [sys.executable, *options, "-c", BEGINNING + textwrap.dedent(text), server.uri]
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60)

    return run


def read(path: Path) -> tuple[Header, list[Record]]:
    with path.open(encoding="utf-8", newline="\n") as file:
        header, records = read_lines(file, path.name)
        return header, list(records)


def names(path: Path) -> list[str]:
    return [record.name for record in read(path)[1] if isinstance(record, CommandRecord)]


def test_a_program_is_recorded(program: Program, tmp_path: Path) -> None:
    (tmp_path / "run.jsonl").write_text("what was there before\n" * 100)
    (tmp_path / "run.jsonl").chmod(0o644)
    done = program("orders.insert_one({}); orders.find_one({}); print(os.getpid()); client.close()")
    assert (done.returncode, done.stderr) == (0, "")
    header, _ = read(tmp_path / "run.jsonl")
    assert header.process == int(done.stdout)
    assert names(tmp_path / "run.jsonl") == ["insert", "find", "endSessions"]
    assert [path.name for path in tmp_path.iterdir()] == ["run.jsonl"]
    assert (tmp_path / "run.jsonl").stat().st_mode & 0o077 == 0, "also if it was there before, and others could read it"


@pytest.mark.parametrize(
    "end, status",
    [
        ("sys.exit(3)", 3),
        ("raise ValueError", 1),
        ("time.sleep(1.2); os._exit(4)", 4),
        ("time.sleep(1.2); os.kill(os.getpid(), signal.SIGTERM)", -signal.SIGTERM),
        ("time.sleep(1.2); os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL),
        ("os.kill(os.getpid(), signal.SIGINT); time.sleep(5)", -signal.SIGINT),
    ],
)
def test_it_is_recorded_however_it_ends(program: Program, tmp_path: Path, end: str, status: int) -> None:
    done = program(f"orders.insert_one({{}}); orders.find_one({{}}); {end}")
    assert done.returncode in (status, 130 if status == -signal.SIGINT else status)
    assert names(tmp_path / "run.jsonl") == ["insert", "find"]


def test_an_asynchronous_program_is_recorded(server: FakeServer, program: Program, tmp_path: Path) -> None:
    text = """
    import anyio
    async def main():
        async with wiredrv.Client(sys.argv[1]) as other:
            async with other.start_session() as session, session.start_transaction():
                await other.shop.orders.insert_one({}, session=session)
    anyio.run(main, backend="trio")
    """
    assert program(text).stderr == ""
    kinds = [type(record).__name__ for record in read(tmp_path / "run.jsonl")[1]]
    assert kinds.count("CommandRecord") == 3
    assert kinds.count("TransactionMark") == 2
    assert kinds.count("SessionMark") == 2


def test_a_forked_process_has_a_file_of_its_own(program: Program, tmp_path: Path) -> None:
    text = """
    orders.insert_one({})
    child = os.fork()
    if child == 0:
        orders.find_one({})
        sys.exit()
    os.waitpid(child, 0)
    if os.fork() == 0:
        os._exit(0)  # has nothing to record
    os.wait()
    orders.update_one({}, {"$set": {"a": 1}})
    print(child)
    """
    done = program(text)
    assert (done.returncode, done.stderr) == (0, "")
    child = int(done.stdout)
    assert {path.name for path in tmp_path.iterdir()} == {"run.jsonl", f"run.{child}.jsonl"}
    assert names(tmp_path / "run.jsonl") == ["insert", "update"]
    assert names(tmp_path / f"run.{child}.jsonl") == ["find"]
    assert read(tmp_path / f"run.{child}.jsonl")[0].process == child


def test_a_forked_process_is_recorded_that_forks_another_one_first(program: Program, tmp_path: Path) -> None:
    text = """
    orders.insert_one({})
    child = os.fork()
    if child == 0:
        if os.fork() == 0:
            os._exit(0)
        os.wait()
        orders.find_one({})
        sys.exit()
    os.waitpid(child, 0)
    print(child)
    """
    done = program(text)
    assert (done.returncode, done.stderr) == (0, "")
    assert names(tmp_path / f"run.{int(done.stdout)}.jsonl") == ["find"]


def test_processes_of_multiprocessing_are_recorded_to_their_end(program: Program, tmp_path: Path) -> None:
    text = """
    import multiprocessing
    orders.insert_one({})
    worker = multiprocessing.get_context("fork").Process(target=orders.find_one, args=({},))
    worker.start(); worker.join(); print(worker.pid)
    """
    done = program(text)
    assert (done.returncode, done.stderr) == (0, "")
    assert names(tmp_path / f"run.{done.stdout.strip()}.jsonl") == ["find"]


def test_the_name_may_have_the_number_of_the_process(program: Program, tmp_path: Path) -> None:
    text = (
        "orders.find_one({}); print(os.getpid()); child = os.fork(); child or orders.find_one({}); child and os.wait()"
    )
    done = program(text, "run-%p.jsonl")
    assert done.returncode == 0
    files = {path.name for path in tmp_path.iterdir()}
    assert len(files) == 2
    assert f"run-{done.stdout.split()[0]}.jsonl" in files
    assert all(re.fullmatch(r"run-\d+\.jsonl", name) for name in files)


def test_a_process_that_finds_the_file_in_use_takes_another(program: Program, tmp_path: Path) -> None:
    text = """
    import subprocess
    orders.insert_one({})
    text = "import sys, os, wiredrv.sync; wiredrv.sync.Client(sys.argv[1]).shop.orders.find_one({}); print(os.getpid())"
    print(subprocess.run([sys.executable, "-c", text, sys.argv[1]], capture_output=True, text=True).stdout)
    """
    done = program(text)
    assert names(tmp_path / "run.jsonl") == ["insert"]
    assert names(tmp_path / f"run.{done.stdout.strip()}.jsonl") == ["find"]


@pytest.mark.parametrize("file", ["/nowhere/run.jsonl", "."])
def test_a_file_that_cannot_be_written_is_an_error_at_once(program: Program, file: str) -> None:
    done = program("", file)
    assert done.returncode == 1
    assert "ConfigurationError: WIREDRV_RECORD names a file that cannot be written: " in done.stderr


def test_an_empty_name_records_nothing(program: Program, tmp_path: Path) -> None:
    done = program("orders.find_one({}); print([name for name in sys.modules if 'timeline' in name])", "")
    assert (done.stdout, list(tmp_path.iterdir())) == ("[]\n", [])


def test_a_file_that_fails_later_does_not_stop_the_program(program: Program) -> None:
    text = """
    from wiredrv.timeline import program
    os.dup2(os.open("/dev/full", os.O_WRONLY), program._recording._file._descriptor)
    orders.find_one({}); time.sleep(1); orders.find_one({}); print("done")
    """
    done = program(text)
    assert (done.returncode, done.stdout) == (0, "done\n")
    assert "recording ends, since its file cannot be written" in done.stderr


def test_a_busy_program_is_bounded(program: Program, tmp_path: Path) -> None:
    text = """
    from wiredrv.timeline import program
    program._recording._buffer.limit = 50
    program._recording._file._limit = 100
    for number in range(700):
        orders.find_one({"number": number})
    """
    assert program(text).returncode == 0
    _, records = read(tmp_path / "run.jsonl")
    commands = [record for record in records if isinstance(record, CommandRecord)]
    dropped = sum(record.count for record in records if isinstance(record, Dropped))
    assert len(commands) <= 200
    found = [record for record in commands if record.name == "find"]
    marks = 5  # at most, of the deployment and of the end
    assert 700 <= len(records) + dropped <= 700 + marks
    assert '"number": 699}' in (found[-1].command or "")


def test_the_file_can_be_read_while_it_is_written(server: FakeServer, tmp_path: Path) -> None:
    environment = {**os.environ, "WIREDRV_RECORD": "run.jsonl", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", BEGINNING + "orders.find_one({}); sys.stdin.read()", server.uri]
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stdin=subprocess.PIPE) as running:
        until = time.monotonic() + 20
        while not (tmp_path / "run.jsonl").exists() or not names(tmp_path / "run.jsonl"):
            assert time.monotonic() < until
            time.sleep(0.05)
        running.communicate(timeout=20)
    assert names(tmp_path / "run.jsonl") == ["find"]


def test_the_oldest_lines_of_a_file_are_dropped(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    file = RecordFile.open(path, Header(started="now"), 10)
    file.dropped(3)
    for number in range(95):
        # Python takes two of these characters for ends of lines, and one cannot be written as UTF-8.
        file.add(CommandRecord(id=number, at=number, name="find", collection="a\u2028b\x85c\ud800"))
        file.flush()
    file.close()
    header, records = read(path)
    assert header == Header(started="now")
    assert isinstance(records[0], Dropped)
    ids = [record.id for record in records if isinstance(record, CommandRecord)]
    assert 10 <= len(ids) <= 20
    assert ids == list(range(95 - len(ids), 95))
    assert records[0].count + len(ids) == 98
    assert [found.name for found in tmp_path.iterdir()] == ["run.jsonl"]


def test_dropping_the_oldest_lines_takes_little_memory(tmp_path: Path) -> None:
    file = RecordFile.open(tmp_path / "run.jsonl", Header(started="now"), 5_000)
    for number in range(10_000):
        file.add(CommandRecord(id=number, at=number, name="find", command="x" * 300))
    file.flush()
    size = (tmp_path / "run.jsonl").stat().st_size
    file.add(CommandRecord(id=10_000, at=10_000, name="find"))
    tracemalloc.start()
    try:
        file.flush()
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    file.close()
    assert (tmp_path / "run.jsonl").stat().st_size < size * 0.6
    assert most < size / 10
