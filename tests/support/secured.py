"""Real servers that ask who is there: with users, and where a test wants it, with TLS."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import anyio

import wiredrv
from tests.support.certificates import Issued

ROOT = "root"
#: Every kind of character that must survive the way through a connection string.
ROOT_PASSWORD = "p\u00e4ss:w/@rd%"


def tls_arguments(certificate: Issued, ca_file: str, *, anybody: bool = True) -> list[str]:
    """Server arguments for TLS beside plain connections, by which this process asks the server how it is.

    :param anybody: whether a client may come without a certificate.
    """
    arguments = ["--tlsMode", "preferTLS", "--tlsCertificateKeyFile", certificate.file, "--tlsCAFile", ca_file]
    return [*arguments, "--tlsAllowConnectionsWithoutCertificates"] if anybody else arguments


def key_file_arguments(directory: Path) -> list[str]:
    """Server arguments for a replica set whose members trust one another by a common key."""
    path = directory / "members.key"
    path.write_text("wiredrvTestsOnly" * 4)
    os.chmod(path, 0o600)
    return ["--keyFile", str(path)]


def with_user(uri: str, username: str = ROOT, password: str = ROOT_PASSWORD, **options: str) -> str:
    """The connection string with a user in it, and further options."""
    scheme, _, rest = uri.partition("://")
    hosts, _, query = rest.partition("/?")
    pairs = [query] if query else []
    pairs += [f"{name}={quote(value, safe='')}" for name, value in {"authSource": "admin", **options}.items()]
    return f"{scheme}://{quote(username, safe='')}:{quote(password, safe='')}@{hosts.rstrip('/')}/?{'&'.join(pairs)}"


def with_options(uri: str, **options: str) -> str:
    """The connection string with further options."""
    added = "&".join(f"{name}={quote(value, safe='')}" for name, value in options.items())
    return f"{uri}{'&' if '?' in uri else '?'}{added}"


def create_users(uri: str, users: Sequence[dict[str, Any]]) -> None:
    """Create root, which a server without users lets anybody do who comes from its own machine, then the others.

    A user is a createUser command, with the database in ``db`` (``admin`` by default).
    """

    async def create() -> None:
        async with wiredrv.Client(uri) as client:
            await client.admin.command({"createUser": ROOT, "pwd": ROOT_PASSWORD, "roles": ["root"]})
        async with wiredrv.Client(with_user(uri)) as client:
            for user in users:
                command = {"roles": [{"role": "root", "db": "admin"}], **user}
                database = command.pop("db", "admin")
                await client[database].command({"createUser": command.pop("createUser"), **command})

    anyio.run(create)


async def users_of(client: wiredrv.Client) -> list[dict[str, Any]]:
    """As whom the server sees a client."""
    status = await client.admin.command({"connectionStatus": 1})
    users: list[dict[str, Any]] = status["authInfo"]["authenticatedUsers"]
    return users
