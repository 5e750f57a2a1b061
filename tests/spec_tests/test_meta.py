"""The runner on a real deployment: tests that must fail do fail, mutants are killed, and nothing is left behind."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from spec_tests.environment import Environment
from spec_tests.mutation import Trial, describe, try_all
from spec_tests.results import Outcome
from spec_tests.runner import Case, cases, open_environment, run_case
from spec_tests.schema import parse_document
from spec_tests.suites import Suite, discover, unified_files
from spec_tests.uris import SpecUri
from tests.support.specs import find_spec_dir, spec_dir
from wiredrv.local import ReplicaSet

pytestmark = pytest.mark.anyio


@pytest.fixture
def uri(replica_set: ReplicaSet) -> SpecUri:
    return SpecUri(replica_set.uri)


@pytest.fixture
async def environment(uri: SpecUri) -> AsyncIterator[Environment]:
    async with open_environment(uri) as opened:
        yield opened


def _must_fail() -> list[Case]:
    source = find_spec_dir()
    folder = (source or Path()) / "unified-test-format" / "tests" / "valid-fail"
    return list(cases(Suite("valid-fail", folder, unified_files(folder)))) if source is not None else []


async def test_every_test_of_valid_fail_fails(environment: Environment) -> None:
    spec_dir()
    found = _must_fail()
    assert len(found) >= 25
    lenient = []
    for case in found:
        result, _ = await run_case(case, environment)
        # A test that needs client-side encryption cannot even be started.
        encrypted = result.kind == "client-side encryption" and case.file_name.startswith("kmsProviders")
        if result.outcome is not Outcome.FAILED and not encrypted and result.outcome is not Outcome.SKIPPED:
            lenient.append(result)
        if result.outcome is Outcome.SKIPPED and not case.file_name.startswith("kmsProviders"):
            lenient.append(result)
    assert lenient == []


FAIL_POINT = {
    "configureFailPoint": "failCommand",
    "mode": "alwaysOn",
    "data": {"failCommands": ["ping"], "errorCode": 8},
}


async def test_a_fail_point_is_switched_off_also_when_the_test_fails(environment: Environment) -> None:
    document = {
        "description": "left on",
        "schemaVersion": "1.0",
        "createEntities": [
            {"client": {"id": "client0", "observeEvents": ["commandStartedEvent"]}},
            {"database": {"id": "database0", "client": "client0", "databaseName": "admin"}},
        ],
        "tests": [
            {
                "description": "fails",
                "operations": [
                    {
                        "name": "failPoint",
                        "object": "testRunner",
                        "arguments": {"client": "client0", "failPoint": FAIL_POINT},
                    },
                    {
                        "name": "runCommand",
                        "object": "database0",
                        "arguments": {"commandName": "ping", "command": {"ping": 1}},
                    },
                ],
            }
        ],
    }
    file = parse_document(document)
    result, run = await run_case(Case("s", "f.json", file, file.tests[0]), environment)
    assert result.outcome is Outcome.FAILED
    assert "operations[1] runCommand" in result.reason
    assert run is not None
    assert run.fail_points == []
    assert (await environment.internal.admin({"ping": 1}))["ok"] == 1
    # The report shows what was sent and received, in order; the fail point is not an event of the test.
    assert [line.body["commandName"] for line in result.wire][-2:] == ["ping", "ping"]


async def test_a_test_can_be_run_twice(environment: Environment) -> None:
    """The driver adds an ``_id`` to the document that it inserts; the next run must not see it."""
    document = {
        "description": "insert",
        "schemaVersion": "1.0",
        "createEntities": [
            {"client": {"id": "client0"}},
            {"database": {"id": "database0", "client": "client0", "databaseName": "spec_meta"}},
            {"collection": {"id": "collection0", "database": "database0", "collectionName": "twice"}},
        ],
        "tests": [
            {
                "description": "insert",
                "operations": [{"name": "insertOne", "object": "collection0", "arguments": {"document": {"x": 1}}}],
            }
        ],
    }
    file = parse_document(document)
    for _ in range(2):
        result, _run = await run_case(Case("s", "f.json", file, file.tests[0]), environment)
        assert result.outcome is Outcome.PASSED, result.reason
    assert file.tests[0].operations[0].arguments == {"document": {"x": 1}}


async def test_a_thread_that_fails_fails_the_test(environment: Environment) -> None:
    document = {
        "description": "threads",
        "schemaVersion": "1.10",
        "createEntities": [
            {"client": {"id": "client0"}},
            {"database": {"id": "database0", "client": "client0", "databaseName": "admin"}},
            {"thread": {"id": "thread0"}},
        ],
        "tests": [
            {
                "description": "fails",
                "operations": [
                    {
                        "name": "runOnThread",
                        "object": "testRunner",
                        "arguments": {
                            "thread": "thread0",
                            "operation": {
                                "name": "runCommand",
                                "object": "database0",
                                "arguments": {"commandName": "nope", "command": {"nope": 1}},
                            },
                        },
                    },
                    {"name": "waitForThread", "object": "testRunner", "arguments": {"thread": "thread0"}},
                ],
            }
        ],
    }
    file = parse_document(document)
    result, _ = await run_case(Case("s", "f.json", file, file.tests[0]), environment)
    assert result.outcome is Outcome.FAILED
    assert "CommandNotFound" in result.reason


async def test_the_internal_client_sees_the_deployment_as_it_is(environment: Environment) -> None:
    deployment = environment.deployment
    assert deployment.topology == "replicaset"
    assert deployment.data_bearing == 3
    assert deployment.parameters["enableTestCommands"] is True


async def test_a_mutant_of_every_passing_test_dies(anyio_backend: str, uri: SpecUri) -> None:
    """A randomly chosen one (by seed), run against the server again."""
    trial = Trial(discover(spec_dir(), ["causal-consistency", "sessions"]), seed=1, rerun=True)
    tally = await try_all(trial, uri)
    assert tally.tests > 30
    assert tally.good_enough, describe(tally)


@pytest.mark.slow
async def test_all_mutants_of_the_session_suites_die(anyio_backend: str, uri: SpecUri) -> None:
    """All of them; those that survive do so for a proven reason."""
    names = ["sessions", "causal-consistency", "transactions", "transactions-convenient-api", "run-command"]
    tally = await try_all(Trial(discover(spec_dir(), names), every=True), uri)
    assert tally.good_enough, describe(tally)
    assert [mutant for _, mutant in tally.survivors if not mutant.excuse] == [], describe(tally)
