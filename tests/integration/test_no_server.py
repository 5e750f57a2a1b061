"""No server can be reached: the error is raised in time, says what was tried and why each failed, without secrets."""

from __future__ import annotations

import logging
import socket
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Any

import anyio
import pytest

import wiredrv
from tests.support import hostile_server as hostile
from tests.support.hostile_server import HostileServer
from wiredrv.errors import DriverError, ServerSelectionTimeoutError
from wiredrv.types import Address

pytestmark = pytest.mark.anyio

#: Seconds within which something limited to a few hundred milliseconds ends even on a busy machine; the default is 30.
_GRACE = 15.0

PASSWORD = "t0p%25s3cr3t"  # as a connection string writes it
SECRETS = ("t0p%25s3cr3t", "t0p%s3cr3t")


@contextmanager
def closed_ports(count: int) -> Iterator[list[Address]]:
    """Addresses that refuse connections: bound, so that no other program listens there meanwhile, but not listening."""
    held = [socket.socket() for _ in range(count)]
    try:
        for one in held:
            one.bind(("127.0.0.1", 0))
        yield [Address("127.0.0.1", one.getsockname()[1]) for one in held]
    finally:
        for one in held:
            one.close()


def uri_of(addresses: list[Address], options: str = "serverSelectionTimeoutMS=300") -> str:
    return f"mongodb://{','.join(map(str, addresses))}/?{options}"


async def test_the_error_comes_in_time_and_names_every_server_with_its_reason() -> None:
    with closed_ports(3) as addresses:
        async with wiredrv.Client(uri_of(addresses)) as client:
            started = monotonic()
            with pytest.raises(ServerSelectionTimeoutError) as caught:
                await client.shop.orders.insert_one({"sku": "abc"})
            assert 0.3 <= monotonic() - started < _GRACE
    text = str(caught.value)
    assert "insert" in text, "the operation"
    assert "0.3 s" in text or "300 ms" in text, "how long it waited"
    for address in addresses:
        assert str(address) in text
    assert text.count("refused") == 3
    assert caught.value.timeout
    assert caught.value.topology_description is not None
    assert set(caught.value.topology_description.servers) == set(addresses)


@pytest.mark.parametrize(
    "call",
    [
        lambda client: client.db.c.find_one({}),
        lambda client: client.db.c.insert_one({}),
        lambda client: client.db.c.find({}).to_list(),
        lambda client: client.db.command("ping"),
        lambda client: client.list_database_names(),
        lambda client: client.supports_transactions(),
    ],
    ids=["find_one", "insert_one", "find", "command", "list_database_names", "supports_transactions"],
)
@pytest.mark.parametrize("option", ["serverSelectionTimeoutMS=150", "timeoutMS=150"])
async def test_every_operation_gives_up_in_time(call: Any, option: str) -> None:
    with closed_ports(1) as addresses:
        async with wiredrv.Client(uri_of(addresses, option)) as client:
            with anyio.fail_after(_GRACE), pytest.raises(ServerSelectionTimeoutError, match="refused"):
                await call(client)


async def test_a_transaction_without_a_server_says_so_and_can_be_left() -> None:
    with closed_ports(1) as addresses, anyio.fail_after(_GRACE):
        async with wiredrv.Client(uri_of(addresses, "serverSelectionTimeoutMS=150")) as client:
            with pytest.raises(ServerSelectionTimeoutError) as caught:
                async with client.start_session() as session, session.start_transaction():
                    await client.db.c.insert_one({}, session=session)
            assert caught.value.has_error_label("TransientTransactionError")


async def test_a_host_that_has_no_address_is_told_as_such() -> None:
    async with wiredrv.Client("mongodb://nowhere.invalid/?serverSelectionTimeoutMS=300") as client:
        with anyio.fail_after(_GRACE), pytest.raises(ServerSelectionTimeoutError, match="cannot be resolved"):
            await client.admin.command("ping")


async def test_a_wrong_set_name_is_told_as_such(replica_set: Any) -> None:
    address = replica_set.members[0].address
    async with wiredrv.Client(f"mongodb://{address}/?replicaSet=other&serverSelectionTimeoutMS=500") as client:
        with anyio.fail_after(_GRACE), pytest.raises(ServerSelectionTimeoutError) as caught:
            await client.admin.command("ping")
    name = replica_set.name
    assert f"{address} belongs to the replica set {name!r}, but replicaSet='other' was asked for" in str(caught.value)


async def test_closing_a_client_ends_those_who_wait_for_a_server() -> None:
    with closed_ports(1) as addresses, anyio.fail_after(_GRACE):
        client = wiredrv.Client(uri_of(addresses, "serverSelectionTimeoutMS=60000"))
        await client.open()
        failures: list[Exception] = []

        async def wait() -> None:
            try:
                await client.admin.command("ping")
            except DriverError as error:
                failures.append(error)

        async with anyio.create_task_group() as group:
            group.start_soon(wait)
            await anyio.wait_all_tasks_blocked()
            await client.close()
        assert len(failures) == 1
        assert "closed" in str(failures[0])


# --- no secret is shown -----------------------------------------------------------------------------------------------


class Listener:
    """Keeps the text of every event."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def __call__(self, event: object) -> None:
        self.seen.append(repr(event) + str(event))


def told(error: BaseException) -> str:
    """Everything that an error shows: its message, repr, attributes and chain, and those of its traceback."""
    parts = ["".join(traceback.format_exception(error))]
    link: BaseException | None = error
    while link is not None:
        parts += [str(link), repr(link), repr(vars(link))]
        link = link.__cause__ or link.__context__
    return "\n".join(parts)


def no_secret(text: str, where: str) -> None:
    for secret in SECRETS:
        assert secret not in text, f"the password stands in {where}"


async def test_a_password_is_in_no_error_repr_event_or_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    listener = Listener()
    with HostileServer({"hello": hostile.close}) as server:
        uri = f"mongodb://alice:{PASSWORD}@{server.address}/?serverSelectionTimeoutMS=300&authSource=admin"
        async with wiredrv.Client(uri, event_listeners=[listener]) as client:
            with pytest.raises(DriverError) as caught:
                await client.db.c.find_one({})
            for name, shown in (
                ("the client's repr", repr(client)),
                ("the settings' repr", repr(client._core.settings)),
                ("a database's repr", repr(client.db)),
                ("a collection's repr", repr(client.db.c)),
                ("the topology", repr(client.topology_description) + str(client.topology_description)),
                ("the error", told(caught.value)),
            ):
                no_secret(shown, name)
    assert listener.seen, "monitoring tells something"
    no_secret("\n".join(listener.seen), "an event")
    no_secret(caplog.text, "a log")


async def test_a_refused_password_is_in_no_error_event_or_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    listener = Listener()
    with HostileServer({}) as server:
        uri = f"mongodb://alice:{PASSWORD}@{server.address}/?serverSelectionTimeoutMS=300&authMechanism=PLAIN"
        async with wiredrv.Client(uri, event_listeners=[listener]) as client:
            with pytest.raises(DriverError) as caught:
                await client.db.c.find_one({})
            no_secret(told(caught.value), "the error")
    no_secret("\n".join(listener.seen), "an event")
    no_secret(caplog.text, "a log")


@pytest.mark.parametrize(
    "uri",
    [
        f"mongodb://alice:{PASSWORD}@",
        f"mongodb://alice:{PASSWORD}@host:port/",
        f"mongodb://alice:{PASSWORD}@host/?maxPoolSize=many",
        f"mongodb://alice:{PASSWORD}@host/?unknownOption=1&replicaSet=",
        f"mongodb://alice:{PASSWORD}@host:1,host:99999/",
        f"mongodb://alice:{PASSWORD}@host/?tls=true&tls=false",
        f"mongodb://alice:{PASSWORD}@host/?authMechanism=NONE",
        f"mongodb://alice:{PASSWORD}@host/?authMechanism=MONGODB-X509",
        f"mongodb://al%ice:{PASSWORD}@host/",
        f"mongodb://alice:{PASSWORD}:more@host/",
        f"http://alice:{PASSWORD}@host/",
    ],
)
async def test_a_connection_string_that_is_refused_does_not_show_its_password(
    uri: str, caplog: pytest.LogCaptureFixture, recwarn: pytest.WarningsRecorder
) -> None:
    caplog.set_level(logging.DEBUG)
    try:
        wiredrv.Client(uri)
    except DriverError as error:
        no_secret("\n".join([str(error), repr(error), repr(vars(error))]), "the error")
        link = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
        if link is not None:
            no_secret(str(link) + repr(link), "the error's cause")
    no_secret(caplog.text + "".join(str(warning.message) for warning in recwarn), "a log or a warning")
