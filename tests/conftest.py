"""What all tests share: both backends, and real servers that start once, when the first test requests them."""

from __future__ import annotations

import gc
import signal
from collections.abc import Generator, Iterator

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

from tests.support.browser import browser as browser
from tests.support.browser import windows as windows
from tests.support.sharded_double import ShardedDouble
from wiredrv.local import ReplicaSet, Standalone
from wiredrv.testing import MongoDB

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell that starts the tests in the background makes them ignore Ctrl-C, and the programs that they start inherit
    # this; some tests send those programs exactly this signal.
    signal.signal(signal.SIGINT, signal.default_int_handler)

# How long an example takes, and how fast data is generated, depend on the machine's load and not on the driver.
hypothesis_settings.register_profile(
    "any load", hypothesis_settings(), deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
hypothesis_settings.load_profile("any load")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collect the tests without collecting garbage, and then exclude the tests themselves from garbage collection.

    There are many tests, none of them is garbage, and some collect garbage many times.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.collect()
        gc.freeze()


@pytest.fixture(scope="module", params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """The event loop that an ``anyio`` test runs on: each test runs once on each."""
    backend: str = request.param
    return backend


# These are synchronous on purpose: they outlive the event loops of the tests. In an asynchronous test, call the methods
# that wait with ``anyio.to_thread.run_sync``.


@pytest.fixture(scope="session")
def replica_set(starts_servers: None) -> Iterator[ReplicaSet]:
    """Three members with test commands. A test that disturbs them takes ``disturbed_replica_set`` instead."""
    with ReplicaSet(members=3, test_commands=True) as deployment:
        yield deployment


@pytest.fixture(scope="session")
def mongodb(replica_set: ReplicaSet) -> MongoDB:
    """The same replica set, for the fixtures of the driver's pytest plugin: ``database``, ``mongodb_failpoint``, …"""
    return MongoDB.of(replica_set)


@pytest.fixture(scope="session")
def standalone(starts_servers: None) -> Iterator[Standalone]:
    """One server with test commands, not in a replica set."""
    with Standalone(test_commands=True) as deployment:
        yield deployment


@pytest.fixture(scope="session")
def sharded_double(replica_set: ReplicaSet) -> Iterator[ShardedDouble]:
    """Two doubles of routers in front of the replica set, with load balancers. A test restarts what it killed."""
    with ShardedDouble.before(replica_set, load_balancers=True) as doubles:
        yield doubles


@pytest.fixture
def disturbed_replica_set(replica_set: ReplicaSet) -> Iterator[ReplicaSet]:
    """The same replica set, for a test that stops, kills or freezes members: all are running again after the test."""
    yield replica_set
    replica_set.heal()
