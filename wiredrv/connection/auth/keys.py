"""The keys that SCRAM derives from a password, and a bounded cache of them. Pure.

Deriving takes thousands of hashes by design, so it may run in a thread; a conversation requests it by yielding a
:class:`Derivation`. The cache holds no password: its keys are digests under a key of this process.

Specification: auth ("Caching credentials in SCRAM").
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections import OrderedDict
from dataclasses import dataclass, field

_MOST_KEYS = 128


@dataclass(frozen=True, slots=True)
class ScramKeys:
    """The two keys of a password and a salt: one authenticates the client, the other the server."""

    client_key: bytes = field(repr=False)
    server_key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Derivation:
    """A conversation's request for keys.

    :param digest: the hash's name, ``sha1`` or ``sha256``.
    :param password: the password in the mechanism's form.
    :param salt: the server's, for this user.
    :param iterations: how often to hash; the conversation has checked the number.
    """

    digest: str
    password: bytes = field(repr=False)
    salt: bytes = field(repr=False)
    iterations: int

    def derive(self) -> ScramKeys:
        """Derive the keys. Takes about half a microsecond for each iteration."""
        salted = hashlib.pbkdf2_hmac(self.digest, self.password, self.salt, self.iterations)
        return ScramKeys(
            hmac.digest(salted, b"Client Key", self.digest), hmac.digest(salted, b"Server Key", self.digest)
        )


class KeyCache:
    """The keys derived last; the oldest are dropped first.

    :param limit: how many are kept.
    """

    def __init__(self, limit: int = _MOST_KEYS) -> None:
        self._limit = limit
        self._secret = secrets.token_bytes(32)
        self._keys: OrderedDict[bytes, ScramKeys] = OrderedDict()

    def get(self, request: Derivation) -> ScramKeys | None:
        """The keys, if they are in the cache."""
        name = self._name(request)
        keys = self._keys.get(name)
        if keys is not None:
            self._keys.move_to_end(name)
        return keys

    def put(self, request: Derivation, keys: ScramKeys) -> None:
        """Add keys to the cache."""
        name = self._name(request)
        self._keys[name] = keys
        self._keys.move_to_end(name)
        if len(self._keys) > self._limit:
            self._keys.popitem(last=False)

    def _name(self, request: Derivation) -> bytes:
        digest = hmac.new(
            self._secret, f"{request.digest} {request.iterations} {len(request.salt)} ".encode(), "sha256"
        )
        digest.update(request.salt)
        digest.update(request.password)
        return digest.digest()
