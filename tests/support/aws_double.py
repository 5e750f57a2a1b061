"""Stands in for a server that has Amazon check signatures, which no community build of mongod does.

It is a double: it knows the secret keys that the test names, and checks a signature as Amazon would, by Amazon's own
library (botocore), which the driver does not sign with.
"""

from __future__ import annotations

import secrets
import threading
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from unittest import mock

import botocore.auth
import bson
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests.support.oidc_double import DENIAL
from tests.support.peers import HELLO, answering, listening

BODY = "Action=GetCallerIdentity&Version=2011-06-15"


def signed_by_amazon(
    access: str, secret: str, token: str | None, host: str, region: str, nonce: bytes, now: datetime
) -> str:
    """The header ``Authorization`` as botocore makes it."""
    headers = {
        "Content-Type": "application/x-www-form-urlencoded",
        "Content-Length": str(len(BODY)),
        "Host": host,
        "X-MongoDB-Server-Nonce": b64encode(nonce).decode(),
        "X-MongoDB-GS2-CB-Flag": "n",
    }
    request = AWSRequest(method="POST", url=f"https://{host}/", data=BODY, headers=headers)
    with mock.patch.object(botocore.auth, "get_current_datetime", return_value=now):
        botocore.auth.SigV4Auth(Credentials(access, secret, token), "sts", region).add_auth(request)
    return str(request.headers["Authorization"])


class AWSDouble:
    """A double of a server whose users are proved by signatures.

    :param keys: the secret keys by the ids of the access keys, each with its session token or None.
    """

    def __init__(self, keys: Mapping[str, tuple[str, str | None]], host: str = "sts.us-west-2.amazonaws.com") -> None:
        self.keys = dict(keys)
        self.commands: list[dict[str, Any]] = []
        #: The access keys that were used, in their order.
        self.used: list[str] = []
        self._host = host
        self._nonces: dict[int, bytes] = {}
        self._lock = threading.Lock()

    @contextmanager
    def serving(self) -> Iterator[str]:
        """Listen while the block runs. Yields the connection string."""
        with listening(answering(self)) as address:
            yield f"mongodb://{address}/?authMechanism=MONGODB-AWS"

    def __call__(self, command: dict[str, Any]) -> Mapping[str, Any]:
        with self._lock:
            self.commands.append(command)
            name = next(iter(command))
            if name in ("hello", "isMaster"):
                return HELLO
            if name == "saslStart":
                return self._challenge(bson.decode(command["payload"]))
            if name == "saslContinue":
                return self._verdict(command)
            if name == "find":
                return {"ok": 1, "cursor": {"id": 0, "ns": "shop.orders", "firstBatch": []}}
            return {"ok": 1}

    def _challenge(self, payload: Mapping[str, Any]) -> Mapping[str, Any]:
        assert payload == {"r": payload["r"], "p": 110}
        nonce = payload["r"] + secrets.token_bytes(32)
        number = len(self._nonces) + 1
        self._nonces[number] = nonce
        challenge = bson.encode({"s": nonce, "h": self._host})
        return {"ok": 1, "conversationId": number, "done": False, "payload": challenge}

    def _verdict(self, command: Mapping[str, Any]) -> Mapping[str, Any]:
        payload = bson.decode(command["payload"])
        access = payload["a"].partition("Credential=")[2].partition("/")[0]
        self.used.append(access)
        secret, token = self.keys.get(access, (None, None))
        now = datetime.strptime(payload["d"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        if secret is None or payload.get("t") != token or abs((datetime.now(UTC) - now).total_seconds()) > 300:
            return DENIAL
        nonce = self._nonces[command["conversationId"]]
        if payload["a"] != signed_by_amazon(access, secret, token, self._host, "us-west-2", nonce, now):
            return DENIAL
        return {"ok": 1, "conversationId": command["conversationId"], "done": True, "payload": b""}
