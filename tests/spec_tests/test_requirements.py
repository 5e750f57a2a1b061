"""Whether tests apply to a deployment, on tables, and the counts for the deployments that this project tests on."""

from __future__ import annotations

from typing import Any

import pytest

from spec_tests.requirements import Deployment, unmet
from spec_tests.runner import cases
from spec_tests.schema import Requirement, Version
from spec_tests.suites import discover
from tests.support.specs import spec_dir

PARAMETERS = {"enableTestCommands": True, "authenticationMechanisms": ["SCRAM-SHA-1", "SCRAM-SHA-256"], "n": 1}
SET = Deployment(Version(6, 0, 5), "replicaset", PARAMETERS)
SHARDED = Deployment(Version(6, 0, 5), "sharded", mongoses=2)


@pytest.mark.parametrize(
    "requirement, deployment, applies",
    [
        ({"minServerVersion": "6.0.5"}, SET, True),
        ({"minServerVersion": "6.0.6"}, SET, False),
        ({"minServerVersion": "6.0"}, SET, True),
        ({"minServerVersion": "10.0"}, SET, False),
        ({"maxServerVersion": "6.0.5"}, SET, True),
        ({"maxServerVersion": "6.0.4"}, SET, False),
        ({"maxServerVersion": "5.99"}, SET, False),
        ({"minServerVersion": "4.0", "maxServerVersion": "7.0"}, SET, True),
        ({"topologies": ["replicaset"]}, SET, True),
        ({"topologies": ["single", "sharded"]}, SET, False),
        ({"topologies": ["sharded"]}, SHARDED, True),
        ({"topologies": ["sharded-replicaset"]}, SHARDED, True),
        ({"topologies": ["sharded-replicaset"]}, SET, False),
        ({"topologies": ["load-balanced"]}, SHARDED, False),
        ({"serverless": "require"}, SET, False),
        ({"serverless": "forbid"}, SET, True),
        ({"serverless": "allow"}, SET, True),
        ({"auth": False}, SET, True),
        ({"auth": True}, SET, False),
        ({"authMechanism": "scram-sha-256"}, SET, True),
        ({"authMechanism": "MONGODB-OIDC"}, SET, False),
        ({"csfle": True}, SET, False),
        ({"csfle": False}, SET, True),
        ({"csfle": {"minLibmongocryptVersion": "1.0"}}, SET, False),
        ({"serverParameters": {"n": 1.0}}, SET, True),
        ({"serverParameters": {"n": 2}}, SET, False),
        ({"serverParameters": {"enableTestCommands": True}}, SET, True),
        ({"serverParameters": {"enableTestCommands": 1}}, SET, False),
        ({"serverParameters": {"unknown": True}}, SET, False),
    ],
)
def test_a_requirement(requirement: Any, deployment: Deployment, applies: bool) -> None:
    reason = unmet([Requirement.read(requirement, "r")], deployment)
    assert (reason is None) is applies
    assert reason is None or reason.startswith("needs ")


def test_no_requirement_is_always_met() -> None:
    assert unmet([], SET) is None


def test_one_of_several_requirements_is_enough() -> None:
    too_new = Requirement.read({"minServerVersion": "9.0"}, "r")
    fits = Requirement.read({"topologies": ["replicaset"]}, "r")
    assert unmet([too_new, fits], SET) is None
    reason = unmet([too_new, Requirement.read({"topologies": ["single"]}, "r")], SET)
    assert reason is not None
    assert "9.0.0" in reason
    assert "single" in reason


DOUBLE = Deployment(Version(6, 0, 5), "sharded", mongoses=2, double=True)


@pytest.mark.parametrize("deployment, label", [(SET, "replicaset"), (SHARDED, "sharded"), (DOUBLE, "sharded (double)")])
def test_reports_name_the_topology(deployment: Deployment, label: str) -> None:
    assert deployment.label == label


_ON_A_REPLICA_SET = {
    "sessions": 33,
    "causal-consistency": 17,
    "transactions": 174,
    "transactions-convenient-api": 29,
    "run-command": 17,
    "read-write-concern": 11,
    "mongodb-handshake": 1,
    "unified-test-format": 74,
    "crud": 335,
    "retryable-reads": 348,
    "retryable-writes": 112,
    "client-side-operations-timeout": 539,
    "command-logging-and-monitoring": 62,
    "client-backpressure": 100,
    "change-streams": 64,
    "gridfs": 39,
    "open-telemetry": 21,
    "server-discovery-and-monitoring": 26,
    "server-selection": 2,
}
_ON_A_STANDALONE = {
    "sessions": 5,
    "read-write-concern": 11,
    "run-command": 15,
    "server-discovery-and-monitoring": 27,
    "connection-monitoring-and-pooling": 6,
    "server-selection": 4,
    "command-logging-and-monitoring": 59,
}


@pytest.mark.parametrize(
    "topology, suite, number",
    [("replicaset", *item) for item in _ON_A_REPLICA_SET.items()]
    + [("single", *item) for item in _ON_A_STANDALONE.items()],
)
def test_how_many_tests_of_a_suite_apply_to_server_6_0_5(topology: str, suite: str, number: int) -> None:
    deployment = Deployment(Version(6, 0, 5), topology, PARAMETERS)
    applicable = [
        case
        for found in discover(spec_dir(), [suite])
        for case in cases(found)
        if case.file is not None
        and case.test is not None
        and case.test.skip_reason is None
        and unmet(case.file.run_on, deployment) is None
        and unmet(case.test.run_on, deployment) is None
    ]
    assert len(applicable) == number
