"""The server's side of a SCRAM conversation."""

from __future__ import annotations

import hashlib
import hmac
from base64 import b64decode, b64encode

#: The mechanisms, and their hash functions.
MECHANISMS = {"SCRAM-SHA-1": "sha1", "SCRAM-SHA-256": "sha256"}


class ScramServer:
    """A server that knows the password, and can be made to cheat."""

    def __init__(self, mechanism: str, secret: bytes, iterations: int = 4096) -> None:
        self._digest = MECHANISMS[mechanism]
        self.salt = b"0123456789abcdef"
        self.iterations = iterations
        salted = hashlib.pbkdf2_hmac(self._digest, secret, self.salt, iterations)
        self._client_key = hmac.digest(salted, b"Client Key", self._digest)
        self._server_key = hmac.digest(salted, b"Server Key", self._digest)
        self._auth_message = b""

    def first(self, client_first: bytes) -> str:
        """The payload that answers the client's first."""
        bare = client_first.removeprefix(b"n,,")
        nonce = bare.rpartition(b"r=")[2] + b"SERVER"
        self._server_first = f"r={nonce.decode()},s={b64encode(self.salt).decode()},i={self.iterations}"
        self._client_first = bare
        return self._server_first

    def final(self, client_final: bytes) -> str:
        """The payload that answers the client's final one; the client's proof must be right."""
        without_proof, _, proof = client_final.rpartition(b",p=")
        self._auth_message = b",".join((self._client_first, self._server_first.encode(), without_proof))
        stored = hashlib.new(self._digest, self._client_key).digest()
        signature = hmac.digest(stored, self._auth_message, self._digest)
        key = bytes(a ^ b for a, b in zip(b64decode(proof), signature, strict=True))
        assert key == self._client_key, "a wrong proof"
        return f"v={b64encode(hmac.digest(self._server_key, self._auth_message, self._digest)).decode()}"
