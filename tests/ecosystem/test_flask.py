"""Flask with ``wiredrv.sync``: a transaction for each request, in the threads of workers that a server has forked."""

from __future__ import annotations

import importlib
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from types import ModuleType

import httpx
import pytest

from tests.support.waiting import PATIENCE
from wiredrv.local import ReplicaSet
from wiredrv.sync import Client

ROOT = Path(__file__).resolve().parents[2]
WORKERS = 2
#: What gunicorn's first process does before it forks, in one of the tests.
USED_BEFORE = """
def when_ready(server):
    from tests.ecosystem.apps.flask_app import client
    assert client.admin.command("ping")["ok"] == 1
    assert client.theatre.seats.find_one() is not None
"""


@pytest.fixture
def theatre(replica_set: ReplicaSet) -> Iterator[Client]:
    """A client of its own, and thirty seats that are free."""
    with Client(replica_set.uri) as client:
        for collection in (client.theatre.seats, client.theatre.bookings):
            collection.delete_many({})
        client.theatre.bookings.insert_one({"seat": 0})
        client.theatre.seats.insert_many([{"_id": number, "taken_by": None} for number in range(1, 31)])
        yield client


@pytest.fixture
def module(replica_set: ReplicaSet, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The application, in this process."""
    monkeypatch.setenv("MONGODB_URI", replica_set.uri)
    loaded = importlib.import_module("tests.ecosystem.apps.flask_app")
    yield loaded
    loaded.client.close()
    del sys.modules[loaded.__name__]


def test_a_request_is_a_transaction(module: ModuleType, theatre: Client) -> None:
    visitor = module.app.test_client()
    reserved = visitor.post("/seats/7", json={"name": "ada"})
    assert (reserved.status_code, reserved.json) == (200, {"seat": 7, "name": "ada"})
    assert visitor.post("/seats/7", json={"name": "bob"}).status_code == 409
    assert 7 not in visitor.get("/seats").json
    assert [booking["name"] for booking in theatre.theatre.bookings.find({"seat": 7})] == ["ada"]


def test_an_error_in_a_view_undoes_it(module: ModuleType, theatre: Client) -> None:
    theatre.theatre.bookings.create_index("name", name="once", unique=True)
    visitor = module.app.test_client()
    assert visitor.post("/seats/7", json={"name": "ada"}).status_code == 200
    assert visitor.post("/seats/8", json={"name": "ada"}).status_code == 500
    assert 8 in visitor.get("/seats").json
    theatre.theatre.bookings.drop_index("once")


@contextmanager
def gunicorn(uri: str, folder: Path, hooks: str) -> Iterator[tuple[str, Path]]:
    """The application in workers that were forked after it was loaded; the address, and the log of requests."""
    config, log = folder / "gunicorn.conf.py", folder / "access.log"
    config.write_text(hooks)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        fd = listener.fileno()
        command = [sys.executable, "-m", "gunicorn", "--config", str(config), "--bind", f"fd://{fd}", "--preload"]
        command += ["--workers", str(WORKERS), "--threads", "4", "--worker-tmp-dir", str(folder)]
        command += ["--access-logfile", str(log), "--access-logformat", "%(p)s %(s)s", "--log-level", "warning"]
        server = subprocess.Popen(
            [*command, "--graceful-timeout", "5", "tests.ecosystem.apps.flask_app:app"],
            cwd=ROOT,
            env=os.environ | {"MONGODB_URI": uri, "PYTHONPATH": str(ROOT)},
            pass_fds=[fd],
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}", log
        finally:
            server.send_signal(signal.SIGTERM)
            try:
                _, errors = server.communicate(timeout=PATIENCE)
            except subprocess.TimeoutExpired:
                server.kill()
                raise
        assert (server.returncode, "Traceback" in errors) == (0, False), errors


@pytest.mark.parametrize("hooks", ["", USED_BEFORE], ids=["made before the fork", "used before the fork"])
def test_workers_that_were_forked_have_connections_of_their_own(
    theatre: Client, replica_set: ReplicaSet, tmp_path: Path, hooks: str
) -> None:
    """Thirty people reserve fifteen seats at once: each seat is one's, in whichever worker and thread."""
    with gunicorn(replica_set.uri, tmp_path, hooks) as (address, log):

        def reserve(visitor: int) -> int:
            with httpx.Client(timeout=PATIENCE, trust_env=False) as http:
                body = {"name": f"visitor {visitor}"}
                return http.post(f"{address}/seats/{visitor % 15 + 1}", json=body).status_code

        statuses: list[int] = []
        deadline = monotonic() + PATIENCE
        with ThreadPoolExecutor(10) as visitors:
            while len(set(workers(log))) < WORKERS:
                assert monotonic() < deadline, "one worker answers all requests"
                free(theatre)
                statuses = list(visitors.map(reserve, range(30)))
    assert sorted(statuses) == [200] * 15 + [409] * 15
    taken = {seat["_id"]: seat["taken_by"] for seat in theatre.theatre.seats.find({"taken_by": {"$ne": None}})}
    assert {booking["seat"]: booking["name"] for booking in theatre.theatre.bookings.find()} == taken
    assert len(taken) == 15


def free(theatre: Client) -> None:
    """Make all seats free again."""
    theatre.theatre.seats.update_many({}, {"$set": {"taken_by": None}})
    theatre.theatre.bookings.delete_many({})


def workers(log: Path) -> list[str]:
    """The processes that answered requests."""
    return re.findall(r"^<(\d+)> \d+$", log.read_text(), re.MULTILINE) if log.exists() else []
