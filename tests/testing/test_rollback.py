"""The fixture ``rollback`` under each plugin that runs asynchronous tests, in a pytest of its own."""

from __future__ import annotations

import pytest

from tests.testing.conftest import Run

ANYIO, ASYNCIO, TRIO = (
    ("-p", "anyio"),
    ("-p", "asyncio", "-o", "asyncio_default_fixture_loop_scope=function"),
    ("-p", "trio"),
)
SCOPES = ["function", "class", "module", "package", "session"]

#: Every test finds the collections empty, and leaves something.
HEAD = """\
import pytest
import wiredrv
from wiredrv.errors import DuplicateKeyError
from wiredrv.testing import RollbackError, assert_commands

pytestmark = pytest.mark.mongodb_rollback(collections={"orders": [wiredrv.IndexModel("sku", unique=True)]})

async def place_order(client, name):
    async with client.transaction():
        await client[name].orders.insert_one({"sku": "abc"})
"""
BODY = """\
    assert type(rollback) is wiredrv.Database
    assert rollback.client is wiredrv_client
    assert await rollback.orders.count_documents({}) == 0
    await place_order(wiredrv_client, rollback.name)
    assert await rollback.orders.count_documents({}) == 1
    assert wiredrv_sync_client[rollback.name].orders.count_documents({}) == 0
    with pytest.raises(DuplicateKeyError):
        await place_order(wiredrv_client, rollback.name)
    with pytest.raises(RollbackError, match="`database`"):
        await rollback.orders.find_one()
"""
#: At the end: nothing is there, no transaction and no cursor is open.
TAIL = """
def test_nothing_is_left(wiredrv_sync_client):
    names = [name for name in wiredrv_sync_client.list_database_names() if name.startswith("test_rollback_")]
    assert names
    for name in names:
        assert wiredrv_sync_client[name].orders.count_documents({}) == 0
    stage = {"$currentOp": {"allUsers": True, "idleSessions": True, "idleCursors": True}}
    found = list(wiredrv_sync_client.admin.aggregate([stage]))
    assert [entry for entry in found if entry.get("transaction")] == []
    assert [entry for entry in found if entry.get("type") == "idleCursor" and "test_" in entry["ns"]] == []
"""


def _test(name: str, mark: str = "", body: str = BODY) -> str:
    return f"{mark}\nasync def test_{name}(rollback, wiredrv_client, wiredrv_sync_client):\n{body}\n"


def test_anyio(pytester: pytest.Pytester, run_here: Run) -> None:
    pytester.makepyfile(HEAD + "".join(_test(name, "@pytest.mark.anyio") for name in ("one", "two")) + TAIL)
    run_here(*ANYIO).assert_outcomes(passed=5)


@pytest.mark.parametrize("scope", ["function", "session"])
def test_anyio_with_a_backend_of_any_scope(pytester: pytest.Pytester, run_here: Run, scope: str) -> None:
    backend = f"@pytest.fixture(scope={scope!r})\ndef anyio_backend():\n    return 'trio'\n"
    tests = "".join(_test(name, "@pytest.mark.anyio") for name in ("one", "two"))
    pytester.makepyfile(HEAD + backend + tests + TAIL)
    run_here(*ANYIO).assert_outcomes(passed=3)


@pytest.mark.parametrize("mode", ["strict", "auto"])
def test_pytest_asyncio(pytester: pytest.Pytester, run_here: Run, mode: str) -> None:
    """In both modes, with the loop's scope in the mark and in the configuration."""
    tests = [_test(f"{scope}_{n}", f"@pytest.mark.asyncio(loop_scope={scope!r})") for n in (1, 2) for scope in SCOPES]
    tests.append(_test("unmarked", "@pytest.mark.asyncio" if mode == "strict" else ""))
    pytester.makepyfile(HEAD + "".join(tests) + TAIL)
    scoped = ("-o", "asyncio_default_test_loop_scope=session")
    run_here(*ASYNCIO, f"--asyncio-mode={mode}", *scoped).assert_outcomes(passed=12)


@pytest.mark.parametrize("mark", [True, False])
def test_pytest_trio(pytester: pytest.Pytester, run_here: Run, mark: bool) -> None:
    tests = "".join(_test(name, "@pytest.mark.trio" if mark else "") for name in ("one", "two"))
    pytester.makepyfile(HEAD + tests + TAIL)
    run_here(*TRIO, *(() if mark else ("-o", "trio_mode=true"))).assert_outcomes(passed=3)


def test_plain_functions(pytester: pytest.Pytester, run_here: Run) -> None:
    # There, both clients are one.
    body = "".join(line for line in BODY.splitlines(True) if "wiredrv_sync_client" not in line)
    text = HEAD + "".join(_test(name, "", body) for name in ("one", "two"))
    text = text.replace("await ", "").replace("async ", "").replace("wiredrv.Database", "wiredrv.sync.Database")
    pytester.makepyfile("import wiredrv.sync\n" + text + TAIL)
    run_here().assert_outcomes(passed=3)


def test_with_xdist(pytester: pytest.Pytester, run_here: Run) -> None:
    """Each worker has a database of its own, so that the transactions of two do not conflict."""
    pytester.makepyfile(HEAD + "".join(_test(str(number), "@pytest.mark.asyncio") for number in range(6)))
    run_here(*ASYNCIO, "-p", "xdist", "-n2").assert_outcomes(passed=6)


ENDS = """
import asyncio

@pytest.mark.asyncio
async def test_fails(rollback):
    await rollback.orders.insert_one({"sku": 1})
    cursor = rollback.orders.find(batch_size=1)
    await anext(cursor)
    raise ValueError

@pytest.mark.asyncio
async def test_is_cancelled(rollback):
    await rollback.orders.insert_one({"sku": 1})
    asyncio.get_running_loop().call_later(0.05, asyncio.current_task().cancel)
    await rollback.orders.find_one({"$where": "sleep(2000)"})

@pytest.mark.asyncio
async def test_leaves_a_session(rollback):
    global session
    session = rollback.client.start_session()
    session.start_transaction()
    await rollback.orders.insert_one({"sku": 1}, session=session)

@pytest.mark.asyncio
async def test_uses_it(rollback):
    with pytest.raises(wiredrv.errors.InvalidOperation):
        await rollback.orders.find_one(session=session)
    await session.end_session()

@pytest.mark.asyncio
async def test_closes_the_client(rollback, wiredrv_client):
    await rollback.orders.insert_one({"sku": 1})
    await wiredrv_client.close()
"""


def test_however_a_test_ends_nothing_is_left(pytester: pytest.Pytester, run_here: Run) -> None:
    pytester.makepyfile(HEAD + ENDS + TAIL)
    run_here(*ASYNCIO).assert_outcomes(passed=4, failed=2)


@pytest.mark.parametrize("plugin", ["anyio", "trio"])
def test_however_a_test_ends_under_other_plugins(pytester: pytest.Pytester, run_here: Run, plugin: str) -> None:
    text = f"""
import anyio

@pytest.mark.{plugin}
async def test_fails(rollback):
    await rollback.orders.insert_one({{"sku": 1}})
    cursor = rollback.orders.find(batch_size=1)
    await anext(cursor)
    raise ValueError

@pytest.mark.{plugin}
async def test_runs_out_of_time(rollback):
    await rollback.orders.insert_one({{"sku": 1}})
    with anyio.fail_after(0.05):
        await rollback.orders.find_one({{"$where": "sleep(2000)"}})
"""
    pytester.makepyfile(HEAD + text + TAIL)
    backends = 2 if plugin == "anyio" else 1
    run_here(*(ANYIO if plugin == "anyio" else TRIO)).assert_outcomes(passed=1, failed=2 * backends)


def test_fixtures_of_the_project_take_part(pytester: pytest.Pytester, run_here: Run) -> None:
    """Also on a client of the project's own, in place of ``wiredrv_client``."""
    text = """
import pytest_asyncio

@pytest_asyncio.fixture
async def wiredrv_client(mongodb):
    async with wiredrv.Client(mongodb.uri, appname="own") as client:
        yield client

@pytest_asyncio.fixture
async def order(rollback):
    await rollback.orders.insert_one({"sku": "seeded"})
    return "seeded"

@pytest.mark.asyncio
async def test_one(order, rollback, wiredrv_client):
    assert wiredrv_client.options.pool_options.appname == "own"
    assert [found["sku"] async for found in rollback.orders.find()] == [order]

@pytest.mark.asyncio
async def test_two(rollback):
    assert await rollback.orders.find().to_list() == []
"""
    pytester.makepyfile(HEAD + text + TAIL)
    run_here(*ASYNCIO).assert_outcomes(passed=3)


MARKS = """
pytestmark = pytest.mark.mongodb_rollback(collections=["orders", "stock"])

@pytest.mark.anyio
@pytest.mark.mongodb_rollback(collections={"orders": ["sku"], "events": {"capped": True, "size": 10_000}})
async def test_one(rollback, wiredrv_sync_client):
    with assert_commands(rollback, ["insert", "insert"]):
        await rollback.orders.insert_one({})
        await rollback.stock.insert_one({})
    made = wiredrv_sync_client[rollback.name]
    assert sorted(made.list_collection_names()) == ["events", "orders", "stock"]
    assert sorted(made.orders.index_information()) == ["_id_", "sku_1"]

@pytest.mark.anyio
@pytest.mark.parametrize("asked", [
    pytest.param(True, marks=pytest.mark.mongodb_rollback(on_commit=True)),
    False,
])
async def test_on_commit(rollback, wiredrv_client, asked):
    called = []
    async with wiredrv_client.transaction() as session:
        session.on_commit(lambda: called.append(1))
    assert called == ([1] if asked else [])

@pytest.mark.anyio
@pytest.mark.mongodb_rollback(collections={"events": None})
async def test_of_another_test_it_has_neither_options_nor_indexes(rollback, wiredrv_sync_client):
    made = wiredrv_sync_client[rollback.name]
    assert made.events.options() == {}
    assert sorted(made.orders.index_information()) == ["_id_"]

@pytest.mark.anyio
@pytest.mark.mongodb_rollback(collection=["orders"])
async def test_error_one(rollback): ...

@pytest.mark.anyio
@pytest.mark.mongodb_rollback(collections="orders")
async def test_error_two(rollback): ...

@pytest.mark.anyio
@pytest.mark.mongodb_rollback(on_commit=1)
async def test_error_three(rollback): ...
"""


def test_the_mark(pytester: pytest.Pytester, run_here: Run) -> None:
    pytester.makepyfile(HEAD + "@pytest.fixture\ndef anyio_backend():\n    return 'asyncio'\n" + MARKS)
    result = run_here(*ANYIO, "--strict-markers")
    result.assert_outcomes(passed=4, errors=3)
    result.stdout.fnmatch_lines(["*the mark mongodb_rollback takes collections= and on_commit=*"])
    run_here("--markers").stdout.fnmatch_lines(["@pytest.mark.mongodb_rollback(collections=(), on_commit=False)*"])
