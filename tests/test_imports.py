"""What importing wiredrv loads, checked in fresh interpreters: never ``pymongo``, no more than needed, and quickly."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pymongo
import pytest
from gridfs import asynchronous as gridfs
from gridfs.asynchronous import grid_file
from motor import motor_asyncio
from pymongo.asynchronous import change_stream, client_session, collection, command_cursor, cursor, database

import wiredrv
import wiredrv._version
from wiredrv.client.absent import RENAMED

#: Seconds of CPU time: the goal on an idle machine, and what a shared machine that is slow may take.
GOAL_SECONDS, TOLERATED_SECONDS = 0.2, 0.5

PYMONGO_MODULES = (change_stream, client_session, collection, command_cursor, cursor, database, gridfs, grid_file)


def _loaded(program: str) -> set[str]:
    """The names of the modules that a fresh interpreter has loaded after ``program``."""
    told = _run(f"{program}\nimport sys, json\nprint(json.dumps(sorted(sys.modules)))")
    return set(json.loads(told))


def _run(program: str) -> str:
    # Coverage tools and the like load modules of their own through these variables.
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("COV_", "PYTHON"))}
    finished = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, env=environment
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


def _among(loaded: set[str], *packages: str) -> set[str]:
    return {name for name in loaded if name.partition(".")[0] in packages}


@pytest.mark.parametrize(
    "program",
    [
        "import wiredrv\nfor name in wiredrv.__all__: getattr(wiredrv, name)",
        "import pkgutil, importlib, wiredrv\n"
        "for module in pkgutil.walk_packages(wiredrv.__path__, 'wiredrv.'):\n"
        "    module.name.endswith(('__main__', '.compat.pymongo')) or importlib.import_module(module.name)",
    ],
    ids=["every public name", "every module but the one that is for it"],
)
def test_pymongo_is_never_imported(program: str) -> None:
    loaded = _loaded(program)
    assert "bson" in loaded
    assert not _among(loaded, "pymongo", "motor", "gridfs")


def test_the_check_would_see_pymongo() -> None:
    assert _among(_loaded("import wiredrv.compat.pymongo"), "pymongo")


@pytest.mark.parametrize("module", ["wiredrv.wire", "wiredrv.wire.op_msg", "wiredrv.session.state"])
def test_a_room_without_io_loads_no_event_loop(module: str) -> None:
    loaded = _loaded(f"import {module}")
    assert module in loaded
    assert not _among(loaded, "anyio", "asyncio", "trio", "dns", "ssl")


def test_a_client_without_srv_loads_no_dnspython_and_no_command_line() -> None:
    loaded = _loaded("import wiredrv\nwiredrv.Client('mongodb://localhost:27017')")
    assert "wiredrv.client.client" in loaded
    assert not _among(loaded, "dns", "rich", "trio")


def test_change_streams_are_loaded_when_one_is_made() -> None:
    made = "import wiredrv\nclient = wiredrv.Client()\nclient.shop.orders.find_one"
    assert not [name for name in _loaded(made) if "change_stream" in name]
    watched = f"{made}\nimport warnings; warnings.simplefilter('ignore'); client.shop.orders.watch()"
    assert "wiredrv.client.change_streams.stream" in _loaded(watched)


def test_snapshots_and_tokens_are_loaded_when_one_is_made() -> None:
    made = "import wiredrv\nclient = wiredrv.Client()\nclient.shop.orders.find_one"
    assert not [name for name in _loaded(made) if ".snapshot" in name or name.endswith(".tokens")]
    assert "wiredrv.client.snapshots.scan" in _loaded(f"{made}\nclient.snapshot()")
    loaded = _loaded("import wiredrv.sync\nwiredrv.sync.Client().shop.orders.find_one")
    assert not {"wiredrv.client.snapshots.scan", "wiredrv.client.snapshots.snapshot"} & loaded


def test_an_asynchronous_client_loads_nothing_of_synchronous_ones() -> None:
    loaded = _loaded("import wiredrv\nwiredrv.Client().shop.orders.find_one")
    assert "wiredrv.waits.choice" in loaded
    threads = {name for name in loaded if "thread" in name and name.startswith("wiredrv")}
    assert not threads | {name for name in loaded if name.startswith("wiredrv.sync")}


def test_gridfs_is_loaded_with_a_bucket() -> None:
    made = "import wiredrv\nclient = wiredrv.Client()\nclient.shop.orders.find_one"
    assert not {name for name in _loaded(made) if name.startswith("wiredrv.gridfs")}
    assert "wiredrv.gridfs.bucket" in _loaded("import wiredrv\nwiredrv.GridFSBucket")


def test_a_client_loads_tracing_only_if_it_is_traced() -> None:
    loaded = _loaded("import wiredrv\nwiredrv.Client()")
    assert not _among(loaded, "opentelemetry")
    assert not {name for name in loaded if name.startswith("wiredrv.tracing")}
    loaded = _loaded("import wiredrv\nwiredrv.Client(tracing={'enabled': True})")
    assert {"opentelemetry.trace", "wiredrv.tracing.executor"} <= loaded
    assert "opentelemetry.sdk" not in loaded


def test_a_client_loads_timelines_only_if_it_is_recorded() -> None:
    made = "import wiredrv\nclient = wiredrv.Client()\nclient.shop.orders.find_one"
    assert not {name for name in _loaded(made) if name.startswith("wiredrv.timeline")}
    loaded = _loaded(f"{made}\nwiredrv.record()")
    assert "wiredrv.timeline.recording" in loaded
    assert not {name for name in loaded if name.startswith("wiredrv.timeline.page")} | _among(loaded, "rich")


def test_a_client_with_a_password_loads_nothing_of_tokens_and_clouds() -> None:
    loaded = _loaded(
        "import wiredrv\nfrom wiredrv.connection.auth.negotiation import speculate\n"
        "client = wiredrv.Client('mongodb://ann:secret@localhost:27017')\n"
        "assert speculate(client._core.settings.connection.credentials)"
    )
    assert "wiredrv.connection.auth.scram" in loaded
    absent = {"auth.oidc", "auth.aws", "auth.callbacks", "auth.current", "auth.environments"}
    absent |= {"ask", "token_source", "aws_source", "rotation"}
    assert not {f"wiredrv.connection.{name}" for name in absent} & loaded
    assert not _among(loaded, "botocore", "http")


def test_every_public_name_is_found_and_listed() -> None:
    missing = [name for name in wiredrv.__all__ if not hasattr(wiredrv, name)]
    assert not missing
    assert set(wiredrv.__all__) <= set(dir(wiredrv))
    with pytest.raises(AttributeError, match="no attribute 'Clinet'"):
        _ = wiredrv.Clinet  # type: ignore[attr-defined]  # a mistake is the point


def test_the_list_of_public_names_is_that_of_their_homes() -> None:
    assert sorted(wiredrv.__all__) == sorted({*wiredrv._HOMES, *wiredrv._MODULES, "__version__"})


@pytest.mark.parametrize(("name", "here"), sorted(RENAMED.items()))
def test_a_class_that_pymongo_calls_otherwise_is_named(name: str, here: str) -> None:
    assert any(hasattr(module, name) for module in (pymongo, motor_asyncio, *PYMONGO_MODULES))
    assert here in wiredrv.__all__
    with pytest.raises(AttributeError, match=f"no attribute '{name}': (PyMongo|Motor)'s {name} is {here} here$"):
        getattr(wiredrv, name)


def test_there_is_one_version() -> None:
    assert wiredrv.__version__ is wiredrv._version.__version__


@pytest.mark.parametrize("program", ["import wiredrv", "import wiredrv; wiredrv.Client"])
def test_importing_is_quick(program: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The best of at most five, in CPU time: other programs on the machine can only make it slower."""
    clocks = "time.process_time(), time.perf_counter()"
    timed = f"import time\nbegin = {clocks}\n{program}\nend = {clocks}\nprint(end[0] - begin[0], end[1] - begin[1])"
    runs: list[tuple[float, ...]] = []
    while not runs or (min(runs)[0] > GOAL_SECONDS and len(runs) < 5):
        runs.append(tuple(map(float, _run(timed).split())))
    cpu, wall = min(runs)
    with capsys.disabled():
        print(f"\n{program}: {cpu * 1000:.0f} ms of processor time, {wall * 1000:.0f} ms in all")
    assert cpu < TOLERATED_SECONDS
