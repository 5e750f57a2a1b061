"""The router double is strict: without the driver's pinning or recovery tokens, their tests fail.

Each mutation of the driver runs all specification tests with "mongos" in their file's name; exactly those listed here
must fail; without a mutation, none.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

import anyio
import pytest

from spec_tests.results import Outcome
from spec_tests.runner import Plan, run_plan
from spec_tests.suites import SpecsMissing, discover, find_specs
from spec_tests.uris import SpecUri
from tests.support.sharded_double import ShardedDouble
from wiredrv.execution import decorate, servers
from wiredrv.execution.run import Run
from wiredrv.topology.topology import Topology, TopologyServer
from wiredrv.types import Address

Patch = Callable[[pytest.MonkeyPatch], None]

#: What must fail, by file; a number if it is many of a file's tests.
PIN_IGNORED: dict[str, set[str] | int] = {
    # "remain pinned after non-transient Interrupted error on ...", for each operation
    "mongos-pin-auto.json": 19,
    "mongos-recovery-token-errorLabels.json": {"commitTransaction retry succeeds on new mongos"},
    "mongos-recovery-token.json": {
        "commitTransaction explicit retries include recoveryToken",
        "commitTransaction retry fails on new mongos",
        "abortTransaction sends recoveryToken",
    },
    "mongos-unpin.json": {
        "unpin after TransientTransactionError error on commit",
        "unpin when a new transaction is started",
        "unpin when a non-transaction read operation uses a session",
        "unpin when a non-transaction write operation uses a session",
    },
    "pin-mongos.json": {
        "countDocuments",
        "distinct",
        "find",
        "insertOne",
        "mixed read write operations",
        "multiple commits",
        "remain pinned after non-transient error on commit",
    },
}
TOKEN_NOT_SENT: dict[str, set[str] | int] = {
    "mongos-pin-auto.json": {
        "remain pinned after non-transient Interrupted error on insertOne",
        "unpin after transient error within a transaction",
    },
    "mongos-recovery-token-errorLabels.json": {"commitTransaction retry succeeds on new mongos"},
    "mongos-recovery-token.json": {
        "commitTransaction explicit retries include recoveryToken",
        "commitTransaction retry fails on new mongos",
        "abortTransaction sends recoveryToken",
    },
    "pin-mongos.json": {
        "unpin after transient error within a transaction",
        "unpin after transient error within a transaction and commit",
    },
}


def no_mutation(monkeypatch: pytest.MonkeyPatch) -> None:
    """The unchanged driver."""


def ignore_pins(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pinned session's commands go to another router than the one it is pinned to."""

    def another(run: Run[Any], topology: Topology, address: Address, pin: object) -> TopologyServer:
        if pin is None:  # a getMore, outside of transactions
            return topology.servers[address]
        return next((s for s in topology.servers.values() if s.address != address), topology.servers[address])

    monkeypatch.setattr(servers, "_only_server", another)


def send_no_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commit and abort carry no recovery token."""
    original = decorate._add_ending

    def without(command: dict[str, Any], *rest: Any) -> None:
        original(command, *rest)
        command.pop("recoveryToken", None)

    monkeypatch.setattr(decorate, "_add_ending", without)


def _failed(double: ShardedDouble) -> dict[str, set[str]]:
    try:
        suites = discover(find_specs(), ["transactions"])
    except SpecsMissing as missing:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(missing))
    report = anyio.run(run_plan, Plan(suites, "mongos"), SpecUri(double.uri), "asyncio")
    assert sum(result.outcome is Outcome.PASSED or result.outcome is Outcome.FAILED for result in report.results) >= 70
    assert report.deployment is not None
    assert report.deployment.label == "sharded (double)"
    found: dict[str, set[str]] = {}
    for result in report.results:
        if result.outcome is Outcome.FAILED:
            found.setdefault(result.file.rpartition("/")[2], set()).add(result.description)
    return found


@pytest.mark.parametrize(
    ("mutate", "expected"),
    [(no_mutation, {}), (ignore_pins, PIN_IGNORED), (send_no_tokens, TOKEN_NOT_SENT)],
    ids=["as it is", "pins ignored", "no tokens sent"],
)
def test_what_fails_on_the_double(
    mutate: Patch,
    expected: Mapping[str, set[str] | int],
    sharded_double: ShardedDouble,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mutate(monkeypatch)
    found = _failed(sharded_double)
    if mutate is ignore_pins:
        # They expect the transient error that an ignored pin causes as well, so they mostly do not notice it.
        for names in found.values():
            names -= {name for name in names if name.startswith("unpin after transient error within")}
    assert {
        name: len(found[name]) if isinstance(expected.get(name), int) else found[name] for name in found
    } == expected
