"""The suites about sessions on ``wiredrv.sync``: each call is made in a worker thread (``peers.threads_driver``)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from spec_tests import seam
from spec_tests.under_pytest import suite_tests


@pytest.fixture(scope="session", params=["asyncio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """The event loop of the runner, which waits for the threads."""
    backend: str = request.param
    return backend


@pytest.fixture(autouse=True)
def synchronous() -> Iterator[None]:
    """The runner's driver is ``wiredrv.sync``."""
    seam.use_driver("wiredrv.sync")
    yield
    seam.use_driver("wiredrv")


test_sessions = suite_tests("sessions")
test_causal_consistency = suite_tests("causal-consistency")
test_transactions = suite_tests("transactions")
test_transactions_convenient_api = suite_tests("transactions-convenient-api")
test_retryable_writes = suite_tests("retryable-writes")
test_run_command = suite_tests("run-command")
