"""What SCRAM derives from a password, and a bounded cache of it. Pure.

Deriving takes thousands of hashes by design, so who runs a conversation may do it in a thread; a conversation asks
for it with a :class:`Derivation`. The cache holds no password: its keys are digests under a key of this process.

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
    """The two keys that a password gives under a salt: one proves who the client is, the other who the server is."""

    client_key: bytes = field(repr=False)
    server_key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Derivation:
    """A request of a conversation: these keys.

    :param digest: the hash's name, ``sha1`` or ``sha256``.
    :param password: what the mechanism makes of the password.
    :param salt: the server's, for this user.
    :param iterations: how often to hash, which the conversation has bounded.
    """

    digest: str
    password: bytes = field(repr=False)
    salt: bytes = field(repr=False)
    iterations: int

    def derive(self) -> ScramKeys:
        """Do the work: about half a microsecond for each iteration."""
        salted = hashlib.pbkdf2_hmac(self.digest, self.password, self.salt, self.iterations)
        return ScramKeys(
            hmac.digest(salted, b"Client Key", self.digest), hmac.digest(salted, b"Server Key", self.digest)
        )


class KeyCache:
    """The keys derived last, the oldest forgotten first.

    :param limit: how many are kept.
    """

    def __init__(self, limit: int = _MOST_KEYS) -> None:
        self._limit = limit
        self._secret = secrets.token_bytes(32)
        self._keys: OrderedDict[bytes, ScramKeys] = OrderedDict()

    def get(self, request: Derivation) -> ScramKeys | None:
        """The keys, if they were derived lately."""
        name = self._name(request)
        keys = self._keys.get(name)
        if keys is not None:
            self._keys.move_to_end(name)
        return keys

    def put(self, request: Derivation, keys: ScramKeys) -> None:
        """Remember keys that were derived."""
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
