"""Fail points, elections and killed primaries: what a test does to the servers is undone after it."""

from __future__ import annotations

import pytest

from tests.testing.conftest import Run
from wiredrv.local import ReplicaSet

HEAD = """\
import anyio
import pytest
import wiredrv
from wiredrv.errors import OperationFailure

pytestmark = pytest.mark.anyio
FAIL = {"failCommands": ["insert"], "errorCode": 91}

@pytest.fixture(scope="module", params=["asyncio", "trio"])
def anyio_backend(request):
    return request.param

async def is_off(database):
    await database.orders.insert_one({})
"""

FAIL_POINTS = """
async def test_a_block(database, mongodb_failpoint):
    async with mongodb_failpoint("failCommand", {"times": 2}, {**FAIL, "errorCode": 8000}) as point:
        assert len(point.members) == 1
        with pytest.raises(OperationFailure) as caught:
            await database.orders.insert_one({})
        assert caught.value.code == 8000
    assert not point.members
    await is_off(database)

async def test_an_exception(database, mongodb_failpoint):
    with pytest.raises(ZeroDivisionError):
        async with mongodb_failpoint("failCommand", data={**FAIL, "errorCode": 8000}, member="all") as point:
            assert len(point.members) == 3
            raise ZeroDivisionError
    await is_off(database)

async def test_a_cancellation(database, mongodb_failpoint):
    with anyio.move_on_after(0.05):
        async with mongodb_failpoint("failCommand", data={**FAIL, "errorCode": 8000}):
            await anyio.sleep_forever()
    await is_off(database)

async def test_a_client_that_is_closed(wiredrv_client, database, mongodb_failpoint):
    async with mongodb_failpoint("failCommand", data={**FAIL, "errorCode": 8000}):
        await wiredrv_client.close()
    await wiredrv_client.open()
    await is_off(database)

async def test_a_block_that_is_never_left(mongodb_failpoint):
    await mongodb_failpoint("failCommand", data={**FAIL, "errorCode": 8000}, member="all").__aenter__()

async def test_after_that(database):
    await is_off(database)

def test_a_plain_function(database, mongodb_failpoint):
    with mongodb_failpoint("failCommand", {"times": 1}, {**FAIL, "errorCode": 8000}):
        with pytest.raises(OperationFailure):
            database.orders.insert_one({})
    database.orders.insert_one({})

def test_a_member_is_named_by_its_address(mongodb, mongodb_failpoint):
    with mongodb_failpoint("failCommand", data=FAIL, member=mongodb.hosts[1]) as point:
        assert point.members == (mongodb.hosts[1],)
    for wrong in ("elsewhere:1", "secondary"):
        with pytest.raises(wiredrv.errors.ConfigurationError, match="member must be 'primary', 'all' or one of"):
            mongodb_failpoint("failCommand", data=FAIL, member=wrong).__enter__()

def test_wrong_arguments(mongodb_failpoint):
    for arguments in ((1,), ("failCommand", "always"), ("failCommand", "alwaysOn", 1)):
        with pytest.raises(wiredrv.errors.ConfigurationError):
            mongodb_failpoint(*arguments)
    with pytest.raises(OperationFailure, match="noSuchPoint"):
        mongodb_failpoint("noSuchPoint").__enter__()
"""


def test_fail_points(pytester: pytest.Pytester, run_here: Run) -> None:
    """On the user's own servers, which allow test commands here."""
    pytester.makepyfile(HEAD + FAIL_POINTS)
    run_here("-p", "anyio").assert_outcomes(passed=15)


ELECTIONS = """
async def test_stepdown(database, mongodb, stepdown, mongodb_failpoint):
    await database.orders.insert_one({})
    async with mongodb_failpoint("failCommand", data={"failCommands": ["delete"], "errorCode": 91}) as point:
        former = await stepdown()
        assert point.members == (former,)
        await database.orders.insert_one({})  # on the next primary
        assert mongodb.primary() != former
        assert await is_set(former)
    assert not await is_set(former)

async def is_set(member):
    async with wiredrv.connect(str(member)) as connection:
        reply = await connection.command("admin", {"getParameter": 1, "failpoint.failCommand": 1})
        return reply["failpoint.failCommand"]["mode"] != 0

async def test_kill_primary(database, mongodb, kill_primary, mongodb_failpoint):
    await database.orders.insert_one({})
    async with mongodb_failpoint("failCommand", data={**FAIL, "errorCode": 8000}) as point:
        former = await kill_primary()
        assert point.members == (former,)
    assert mongodb.primary() != former
    await database.orders.insert_one({})

def test_all_members_are_there_again(wiredrv_client, database):
    database.orders.insert_one({})
    members = wiredrv_client.admin.command("replSetGetStatus")["members"]
    assert sorted(member["stateStr"] for member in members) == ["PRIMARY", "SECONDARY", "SECONDARY"]

def test_a_plain_function(database, mongodb, stepdown):
    former = stepdown()
    database.orders.insert_one({})
    assert mongodb.primary() != former
    assert mongodb.managed
    parameters = database.client.admin.command({"getParameter": 1, "transactionLifetimeLimitSeconds": 1})
    assert parameters["transactionLifetimeLimitSeconds"] == 86400
"""


def test_elections(pytester: pytest.Pytester, run: Run) -> None:
    pytester.makepyfile(HEAD.replace('["asyncio", "trio"]', '["trio"]') + ELECTIONS)
    run("-p", "anyio").assert_outcomes(passed=4)


def test_the_users_own_servers_step_down_and_are_not_killed(
    pytester: pytest.Pytester, run_here: Run, disturbed_replica_set: ReplicaSet
) -> None:
    pytester.makepyfile(
        """
        import pytest
        from wiredrv.errors import InvalidOperation

        def test_stepdown(database, mongodb, stepdown):
            former = stepdown()
            database.orders.insert_one({})
            assert mongodb.primary() != former

        def test_kill_primary(mongodb, kill_primary):
            assert not mongodb.managed
            with pytest.raises(InvalidOperation, match="not started by the test run"):
                kill_primary()
        """
    )
    run_here().assert_outcomes(passed=2)
