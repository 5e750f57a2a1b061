"""Stands in for a server that takes access tokens, which no community build of mongod does.

It is a double: it accepts the tokens that the test names, and does not look into them.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import bson
from bson.timestamp import Timestamp

from tests.support.peers import HELLO, answering, listening
from wiredrv.types import Address

DENIAL = {"ok": 0, "code": 18, "codeName": "AuthenticationFailed", "errmsg": "Authentication failed."}
ISSUER = {"issuer": "https://issuer.example.com", "clientId": "abcd", "requestScopes": ["fizz", "buzz"]}


class OIDCDouble:
    """A double of a replica set of one, whose users are proved by access tokens.

    :param accepted: the tokens that it accepts.
    :param provider: what it says of the identity provider.
    :param providers: for a server with several: each of them, by the name of the principal that it is for.
    """

    def __init__(
        self,
        *accepted: str,
        provider: Mapping[str, Any] = ISSUER,
        providers: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        self.accepted = set(accepted)
        self.commands: list[dict[str, Any]] = []
        #: The tokens that were presented, in their order; speculatively too.
        self.presented: list[str] = []
        self._provider = dict(provider)
        self._providers = providers
        self._failures: list[tuple[str, int | None]] = []
        #: Seconds that the answer to each find takes.
        self.delay = 0.0
        self._lock = threading.Lock()
        self._address: Address | None = None

    @property
    def names(self) -> list[str]:
        """The names of the commands, without those of monitors and handshakes."""
        names = [next(iter(command)) for command in self.commands]
        return [name for name in names if name not in ("hello", "isMaster", "endSessions")]

    def fail(self, command: str, code: int | None = None) -> None:
        """Fail the next command of this name with an error code; without one, close the connection."""
        self._failures.append((command, code))

    @contextmanager
    def listening(self) -> Iterator[Address]:
        """Listen while the block runs."""
        with listening(answering(self)) as address:
            self._address = address
            yield address

    @contextmanager
    def serving(self) -> Iterator[str]:
        """Listen while the block runs. Yields the connection string."""
        with self.listening() as address:
            yield f"mongodb://{address}/?authMechanism=MONGODB-OIDC&retryReads=false&retryWrites=false"

    def __call__(self, command: dict[str, Any]) -> Mapping[str, Any] | None:
        name = next(iter(command))
        if name == "find" and self.delay:
            time.sleep(self.delay)
        with self._lock:
            self.commands.append(command)
            for failure in self._failures:
                if failure[0] == name:
                    self._failures.remove(failure)
                    return None if failure[1] is None else {"ok": 0, "code": failure[1], "errmsg": "made up"}
            return self._answer(name, command)

    def _answer(self, name: str, command: dict[str, Any]) -> Mapping[str, Any]:
        if name in ("hello", "isMaster"):
            return self._hello(command)
        if name == "saslStart":
            return self._start(bson.decode(command["payload"])) or DENIAL
        if name == "saslContinue":
            return self._jwt(bson.decode(command["payload"])["jwt"]) or DENIAL
        if name == "configureFailPoint":
            return self._configure(command)
        if name == "buildInfo":
            return {"ok": 1, "version": "7.0.0", "versionArray": [7, 0, 0, 0]}
        if name == "getParameter":
            return {"ok": 1, "authenticationMechanisms": ["MONGODB-OIDC"]}
        if name == "find":
            return {"ok": 1, "cursor": {"id": 0, "ns": "shop.orders", "firstBatch": []}}
        return {"ok": 1, "n": 1}

    def _configure(self, command: dict[str, Any]) -> Mapping[str, Any]:
        """A fail point ``failCommand``. That it is for clients of one name is ignored: no others send such commands."""
        self._failures.clear()
        if isinstance(command["mode"], dict):
            data = command["data"]
            code = None if data.get("closeConnection") else data["errorCode"]
            self._failures = [(name, code) for name in data["failCommands"]] * command["mode"]["times"]
        return {"ok": 1}

    def _hello(self, command: dict[str, Any]) -> Mapping[str, Any]:
        address = str(self._address)
        reply = {
            **HELLO,
            "setName": "double",
            "hosts": [address],
            "me": address,
            "logicalSessionTimeoutMinutes": 30,
            "$clusterTime": {"clusterTime": Timestamp(1, 1), "signature": {"hash": b"", "keyId": 0}},
        }
        if "speculativeAuthenticate" in command:
            answer = self._start(bson.decode(command["speculativeAuthenticate"]["payload"]))
            if answer is not None:
                reply["speculativeAuthenticate"] = answer
        return reply

    def _start(self, payload: Mapping[str, Any]) -> Mapping[str, Any] | None:
        if "jwt" in payload:
            return self._jwt(payload["jwt"])
        provider = self._provider if self._providers is None else self._providers.get(payload.get("n", ""))
        if provider is None:
            return None
        return {"ok": 1, "conversationId": 1, "done": False, "payload": bson.encode(provider)}

    def _jwt(self, token: str) -> Mapping[str, Any] | None:
        self.presented.append(token)
        return {"ok": 1, "conversationId": 1, "done": True, "payload": b""} if token in self.accepted else None
