"""Synchronous clients in a forked process, and at the end of the interpreter."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from wiredrv.errors import InvalidOperation
from wiredrv.local import ReplicaSet
from wiredrv.sync import Client

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.filterwarnings("ignore:This process:DeprecationWarning", "ignore::ResourceWarning")


def run(program: str, *arguments: str, seconds: float = 30) -> tuple[str, float]:
    """Run a program; what it printed, and how many seconds its end took after the last line."""
    begin = time.monotonic()
    finished = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        capture_output=True,
        text=True,
        timeout=seconds,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert finished.returncode == 0, finished.stderr
    assert "Traceback" not in finished.stderr, finished.stderr
    return finished.stdout, time.monotonic() - begin


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_uses_the_client_that_its_parent_made_and_uses(replica_set: ReplicaSet) -> None:
    with Client(replica_set.uri, retryReads=False) as client:
        client.admin.command("ping")
        session = client.start_session()
        stop = threading.Event()

        def work() -> None:
            while not stop.is_set():
                client.admin.command("ping")

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        try:
            for _ in range(3):
                child = os.fork()
                if not child:
                    status = 1
                    try:
                        assert client.admin.command("ping")["ok"] == 1
                        with pytest.raises(InvalidOperation, match="before a fork"):
                            client.admin.command("ping", session=session)
                        with client.transaction():
                            pass
                        client.close()
                        status = 0
                    finally:
                        os._exit(status)
                assert os.waitpid(child, 0)[1] == 0
                assert client.admin.command("ping")["ok"] == 1
        finally:
            stop.set()
            for thread in threads:
                thread.join()
            session.end_session()


_OPEN_AT_THE_END = """
import sys, threading, time
from wiredrv.sync import Client
client = Client(sys.argv[1], appName=sys.argv[2])
session = client.start_session()
session.start_transaction()
client.sync_ends.items.insert_one({"_id": 1}, session=session)
for _ in range(4):
    threading.Thread(target=lambda: [client.admin.command("ping") for _ in range(10_000)], daemon=True).start()
time.sleep(0.1)
print(client.admin.command("ping")["ok"])
"""


def test_the_end_of_the_interpreter_aborts_what_is_open(replica_set: ReplicaSet) -> None:
    with Client(replica_set.uri) as client:
        client.sync_ends.drop_collection("items")
        client.sync_ends.create_collection("items")
        printed, _ = run(_OPEN_AT_THE_END, replica_set.uri, "ends")
        assert printed == "1.0\n"
        # The transaction holds no lock any longer: else this would wait for a minute.
        client.sync_ends.items.insert_one({"_id": 1}, timeout_ms=10_000)
        client.drop_database("sync_ends")


_NO_SERVER = """
import sys
from wiredrv.sync import Client
from wiredrv.errors import ServerSelectionTimeoutError
client = Client("mongodb://192.0.2.1", serverSelectionTimeoutMS=100)
try:
    client.admin.command("ping")
except ServerSelectionTimeoutError:
    print("no server")
"""


def test_the_end_of_the_interpreter_does_not_wait_for_a_server_that_is_not_there() -> None:
    printed, seconds = run(_NO_SERVER)
    assert printed == "no server\n"
    assert seconds < 10


_AT_EXIT = """
import atexit, sys
from wiredrv.sync import Client
client = Client(sys.argv[1])
client.admin.command("ping")

@atexit.register
def last() -> None:
    print(client.admin.command("ping")["ok"])
"""


def test_a_program_may_use_its_client_in_an_exit_handler(replica_set: ReplicaSet) -> None:
    assert run(_AT_EXIT, replica_set.uri)[0] == "1.0\n"
