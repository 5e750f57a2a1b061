"""The connection string that the runner was given, and the variants of it that clients of tests use.

A connection string is parsed here only as far as is needed to swap its hosts and drop options.
"""

from __future__ import annotations

from dataclasses import dataclass

_SINGLE_ONLY = frozenset({"replicaset", "loadbalanced", "directconnection", "srvmaxhosts", "srvservicename"})


@dataclass(frozen=True, slots=True)
class SpecUri:
    """A connection string, split where the runner needs it.

    ``multiple`` and ``single`` are the two load balancers' strings, where the deployment has load balancers.
    """

    text: str
    single: str | None = None
    multiple: str | None = None

    @property
    def hosts(self) -> tuple[str, ...]:
        """The hosts as they are written."""
        _, _, hosts, _ = self._parts()
        return tuple(hosts.split(","))

    @property
    def redacted(self) -> str:
        """The string without its user and password, for reports."""
        scheme, user, hosts, rest = self._parts()
        return f"{scheme}{'***@' if user else ''}{hosts}{rest}"

    def for_client(self, use_multiple_mongoses: bool | None, topology: str, *, direct: bool = False) -> str:
        """The string of a client entity ("useMultipleMongoses", and "directConnection" requires one seed)."""
        if topology == "load-balanced":
            chosen = self.single if use_multiple_mongoses is False else self.multiple
            return chosen or self.text
        if direct:
            return self._with_hosts(self.hosts[0], keep_single=False)
        if topology == "sharded" and use_multiple_mongoses is False:
            return self._with_hosts(self.hosts[0], keep_single=True)
        return self.text

    def direct(self, host: str) -> str:
        """A direct connection to one member, with the same credentials and TLS options; or one load balancer."""
        if self.single is not None:
            known = self if host in self.hosts else SpecUri(self.single)
            if "loadbalanced=true" in known.text.lower():
                return known._with_hosts(host, keep_single=True)
        text = self._with_hosts(host, keep_single=False)
        return f"{text}{'&' if '?' in text else '/?' if text.count('/') == 2 else '?'}directConnection=true"

    def first_host(self) -> str:
        """The same deployment through its first host alone, for work that must not spread over routers."""
        return self._with_hosts(self.hosts[0], keep_single=True)

    def _with_hosts(self, hosts: str, *, keep_single: bool) -> str:
        scheme, user, _, rest = self._parts()
        if not keep_single and "?" in rest:
            path, _, query = rest.partition("?")
            kept = [o for o in query.split("&") if o and o.partition("=")[0].lower() not in _SINGLE_ONLY]
            rest = path + (f"?{'&'.join(kept)}" if kept else "")
        return f"{scheme}{user}{hosts}{rest}"

    def _parts(self) -> tuple[str, str, str, str]:
        scheme, separator, rest = self.text.partition("://")
        authority, cut = rest, len(rest)
        for mark in ("/", "?"):
            # A Unix socket's slashes are percent-encoded, so the first slash ends the hosts.
            cut = min(cut, rest.find(mark) if mark in rest else len(rest))
        authority, tail = rest[:cut], rest[cut:]
        user, at, hosts = authority.rpartition("@")
        return f"{scheme}{separator}", f"{user}{at}", hosts, tail
