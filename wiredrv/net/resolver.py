"""DNS look-ups for ``mongodb+srv``: SRV and TXT records, through dnspython's asynchronous resolver.

dnspython is imported at the first look-up, so that other programs do not load it. It works on asyncio and on trio; in
synchronous calls its other resolver is used.

Specifications: initial-dns-seedlist-discovery ("Querying DNS"), polling-srv-records-for-mongos-discovery.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from wiredrv import waits
from wiredrv.errors import ConfigurationError
from wiredrv.types import Address


@dataclass(frozen=True, slots=True)
class SRVAnswer:
    """The SRV records of a host: the addresses of its servers, and the TTL in seconds."""

    hosts: tuple[Address, ...]
    ttl: float


class Resolver:
    """Looks up records.

    :param nameserver: the address and port of the DNS server; None uses the system's.
    :param lifetime: seconds that one look-up may take.
    """

    def __init__(self, nameserver: Address | None = None, lifetime: float = 10.0) -> None:
        self._nameserver = nameserver
        self._lifetime = lifetime

    async def srv(self, host: str, service: str = "mongodb") -> SRVAnswer:
        """The SRV records of ``_service._tcp.host``.

        :raises ConfigurationError: there are none, or the look-up failed.
        """
        name = f"_{service}._tcp.{host}"
        answer = await self._look_up(name, "SRV")
        if answer is None:
            raise ConfigurationError(f"DNS has no SRV records for {name!r}: check the host of the connection string")
        hosts = tuple(Address(str(record.target).rstrip(".").lower(), record.port) for record in answer)
        return SRVAnswer(hosts, float(answer.rrset.ttl if answer.rrset is not None else 0))

    async def txt(self, host: str) -> tuple[str, ...]:
        """The TXT records of ``host``, each with its strings joined; empty where there are none.

        :raises ConfigurationError: the look-up failed, or a record is not text.
        """
        answer = await self._look_up(host, "TXT")
        try:
            return tuple(b"".join(record.strings).decode() for record in answer or ())
        except UnicodeDecodeError as error:
            raise ConfigurationError(f"the TXT record of {host!r} is not text") from error

    async def _look_up(self, name: str, kind: str) -> Any:
        """The answer; None if the name, or a record of the kind, does not exist."""
        import dns.exception
        import dns.resolver

        try:
            if waits.backend() == "threads":
                resolver = self._configured(dns.resolver.Resolver)
                return await waits.to_thread(partial(resolver.resolve, name, kind, lifetime=self._lifetime))
            import dns.asyncbackend
            import dns.asyncresolver

            # dnspython keeps the kind of the first event loop for the whole process.
            backend = dns.asyncbackend.get_backend(waits.backend())
            resolver = self._configured(dns.asyncresolver.Resolver)
            return await resolver.resolve(name, kind, lifetime=self._lifetime, backend=backend)
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return None
        except dns.exception.DNSException as error:
            raise ConfigurationError(f"DNS look-up of the {kind} records of {name!r} failed: {error}") from error

    def _configured(self, make: Callable[..., Any]) -> Any:
        resolver = make(configure=self._nameserver is None)
        if self._nameserver is not None:
            resolver.nameservers = [self._nameserver.host]
            resolver.port = self._nameserver.port or 53
        return resolver
