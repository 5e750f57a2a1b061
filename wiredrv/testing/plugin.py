"""The fixtures, options and hooks: the module that the entry point ``pytest11`` names.

pytest imports it in every run, so it imports nothing of the driver but these few modules.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING

import pytest

from wiredrv.testing import clients, rollbacks
from wiredrv.testing.kinds import ASYNCIO, PLAIN, is_active, kind_of, name_of
from wiredrv.testing.run import Run, _Node

if TYPE_CHECKING:
    import wiredrv
    import wiredrv.sync
    from wiredrv.testing.change_primary import ChangePrimary, SyncChangePrimary
    from wiredrv.testing.failpoints import FailPoints
    from wiredrv.testing.leftovers import Leftovers
    from wiredrv.testing.mongodb import MongoDB
    from wiredrv.testing.prepared import Prepared, Ready

_MARK = (
    "mongodb_rollback(collections=(), on_commit=False): for the fixture rollback: collections to make before the "
    "transaction (names, or a mapping of names to their indexes), and whether on_commit hooks of transactions that "
    "join it are called"
)
_RUN = pytest.StashKey[Run]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("wiredrv", "wiredrv: a MongoDB replica set for the tests")
    group.addoption(
        "--mongodb-uri",
        metavar="URI",
        help="use these servers, a replica set or a sharded cluster, and start none (default: MONGODB_URI, if set)",
    )
    group.addoption(
        "--mongodb-version-binary",
        metavar="MONGOD",
        help="start this mongod: a path, a program on PATH, or a version such as 7.0 that is installed here",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Prepare the run, which starts nothing, and the fixtures that pytest-asyncio runs."""
    config.stash[_RUN] = Run(config)
    config.addinivalue_line("markers", _MARK)
    config.pluginmanager.register(clients, "wiredrv clients")
    config.pluginmanager.register(rollbacks, "wiredrv rollbacks")
    if is_active(config, ASYNCIO):
        from wiredrv.testing import asyncio_clients, asyncio_rollbacks

        config.pluginmanager.register(asyncio_clients, "wiredrv clients for pytest-asyncio")
        config.pluginmanager.register(asyncio_rollbacks, "wiredrv rollbacks for pytest-asyncio")


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop what was started."""
    if (run := config.stash.get(_RUN, None)) is not None:
        run.close()


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: _Node) -> None:
    """With xdist, in the controller: tell a worker where the run's servers are to be asked for."""
    config: pytest.Config = node.config  # type: ignore[attr-defined]
    config.stash[_RUN].invite(node)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """With xdist: let a test that disturbs the servers have them to itself."""
    with item.config.stash[_RUN].turn(frozenset(getattr(item, "fixturenames", ()))):
        return (yield)


# --- fixtures ---


@pytest.fixture(scope="session")
def mongodb(pytestconfig: pytest.Config) -> MongoDB:
    """The servers of the run: a replica set of three that is started when a test first needs it, or your own."""
    from wiredrv.errors import DriverError
    from wiredrv.testing.mongodb import MongoDB

    try:
        return MongoDB(pytestconfig.stash[_RUN].servers)
    except DriverError as error:
        # The message says what to do; how the plugin came to it is of no use to whoever reads it.
        pytest.fail(str(error), pytrace=False)


@pytest.fixture
def wiredrv_client(
    request: pytest.FixtureRequest, mongodb: MongoDB, _wiredrv_leftovers: Leftovers
) -> wiredrv.Client | wiredrv.sync.Client:
    """A client of the servers, in the test's event loop; in a plain function one of ``wiredrv.sync``."""
    client: wiredrv.Client | wiredrv.sync.Client = request.getfixturevalue(name_of(kind_of(request.node)))
    return client


@pytest.fixture
def database(
    wiredrv_client: wiredrv.Client | wiredrv.sync.Client, _wiredrv_database_name: str
) -> wiredrv.Database | wiredrv.sync.Database:
    """A database that no other test has, through ``wiredrv_client``; dropped after the test."""
    return wiredrv_client[_wiredrv_database_name]


@pytest.fixture
def wiredrv_sync_client(request: pytest.FixtureRequest, _wiredrv_leftovers: Leftovers) -> wiredrv.sync.Client:
    """A client of ``wiredrv.sync`` in any test, for fixtures that are plain functions."""
    client: wiredrv.sync.Client = request.getfixturevalue(name_of(PLAIN))
    return client


@pytest.fixture
def sync_database(wiredrv_sync_client: wiredrv.sync.Client, _wiredrv_database_name: str) -> wiredrv.sync.Database:
    """The test's database through ``wiredrv.sync`` in any test, for fixtures that are plain functions."""
    return wiredrv_sync_client[_wiredrv_database_name]


@pytest.fixture
def rollback(
    request: pytest.FixtureRequest, _wiredrv_rollback_ready: Ready
) -> wiredrv.Database | wiredrv.sync.Database:
    """A database, with all that ``wiredrv_client`` does in the test in one transaction; it is aborted at the end."""
    database: wiredrv.Database | wiredrv.sync.Database = request.getfixturevalue(
        rollbacks.name_of(kind_of(request.node))
    )
    return database


@pytest.fixture
def mongodb_failpoint(mongodb: MongoDB) -> Iterator[FailPoints]:
    """Sets fail points for a block: ``async with mongodb_failpoint("failCommand", {"times": 1}, {...}):``."""
    yield mongodb.failpoint
    mongodb.restore()


@pytest.fixture
def stepdown(request: pytest.FixtureRequest, mongodb: MongoDB) -> Iterator[ChangePrimary | SyncChangePrimary]:
    """Called, makes the primary step down; after the test all members are ready again."""
    yield _for_test(request.node, mongodb.step_down)
    mongodb.restore()


@pytest.fixture
def kill_primary(request: pytest.FixtureRequest, mongodb: MongoDB) -> Iterator[ChangePrimary | SyncChangePrimary]:
    """Called, ends the primary's process; it is started again after the test."""
    yield _for_test(request.node, mongodb.kill_primary)
    mongodb.restore()


def _for_test(item: pytest.Item, action: SyncChangePrimary) -> ChangePrimary | SyncChangePrimary:
    from wiredrv.testing.change_primary import awaited

    return action if kind_of(item) == PLAIN else awaited(action)


@pytest.fixture(scope="session")
def _wiredrv_housekeeping(mongodb: MongoDB) -> Iterator[wiredrv.sync.Client]:
    """The client that prepares and cleans up, one for all tests of this process."""
    from wiredrv.testing.mongodb import housekeeping

    with housekeeping(mongodb) as client:
        yield client


@pytest.fixture
def _wiredrv_leftovers(_wiredrv_housekeeping: wiredrv.sync.Client) -> Iterator[Leftovers]:
    """Drops the test's databases, after its clients are closed: they are set up later."""
    from wiredrv.testing.leftovers import Leftovers

    leftovers = Leftovers(_wiredrv_housekeeping)
    yield leftovers
    leftovers.drop()


@pytest.fixture
def _wiredrv_database_name(request: pytest.FixtureRequest, _wiredrv_leftovers: Leftovers) -> str:
    """One for all fixtures of a test."""
    return _wiredrv_leftovers.fresh(request.node.name)


@pytest.fixture(scope="session")
def _wiredrv_rollback_databases(_wiredrv_housekeeping: wiredrv.sync.Client) -> Iterator[Prepared]:
    """The databases of the tests with ``rollback`` of this process."""
    from wiredrv.testing.prepared import Prepared

    prepared = Prepared(_wiredrv_housekeeping)
    yield prepared
    prepared.drop()


@pytest.fixture
def _wiredrv_rollback_ready(request: pytest.FixtureRequest, _wiredrv_rollback_databases: Prepared) -> Ready:
    """What the test's marks ask for."""
    from wiredrv.testing.prepared import MARK, planned

    return _wiredrv_rollback_databases.prepare(planned(list(request.node.iter_markers(MARK))))
