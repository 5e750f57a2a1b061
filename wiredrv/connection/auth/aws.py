"""The conversation of MONGODB-AWS: the client signs a request to Amazon's STS, and the server has it checked. Pure.

The request is never sent by the client. Signing it (Signature Version 4) proves that the client has the secret key, and
the server's nonce in it that it is meant for this conversation.

Rules kept here:

* The server's nonce begins with ours, and the host that it names is checked before anything is signed for it.
* Of the credentials, only the secret key is a secret of the user; the session token is treated as one too.
* There is no speculation with the handshake: the specification has none for this mechanism.

Specification: auth ("MONGODB-AWS").
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from base64 import b64encode
from collections.abc import Mapping
from datetime import datetime

import bson

from wiredrv.connection.auth.callbacks import AWSCredentials
from wiredrv.connection.auth.conversation import Conversation, KeysRequest, SigningKeys, StepResult, refused
from wiredrv.connection.settings import Credentials
from wiredrv.errors import ProtocolError
from wiredrv.types import Document

MECHANISM = "MONGODB-AWS"
NONCE_BYTES = 32
_SERVER_NONCE_BYTES = 64
_MOST_HOST_BYTES = 255
_BODY = b"Action=GetCallerIdentity&Version=2011-06-15"
_DEFAULT_REGION = "us-east-1"
#: Hosts of the default region whose second label is not a region. (The specification's table has the first, its
#: pseudocode the second.)
_GLOBAL_HOSTS = frozenset({"sts.amazonaws.com", "aws.amazonaws.com"})


def new_nonce() -> bytes:
    """A nonce for one conversation."""
    return secrets.token_bytes(NONCE_BYTES)


def aws(credentials: Credentials, nonce: bytes) -> Conversation:
    """Authenticate by AWS credentials.

    :param nonce: ours, from :func:`new_nonce`.
    :raises OperationFailure: a check of the server's values fails.
    :raises ProtocolError: a reply cannot be read.
    """
    reply = yield {"saslStart": 1, "mechanism": MECHANISM, "payload": bson.encode({"r": nonce, "p": ord("n")})}
    conversation, server_nonce, host = _read_challenge(reply)
    if len(server_nonce) != _SERVER_NONCE_BYTES or not server_nonce.startswith(nonce):
        raise refused(MECHANISM, credentials, "the server's nonce does not begin with the client's, or is too short")
    if not is_valid_host(host):
        raise refused(MECHANISM, credentials, "the server does not name a valid host")
    keys = yield KeysRequest()
    assert isinstance(keys, SigningKeys)
    date = keys.now.strftime("%Y%m%dT%H%M%SZ")
    answer = {"a": authorization(keys.credentials, host, server_nonce, keys.now), "d": date}
    if keys.credentials.token is not None:
        answer["t"] = keys.credentials.token
    reply = yield {"saslContinue": 1, "conversationId": conversation, "payload": bson.encode(answer)}
    if not isinstance(reply, Mapping) or not reply.get("done"):
        raise refused(MECHANISM, credentials, "the server does not end the conversation")


def _read_challenge(reply: StepResult) -> tuple[object, bytes, str]:
    assert isinstance(reply, Mapping)
    payload = reply.get("payload")
    try:
        challenge: Document = bson.decode(payload) if isinstance(payload, bytes) else {}
    except bson.errors.InvalidBSON as error:
        raise ProtocolError("the server's answer to the authentication is not BSON") from error
    nonce, host = challenge.get("s"), challenge.get("h")
    if reply.get("done") or not isinstance(nonce, bytes) or not isinstance(host, str):
        raise ProtocolError("the server's answer to the authentication has no nonce and no host")
    return reply.get("conversationId"), nonce, host


def is_valid_host(host: str) -> bool:
    """Whether a host may be signed for: of 1 to 255 bytes, and without empty labels."""
    return 0 < len(host.encode()) <= _MOST_HOST_BYTES and all(host.split("."))


def region_of(host: str) -> str:
    """The region of a valid host of the STS."""
    if host in _GLOBAL_HOSTS or "." not in host:
        return _DEFAULT_REGION
    return host.split(".")[1]


def authorization(credentials: AWSCredentials, host: str, server_nonce: bytes, now: datetime) -> str:
    """The header ``Authorization`` of the request to the STS, by Signature Version 4.

    :param now: the time, in UTC.
    """
    date = now.strftime("%Y%m%dT%H%M%SZ")
    headers = {
        "content-length": str(len(_BODY)),
        "content-type": "application/x-www-form-urlencoded",
        "host": host,
        "x-amz-date": date,
        "x-mongodb-gs2-cb-flag": "n",
        "x-mongodb-server-nonce": b64encode(server_nonce).decode(),
    }
    if credentials.token is not None:
        headers["x-amz-security-token"] = credentials.token
    names = sorted(headers)
    signed = ";".join(names)
    lines = "".join(f"{name}:{headers[name]}\n" for name in names)
    request = f"POST\n/\n\n{lines}\n{signed}\n{hashlib.sha256(_BODY).hexdigest()}"
    steps = (date[:8], region_of(host), "sts", "aws4_request")
    scope = "/".join(steps)
    to_sign = f"AWS4-HMAC-SHA256\n{date}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
    key = f"AWS4{credentials.secret_key}".encode()
    for step in steps:
        key = hmac.digest(key, step.encode(), "sha256")
    signature = hmac.digest(key, to_sign.encode(), "sha256").hex()
    return (
        f"AWS4-HMAC-SHA256 Credential={credentials.access_key}/{scope}, SignedHeaders={signed}, Signature={signature}"
    )
