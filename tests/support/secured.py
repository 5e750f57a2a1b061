"""Real servers with access control: with users, and optionally with TLS."""

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
#: Characters of every kind that must survive in a connection string.
ROOT_PASSWORD = "p\u00e4ss:w/@rd%"


def tls_arguments(certificate: Issued, ca_file: str, *, anybody: bool = True) -> list[str]:
    """Server arguments for TLS beside plain connections, with which this process checks the server.

    :param anybody: whether clients may connect without a certificate.
    """
    arguments = ["--tlsMode", "preferTLS", "--tlsCertificateKeyFile", certificate.file, "--tlsCAFile", ca_file]
    return [*arguments, "--tlsAllowConnectionsWithoutCertificates"] if anybody else arguments


def key_file_arguments(directory: Path) -> list[str]:
    """Server arguments for a replica set whose members authenticate to one another with a shared key."""
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
    """Create root (which the localhost exception allows on a server without users), then the others.

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
    """The users that a client is authenticated as."""
    status = await client.admin.command({"connectionStatus": 1})
    users: list[dict[str, Any]] = status["authInfo"]["authenticatedUsers"]
    return users
