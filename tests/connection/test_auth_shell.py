"""Establishing a connection with credentials: what is sent when, and how each failure is reported."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

import anyio
import anyio.to_thread
import pytest

from tests.support.peers import HELLO, PATIENCE, answering, listening
from tests.support.scram_server import ScramServer
from wiredrv.connection import authenticate as shell
from wiredrv.connection.auth.keys import Derivation, KeyCache, ScramKeys
from wiredrv.connection.connect import establish
from wiredrv.connection.connection import Connection
from wiredrv.connection.settings import ConnectionSettings, Credentials, ServerApi
from wiredrv.errors import (
    SYSTEM_OVERLOADED,
    AutoReconnect,
    DriverError,
    NetworkTimeout,
    NotPrimaryError,
    OperationFailure,
    ProtocolError,
)
from wiredrv.net.dial import Dialer
from wiredrv.net.settings import NetSettings
from wiredrv.types import Address

ANN = Credentials(None, "admin", "ann", "secret")
DENIAL = {"ok": 0, "code": 18, "codeName": "AuthenticationFailed", "errmsg": "Authentication failed."}

pytestmark = pytest.mark.anyio


async def connected(
    address: Address, credentials: Credentials, timeout: float = PATIENCE, **settings: Any
) -> Connection:
    dialer = Dialer(NetSettings(connect_timeout=timeout))
    return await establish(address, dialer, ConnectionSettings(credentials=credentials, **settings))


class FakeScramServer:
    """A server that knows ann's password; with or without speculative authentication."""

    def __init__(self, *, speculative: bool = True, mechanisms: list[str] | None = None) -> None:
        self.commands: list[dict[str, Any]] = []
        self._speculative = speculative
        self._mechanisms = mechanisms if mechanisms is not None else ["SCRAM-SHA-256"]
        self._scram = ScramServer("SCRAM-SHA-256", b"secret")

    @property
    def names(self) -> list[str]:
        return [next(iter(command)) for command in self.commands]

    def __call__(self, command: dict[str, Any]) -> Mapping[str, Any] | None:
        self.commands.append(command)
        name = next(iter(command))
        if name in ("isMaster", "hello"):
            start = command.get("speculativeAuthenticate")
            reply = {**HELLO, "saslSupportedMechs": self._mechanisms}
            if self._speculative and start is not None:
                reply["speculativeAuthenticate"] = self._first(start)
            return reply
        if name == "saslStart":
            return {**self._first(command), "ok": 1}
        payload = self._scram.final(command["payload"]).encode()
        return {"conversationId": 1, "done": True, "payload": payload, "ok": 1}

    def _first(self, command: dict[str, Any]) -> dict[str, Any]:
        return {"conversationId": 1, "done": False, "payload": self._scram.first(command["payload"]).encode()}


async def test_speculative_authentication_saves_a_round_trip() -> None:
    server = FakeScramServer()
    with listening(answering(server)) as address:
        connection = await connected(address, ANN)
        connection.close()
    assert server.names == ["isMaster", "saslContinue"]
    assert server.commands[0]["saslSupportedMechs"] == "admin.ann"
    assert server.commands[1]["$db"] == "admin"
    assert "speculativeAuthenticate" not in connection.handshake.reply


async def test_a_server_without_it_is_asked_from_the_start() -> None:
    server = FakeScramServer(speculative=False)
    with listening(answering(server)) as address:
        (await connected(address, ANN)).close()
    assert server.names == ["isMaster", "saslStart", "saslContinue"]
    assert server.commands[1]["payload"] != server.commands[0]["speculativeAuthenticate"]["payload"]


async def test_the_source_is_the_database_that_is_asked() -> None:
    server = FakeScramServer(speculative=False)
    with listening(answering(server)) as address:
        (await connected(address, Credentials("SCRAM-SHA-256", "shop", "ann", "secret"))).close()
    assert [command["$db"] for command in server.commands] == ["admin", "shop", "shop"]
    assert server.commands[0]["speculativeAuthenticate"]["db"] == "shop"


async def test_every_command_declares_the_api_version_that_was_asked_for() -> None:
    server = FakeScramServer(speculative=False)
    with listening(answering(server)) as address:
        (await connected(address, ANN, server_api=ServerApi("1"))).close()
    assert [command["apiVersion"] for command in server.commands] == ["1", "1", "1"]


async def test_keys_are_derived_once_in_a_thread_and_then_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[int] = []
    derive = Derivation.derive

    def watched(request: Derivation) -> ScramKeys:
        threads.append(threading.get_ident())
        return derive(request)

    monkeypatch.setattr(shell, "_cache", KeyCache())
    monkeypatch.setattr(Derivation, "derive", watched)
    with listening(answering(FakeScramServer())) as address:
        for _ in range(3):
            (await connected(address, ANN)).close()
    assert len(threads) == 1
    assert threads[0] != threading.get_ident()


async def test_an_arbiter_holds_no_users() -> None:
    commands: list[str] = []

    def arbiter(command: dict[str, Any]) -> Mapping[str, Any]:
        commands.append(next(iter(command)))
        return {**HELLO, "isWritablePrimary": False, "setName": "rs", "arbiterOnly": True}

    with listening(answering(arbiter)) as address:
        (await connected(address, ANN)).close()
    assert commands == ["isMaster"]


def hangs_up_at(name: str) -> Any:
    """A server that ignores speculative authentication and closes the connection when this command arrives."""

    def answers(command: dict[str, Any]) -> Mapping[str, Any] | None:
        return None if next(iter(command)) == name else HELLO

    return answering(answers)


def says(reply: Mapping[str, Any]) -> Any:
    """A server that ignores speculative authentication and sends the same reply to every authentication command."""

    def answers(command: dict[str, Any]) -> Mapping[str, Any]:
        return HELLO if next(iter(command)) == "isMaster" else reply

    return answering(answers)


@pytest.mark.parametrize(
    "behaviour, error, overloaded",
    [
        (hangs_up_at("isMaster"), AutoReconnect, True),
        # CMAP, "Backpressure-enabled": no labels during authentication.
        (hangs_up_at("saslStart"), AutoReconnect, False),
        (says(DENIAL), OperationFailure, False),
        (says({"ok": 0, "code": 91, "errmsg": "shutting down"}), NotPrimaryError, False),
        (says({"ok": 1}), ProtocolError, False),
        (answering(lambda _: {"ok": 0, "code": 11600, "errmsg": "shutting down"}), NotPrimaryError, False),
    ],
)
async def test_only_failures_until_the_handshakes_answer_tell_of_an_overload(
    behaviour: Any, error: type[DriverError], overloaded: bool
) -> None:
    with listening(behaviour) as address, pytest.raises(error) as failure:
        await connected(address, ANN)
    assert failure.value.has_error_label(SYSTEM_OVERLOADED) is overloaded
    assert "secret" not in repr(failure.value)


async def test_a_wrong_password_names_mechanism_user_and_source() -> None:
    with listening(says(DENIAL)) as address, pytest.raises(OperationFailure) as failure:
        await connected(address, Credentials("SCRAM-SHA-256", "shop", "ann", "secret"))
    assert failure.value.code == 18
    assert failure.value.max_wire_version == 17
    assert "SCRAM-SHA-256 as user 'ann' of 'shop'" in str(failure.value)


@pytest.mark.parametrize(
    "silent_at, overloaded, missing",
    [
        ("isMaster", True, "no answer to the handshake"),
        ("saslStart", False, "the authentication was not done"),
    ],
)
async def test_the_connect_timeout_covers_the_authentication(silent_at: str, overloaded: bool, missing: str) -> None:
    done = threading.Event()

    def answers(command: dict[str, Any]) -> Mapping[str, Any]:
        if next(iter(command)) == silent_at:
            done.wait(PATIENCE)
        return HELLO

    with listening(answering(answers)) as address:
        with pytest.raises(NetworkTimeout, match=rf"{missing} within connectTimeoutMS \(200 ms\)") as failure:
            await connected(address, ANN, timeout=0.2)
        done.set()
    assert failure.value.has_error_label(SYSTEM_OVERLOADED) is overloaded


async def test_a_cancelled_authentication_closes_the_connection() -> None:
    asked, hung_up = threading.Event(), threading.Event()

    def answers(command: dict[str, Any]) -> Mapping[str, Any]:
        if next(iter(command)) == "saslStart":
            asked.set()
            assert hung_up.wait(PATIENCE)
        return HELLO

    closed = threading.Event()
    answer = answering(answers)

    def behave(connection: Any) -> None:
        answer(connection)
        closed.set()

    with listening(behave) as address:
        async with anyio.create_task_group() as group:
            group.start_soon(connected, address, ANN)
            assert await anyio.to_thread.run_sync(asked.wait, PATIENCE)
            group.cancel_scope.cancel()
        hung_up.set()
        assert await anyio.to_thread.run_sync(closed.wait, PATIENCE)


class FakeServerInsteadOfOneWithADirectory:
    """Stands in for a server that asks an LDAP directory, which no community build of mongod does."""

    def __init__(self, password: str) -> None:
        self._expected = f"\x00ann\x00{password}".encode()
        self.commands: list[dict[str, Any]] = []

    def __call__(self, command: dict[str, Any]) -> Mapping[str, Any]:
        self.commands.append(command)
        if "saslStart" not in command:
            return HELLO
        if command["payload"] != self._expected:
            return DENIAL
        return {"conversationId": 1, "done": True, "payload": b"", "ok": 1}


async def test_plain_against_a_fake_server() -> None:
    server = FakeServerInsteadOfOneWithADirectory("secret")
    with listening(answering(server)) as address:
        (await connected(address, Credentials("PLAIN", "$external", "ann", "secret"))).close()
        with pytest.raises(OperationFailure, match=r"PLAIN as user 'ann' of '\$external'") as failure:
            await connected(address, Credentials("PLAIN", "$external", "ann", "guessed"))
    assert failure.value.code == 18
    assert "guessed" not in repr(failure.value)
    assert [next(iter(command)) for command in server.commands] == ["isMaster", "saslStart"] * 2
    assert server.commands[1]["$db"] == "$external"
    assert server.commands[0].keys().isdisjoint({"saslSupportedMechs", "speculativeAuthenticate"})


async def test_x509_is_sent_again_where_the_handshake_did_not_answer_it() -> None:
    commands: list[dict[str, Any]] = []

    def answers(command: dict[str, Any]) -> Mapping[str, Any]:
        commands.append(command)
        return HELLO

    with listening(answering(answers)) as address:
        (await connected(address, Credentials("MONGODB-X509", "$external", "CN=ann"))).close()
    assert commands[1] == {"authenticate": 1, "mechanism": "MONGODB-X509", "user": "CN=ann", "$db": "$external"}


async def test_authentication_is_never_compressed_and_what_follows_is() -> None:
    server = FakeScramServer(speculative=False)
    compressed: list[bool] = []

    def watch(connection: Any) -> None:
        class Watched:
            def recv(self, count: int) -> bytes:
                data: bytes = connection.recv(count)
                if data:
                    compressed.append(int.from_bytes(data[12:16], "little") == 2012)
                return data

            sendall = connection.sendall

        def answers(command: dict[str, Any]) -> Mapping[str, Any] | None:
            if "ping" in command:
                return {"ok": 1}
            reply = server(command)
            return {**reply, "compression": ["zlib"]} if reply and "helloOk" in reply else reply

        answering(answers)(Watched())  # type: ignore[arg-type]

    with listening(watch) as address:
        connection = await connected(address, ANN, compressors=("zlib",))
        await connection.command("admin", {"ping": 1})
        connection.close()
    assert compressed == [False, False, False, True]
