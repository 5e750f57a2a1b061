"""A slice of the fuzzing, and tests of the fuzzer itself: it must find the faults that it is made to find.

Cases run in a process of their own, where nothing but the seed decides what happens (``tests/fuzz/__main__.py``).
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import bson
import pytest

from tests.fuzz import clock, operations, sessions, values
from tests.fuzz.__main__ import run_cases
from tests.fuzz.answers import Commit
from tests.fuzz.bson_bytes import broken, elements
from tests.fuzz.case import Result, backend_of, judge_commit
from tests.fuzz.chance import Chance
from tests.fuzz.damage import Delivery, Envelope, damaged
from tests.fuzz.deployment import Deployment
from tests.fuzz.operations import Scene, Transaction
from wiredrv.errors import UNKNOWN_COMMIT_RESULT, AutoReconnect
from wiredrv.execution.executor import Executor
from wiredrv.operations.distinct import Distinct
from wiredrv.topology.monitor import Monitor

#: The seed of the slice. Any other would do; a fixed one makes a failure a regression.
_SEED = 20_260_101
#: The number of its cases: `make unit` uses fewer.
_CASES = int(os.environ.get("WIREDRV_FUZZ_CASES", "2000"))
_ROOT = Path(__file__).parents[2]

BACKENDS = ("asyncio", "trio")


def _fuzz(*arguments: str) -> subprocess.CompletedProcess[str]:
    paths = os.pathsep.join((str(_ROOT), *os.environ.get("PYTHONPATH", "").split(os.pathsep)))
    return subprocess.run(
        [sys.executable, "-m", "tests.fuzz", "--seed", str(_SEED), *arguments],
        capture_output=True,
        text=True,
        cwd=_ROOT,
        env={**os.environ, "PYTHONPATH": paths},
    )


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
def test_only_values_and_driver_errors_come_out_whatever_the_peer_says(backend: str) -> None:
    run = _fuzz("--cases", str(_CASES), "--backend", backend)
    print(run.stdout)
    assert run.returncode == 0, run.stderr or "see what was found above"
    assert f"{_CASES // 2} cases" in run.stdout


def _cases(backend: str, count: int) -> range:
    return range(backend == "trio", 2 * count, 2)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_peer_that_does_no_harm_is_understood(backend: str) -> None:
    outcomes: dict[str, int] = {}
    for result in run_cases(_SEED, _cases(backend, 150), harmless=True):
        assert result.findings == []
        for _, outcome in result.outcomes:
            outcomes[outcome] = outcomes.get(outcome, 0) + 1
    # The rest: deadlines of the caller, and calls that a deployment or a codec of the user refuses.
    assert outcomes["value"] > 0.8 * sum(outcomes.values())
    assert "AutoReconnect" not in outcomes


def test_a_case_is_a_function_of_seed_and_number() -> None:
    runs = [_fuzz("--case", *map(str, range(60, 100))).stdout for _ in range(2)]
    assert runs[0] == runs[1]
    assert runs[0].count("case ") == 40


def test_a_run_that_is_interrupted_says_what_it_came_to() -> None:
    command = [sys.executable, "-u", "-m", "tests.fuzz", "--seed", str(_SEED)]
    paths = os.pathsep.join((str(_ROOT), *os.environ.get("PYTHONPATH", "").split(os.pathsep)))
    environment = {**os.environ, "PYTHONPATH": paths, "PYTHONHASHSEED": "0"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=_ROOT, env=environment) as run:
        assert run.stdout is not None
        assert run.stdout.readline() == f"fuzz: seed {_SEED}\n"
        run.send_signal(signal.SIGINT)
        said = run.stdout.read()
    assert run.returncode == 130, said
    assert "interrupted" in said
    assert "kinds of findings" in said


def test_a_case_runs_as_it_does_among_others() -> None:
    together = {result.number: result.log for result in run_cases(_SEED, range(16, 41))}
    for number in (21, 40):
        [alone] = run_cases(_SEED, [number])
        assert alone.log == together[number]


# --- faults that are put into the driver are found ---


def _findings(backend: str, count: int) -> list[str]:
    return [finding.kind for result in run_cases(_SEED, _cases(backend, count)) for finding in result.findings]


def _only(monkeypatch: pytest.MonkeyPatch, *calls: Callable[[Scene], Any]) -> None:
    monkeypatch.setattr(operations, "PLAIN", calls)
    monkeypatch.setattr(sessions, "COMPOUND", calls)


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_exception_that_is_not_ours_is_found(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def command(operation: Distinct, limits: Any) -> Any:
        raise ZeroDivisionError

    monkeypatch.setattr(Distinct, "command", command)
    _only(monkeypatch, operations.distinct)
    assert any("raw ZeroDivisionError" in kind for kind in _findings(backend, 5))


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_session_that_stays_in_use_is_found(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Executor, "release", lambda executor, session: None)
    _only(monkeypatch, operations.insert_one)
    assert any("server sessions in use" in kind for kind in _findings(backend, 5))


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_monitor_that_has_died_is_found(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def die(monitor: Monitor) -> Any:
        raise ZeroDivisionError

    monkeypatch.setattr(Monitor, "_check", die)
    _only(monkeypatch, operations.insert_one)
    kinds = _findings(backend, 5)
    assert any("a background task of a client failed" in kind for kind in kinds)
    assert any("no recovery" in kind for kind in kinds)


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_operation_without_end_is_found(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def forever(scene: Scene) -> None:
        while True:
            await operations.find_one(scene)

    monkeypatch.setattr(Deployment, "most_commands", 300)
    _only(monkeypatch, forever)
    assert any("without end" in kind or "hangs" in kind for kind in _findings(backend, 8))


UNLABELLED = AutoReconnect("no reply")
LABELLED = AutoReconnect("no reply", error_labels=[UNKNOWN_COMMIT_RESULT])


@pytest.mark.parametrize(
    "commit, told, error, problems",
    [
        (Commit(), ["abort"], None, []),
        (Commit(came=1, granted=1), ["commit"], None, []),
        (Commit(came=1, refused=1), ["abort"], UNLABELLED, []),
        (Commit(came=2), ["unknown"], LABELLED, []),
        (Commit(came=1), ["abort"], LABELLED, ["a commit that was not refused is said to be aborted"]),
        (Commit(came=1, granted=1), ["abort"], None, ["a commit that was not refused is said to be aborted"]),
        (Commit(came=1), ["commit"], None, ["a commit that was not granted is said to be done"]),
        (Commit(came=1), ["unknown"], UNLABELLED, ["an unclear commit without its label: AutoReconnect"]),
        (Commit(came=1, unsure=1), ["abort"], UNLABELLED, []),
    ],
)
def test_what_is_said_of_a_commit(commit: Commit, told: list[str], error: Any, problems: list[str]) -> None:
    assert judge_commit(Transaction(b"", 1, told, error), commit) == problems


# --- damage ---


def test_virtual_time_waits_for_nothing() -> None:
    async def wait() -> float:
        import anyio

        started = anyio.current_time()
        await anyio.sleep(10_000)
        return anyio.current_time() - started

    for backend in BACKENDS:
        assert clock.run(backend, wait) == pytest.approx(10_000)


def _chances(count: int) -> Iterator[Chance]:
    return (Chance(_SEED, number, "test") for number in range(count))


DOCUMENT = {"ok": 1.0, "cursor": {"id": bson.Int64(5), "ns": "db.c", "firstBatch": [{"_id": 1, "t": "x"}]}}


def test_the_same_chance_does_the_same_damage() -> None:
    def deliver() -> list[Delivery]:
        return [damaged(DOCUMENT, Envelope(1, 2), chance) for chance in _chances(500)]

    assert [(d.what, d.pieces, d.then) for d in deliver()] == [(d.what, d.pieces, d.then) for d in deliver()]
    assert len({d.what.split()[0] for d in deliver()}) > 12


def test_every_element_of_a_document_is_reached() -> None:
    data = bson.encode({**DOCUMENT, "when": None, "regex": bson.Regex("a", "i"), "code": bson.Code("f", {"a": 1})})
    names = {data[element.name : element.start - 1].decode() for element in elements(data)}
    assert names == {"ok", "cursor", "id", "ns", "firstBatch", "0", "_id", "t", "when", "regex", "code"}
    assert all(broken(data, chance) is not None for chance in _chances(300))


def test_wrong_values_can_be_encoded() -> None:
    for chance in _chances(500):
        mutated = values.mutated(DOCUMENT, chance)
        assert bson.encode(mutated)
    assert bson.decode(values.nested(3).raw) == {"a": {"a": {}}}


def test_numbers_decide_the_event_loop() -> None:
    assert [backend_of(number) for number in range(4)] == ["asyncio", "trio", "asyncio", "trio"]
    assert Result(1).findings == []
