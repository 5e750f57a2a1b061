"""Tokens: the times of a session, or of a snapshot, as a short text that another process can continue from. Pure.

A token is URL-safe base64, without padding, of these bytes::

    version (1)  kind (1)  flags (1)  deployment (8)  time (8)  [cluster time (8)  hash (20)  keyId (8)]  seal (4 or 16)

The time is the session's operation time, or that of the snapshot. A cluster time is only in a causal token, and only
with a server's signature: one without a signature (``keyId`` 0) is never sent to a server, so there is no use for it.
The seal is the HMAC-SHA-256 by a key of the application's, cut to 16 bytes; without a key it is a checksum of 4 bytes,
which anybody can compute: it finds what was altered by accident.

Rules kept here:

* What is read comes from outside. Whatever it is, reading it gives a token or raises InvalidToken, in bounded time.
* One text for each value: a text that is not exactly what this module would write is refused.
* Neither a message nor a ``repr`` contains a key, nor the token.

A token names its deployment by eight bytes of a hash: see :func:`deployment_label`.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from bson.int64 import Int64
from bson.timestamp import Timestamp

from wiredrv.description import ServerType, TopologyDescription, TopologyType
from wiredrv.errors import ConfigurationError, InvalidToken
from wiredrv.session.cluster_time import ClusterTime

VERSION: Final = 1
_CAUSAL, _SNAPSHOT = 1, 2
_KINDS = {_CAUSAL: "a causal token", _SNAPSHOT: "the token of a snapshot"}
_HAS_CLUSTER_TIME, _IS_SIGNED = 1, 2

_HEAD = struct.Struct(">BBB8sII")
_CLUSTER_TIME = struct.Struct(">II20sq")
_CHECKSUM_BYTES, _SIGNATURE_BYTES = 4, 16
_LEAST_KEY_BYTES = 32

#: How many characters the longest token has.
LONGEST: Final = -(-(_HEAD.size + _CLUSTER_TIME.size + _SIGNATURE_BYTES) * 4 // 3)
_SHORTEST: Final = -(-(_HEAD.size + _CHECKSUM_BYTES) * 4 // 3)
_TEXT = re.compile(rf"[A-Za-z0-9_-]{{{_SHORTEST},{LONGEST}}}")

#: The label of a deployment of which nothing is known.
UNKNOWN_DEPLOYMENT: Final = bytes(8)


@dataclass(frozen=True, slots=True)
class CausalToken:
    """What a causal token says.

    :param deployment: the label of its deployment.
    :param operation_time: what is to be visible.
    :param cluster_time: the cluster time with its signature, if a server signed it.
    :param verified: whether it was signed with one of the application's keys.
    """

    deployment: bytes
    operation_time: Timestamp
    cluster_time: ClusterTime | None = None
    verified: bool = False

    @property
    def gossip(self) -> ClusterTime | None:
        """The cluster time, if it may be sent to a server: of a token that was verified, and signed by a server."""
        return self.cluster_time if self.verified and is_signed(self.cluster_time) else None


@dataclass(frozen=True, slots=True)
class SnapshotToken:
    """What the token of a snapshot says.

    :param deployment: the label of its deployment.
    :param time: that of the snapshot (``atClusterTime``).
    :param verified: whether it was signed with one of the application's keys.
    """

    deployment: bytes
    time: Timestamp
    verified: bool = False


class TokenKeys:
    """The keys that sign tokens which leave the hands of those who trust each other, and that check them afterwards.

    ::

        keys = wiredrv.TokenKeys(os.environ["TOKEN_KEY"])
        text = keys.sign(session.causal_token)  # to a browser
        session = client.start_session(after=text, token_keys=keys)  # and back

    The first key signs, and each of them is accepted. To replace a key, deploy the new one as the second first, then
    as the first, and remove the old one when no token that it signed is in use any longer. Use keys for nothing else,
    and other keys for each deployment. ``python -c "import secrets; print(secrets.token_urlsafe(32))"`` makes one.

    This driver's own: no specification has it. The signature is an HMAC (RFC 2104) with SHA-256, cut to 16 bytes.

    :param keys: one or more, as bytes or as text: 32 bytes at least.
    :raises ConfigurationError: there is none, or one is too short, or neither bytes nor text.
    """

    __slots__ = ("_keys",)

    def __init__(self, *keys: bytes | str) -> None:
        if not keys:
            raise ConfigurationError("TokenKeys needs a key: tokens that anybody could write cannot be told apart")
        self._keys = tuple(_checked_key(key) for key in keys)

    def sign(self, token: str) -> str:
        """The same token, signed. A signature that it has is replaced.

        :param token: as ``session.causal_token`` gives it, or the token of a snapshot.
        :returns: the signed token, for a cookie, a header or a URL.
        :raises InvalidToken: it is not a token.
        :raises ConfigurationError: it is not a text.
        """
        if not isinstance(token, str):
            raise ConfigurationError(f"a token is a text, not {type(token).__name__}")
        return _write(_read(token).body, self)

    def _seal(self, body: bytes) -> bytes:
        return hmac.digest(self._keys[0], body, "sha256")[:_SIGNATURE_BYTES]

    def _accepts(self, body: bytes, signature: bytes) -> bool:
        found = False
        for key in self._keys:  # all of them: how long it takes does not tell which one it was
            found |= hmac.compare_digest(hmac.digest(key, body, "sha256")[:_SIGNATURE_BYTES], signature)
        return found

    def __repr__(self) -> str:
        return f"<TokenKeys, {len(self._keys)}>"

    def __reduce__(self) -> str:
        raise TypeError("keys are neither copied nor pickled: make them from the application's secret where needed")


def _checked_key(key: bytes | str) -> bytes:
    if isinstance(key, str):
        key = key.encode("utf-8", "surrogatepass")
    if not isinstance(key, bytes):
        raise ConfigurationError(f"a key for tokens is bytes or a text, not {type(key).__name__}")
    if len(key) < _LEAST_KEY_BYTES:
        raise ConfigurationError(
            f"a key for tokens has {_LEAST_KEY_BYTES} bytes at least, not {len(key)}: "
            "secrets.token_urlsafe(32) makes one"
        )
    # An application may use its key for something else, against the advice: what is signed there is no token.
    return hmac.digest(key, b"wiredrv tokens", "sha256")


# --- the deployment ---


def deployment_label(description: TopologyDescription) -> bytes:
    """The name of a deployment in tokens: eight bytes of a hash, from what its servers say in each hello.

    It is made from the name of the replica set, which never changes, and not from the hosts, which do when the set is
    reconfigured. Two replica sets of one name are not told apart, and neither are two sharded clusters: their servers
    say nothing by which they could be. A token never relies on it: times are confirmed by the servers themselves.

    :param description: what is known of the deployment.
    :returns: the label; :data:`UNKNOWN_DEPLOYMENT` as long as no server has answered.
    """
    name = _deployment_name(description)
    if name is None:
        return UNKNOWN_DEPLOYMENT
    return hashlib.sha256(b"wiredrv deployment\0" + name.encode("utf-8", "surrogatepass")).digest()[:8]


def _deployment_name(description: TopologyDescription) -> str | None:
    kind = description.topology_type
    if kind is TopologyType.SHARDED or kind is TopologyType.LOAD_BALANCED:
        return "sharded cluster"
    if kind is not TopologyType.SINGLE:
        return None if description.set_name is None else f"replica set {description.set_name}"
    for server in description.servers.values():
        if server.server_type is ServerType.MONGOS:
            return "sharded cluster"
        if server.server_type is ServerType.STANDALONE:
            return "standalone"
        if server.set_name is not None:
            return f"replica set {server.set_name}"
    return None


def same_deployment(token: bytes, own: bytes) -> bool:
    """Whether a token may be of the client's own deployment: so far as both are known."""
    return UNKNOWN_DEPLOYMENT in (token, own) or token == own


# --- writing ---


def is_signed(cluster_time: ClusterTime | None) -> bool:
    """Whether a server signed it. Without authentication they send a ``keyId`` of 0: nobody can check such a time."""
    return cluster_time is not None and _signature(cluster_time) is not None


def _signature(cluster_time: ClusterTime) -> tuple[bytes, int] | None:
    signature = cluster_time.get("signature")
    if not isinstance(signature, Mapping):
        return None
    digest, key_id = signature.get("hash"), signature.get("keyId")
    if not isinstance(digest, bytes) or len(digest) != 20:
        return None
    if not isinstance(key_id, int) or isinstance(key_id, bool) or key_id == 0 or not -(2**63) <= key_id < 2**63:
        return None
    return digest, key_id


def write_causal_token(
    operation_time: Timestamp, cluster_time: ClusterTime | None, deployment: bytes, keys: TokenKeys | None = None
) -> str:
    """A causal token. A cluster time that no server signed is left out.

    :param deployment: as :func:`deployment_label` gives it.
    :param keys: sign it; None for a token between those who trust each other.
    """
    tail = b""
    flags = 0
    signature = None if cluster_time is None else _signature(cluster_time)
    if cluster_time is not None and signature is not None:
        time = cluster_time["clusterTime"]
        tail = _CLUSTER_TIME.pack(time.time, time.inc, *signature)
        flags = _HAS_CLUSTER_TIME
    head = _HEAD.pack(VERSION, _CAUSAL, flags, deployment, operation_time.time, operation_time.inc)
    return _write(head + tail, keys)


def write_snapshot_token(time: Timestamp, deployment: bytes, keys: TokenKeys | None = None) -> str:
    """The token of a snapshot; the arguments as of :func:`write_causal_token`."""
    return _write(_HEAD.pack(VERSION, _SNAPSHOT, 0, deployment, time.time, time.inc), keys)


def _write(body: bytes, keys: TokenKeys | None) -> str:
    flags = body[2] & ~_IS_SIGNED if keys is None else body[2] | _IS_SIGNED
    body = body[:2] + bytes((flags,)) + body[3:]
    seal = _checksum(body) if keys is None else keys._seal(body)
    return base64.urlsafe_b64encode(body + seal).rstrip(b"=").decode()


def _checksum(body: bytes) -> bytes:
    return hashlib.sha256(b"wiredrv token\0" + body).digest()[:_CHECKSUM_BYTES]


# --- reading ---


def read_causal_token(text: str, keys: TokenKeys | None = None) -> CausalToken:
    """Read a causal token.

    :param text: from anywhere.
    :param keys: accept only what is signed with one of them. With None, signatures are not checked, and the result is
        not ``verified``.
    :raises InvalidToken: it cannot be used; its ``reason`` says why.
    """
    found = _read(text)
    _check(found, _CAUSAL, keys)
    *_, deployment, seconds, increment = _HEAD.unpack_from(found.body)
    cluster_time: ClusterTime | None = None
    if len(found.body) > _HEAD.size:
        time, inc, digest, key_id = _CLUSTER_TIME.unpack_from(found.body, _HEAD.size)
        signature = {"hash": digest, "keyId": Int64(key_id)}
        cluster_time = {"clusterTime": Timestamp(time, inc), "signature": signature}
    return CausalToken(deployment, Timestamp(seconds, increment), cluster_time, keys is not None)


def read_snapshot_token(text: str, keys: TokenKeys | None = None) -> SnapshotToken:
    """Read the token of a snapshot; the arguments and errors as of :func:`read_causal_token`."""
    found = _read(text)
    _check(found, _SNAPSHOT, keys)
    *_, deployment, seconds, increment = _HEAD.unpack_from(found.body)
    return SnapshotToken(deployment, Timestamp(seconds, increment), keys is not None)


@dataclass(frozen=True, slots=True)
class _Found:
    kind: int
    body: bytes
    #: None of one that is not signed, whose checksum is correct.
    signature: bytes | None


def _check(found: _Found, kind: int, keys: TokenKeys | None) -> None:
    # The signature first: nothing is said of a token that somebody else wrote.
    if keys is not None and (found.signature is None or not keys._accepts(found.body, found.signature)):
        raise InvalidToken("this token was not signed with one of the application's keys", "signature")
    if found.kind != kind:
        raise InvalidToken(f"this is {_KINDS[found.kind]}, where {_KINDS[kind]} is needed", "kind")


def _read(text: str) -> _Found:
    """The parts of a token; its signature is not checked.

    :raises InvalidToken: it is not a token of this version, or was altered.
    """
    if len(text) > LONGEST or _TEXT.fullmatch(text) is None or len(text) % 4 == 1:
        raise InvalidToken(f"this is not a token: one has {_SHORTEST} to {LONGEST} letters, digits, '-' and '_'")
    data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if data[0] != VERSION:
        raise InvalidToken(f"this token has version {data[0]}, and this wiredrv knows version {VERSION}")
    kind, flags = data[1], data[2]
    seal_bytes = _SIGNATURE_BYTES if flags & _IS_SIGNED else _CHECKSUM_BYTES
    body, seal = data[:-seal_bytes], data[-seal_bytes:]
    has_cluster_time = kind == _CAUSAL and flags & _HAS_CLUSTER_TIME
    size = _HEAD.size + (_CLUSTER_TIME.size if has_cluster_time else 0)
    known = kind in _KINDS and not flags & ~(_HAS_CLUSTER_TIME * (kind == _CAUSAL) | _IS_SIGNED)
    if not known or len(body) != size or not _makes_sense(body):
        raise InvalidToken("this token was altered, or cut off")
    is_signed = bool(flags & _IS_SIGNED)
    # Last: of several texts that mean the same, only one is right; and the checksum of one that is not signed.
    if base64.urlsafe_b64encode(data).rstrip(b"=") != text.encode() or not (is_signed or _checksum(body) == seal):
        raise InvalidToken("this token was altered, or cut off")
    return _Found(kind, body, seal if is_signed else None)


def _makes_sense(body: bytes) -> bool:
    """Whether a token's times can be times. Servers refuse a command whose ``afterClusterTime`` is null."""
    if not _HEAD.unpack_from(body)[4]:
        return False
    if len(body) == _HEAD.size:
        return True
    seconds, _, _, key_id = _CLUSTER_TIME.unpack_from(body, _HEAD.size)
    return bool(seconds and key_id)
