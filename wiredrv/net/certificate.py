"""The facts of a server's certificate, in words. Pure: nothing is read but what TLS has verified."""

from __future__ import annotations

import hashlib
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime

from wiredrv.net.tls import Peer

_SECONDS_OF_DAY = 86_400
_NAMES_SHOWN = 6
#: The kinds of names that hosts have.
_HOSTS = ("DNS", "IP Address")


def describe_certificate(peer: Peer, now: datetime) -> str:
    """The names that the certificate is for, who issued it, until when it is valid."""
    if peer.encoded is None:
        return "the server sent no certificate"
    print_ = f"SHA-256 {hashlib.sha256(peer.encoded).hexdigest()[:16]}..."
    if not peer.certificate:
        return f"certificate not verified, {print_}"
    names = [value for kind, value in _pairs(peer.certificate.get("subjectAltName")) if kind in _HOSTS]
    shown = ", ".join(names[:_NAMES_SHOWN]) + (
        f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
    )
    until = datetime.fromtimestamp(ssl.cert_time_to_seconds(str(peer.certificate["notAfter"])), UTC)
    days = int((until - now).total_seconds() // _SECONDS_OF_DAY)
    issuer = _name(peer.certificate.get("issuer"))
    valid = f"valid until {until:%Y-%m-%d} ({days} days)" if days >= 0 else f"expired on {until:%Y-%m-%d}"
    return f"certificate for {shown or 'no host'}, issued by {issuer}, {valid}, {print_}"


def _name(parts: object) -> str:
    """The name of an authority, whose parts are pairs in tuples of one."""
    found = dict(pair for part in parts for pair in _pairs(part)) if isinstance(parts, tuple) else {}
    return found.get("commonName") or found.get("organizationName") or "an authority without a name"


def _pairs(found: object) -> Iterator[tuple[str, str]]:
    """The pairs in a part of what ``ssl`` says of a certificate."""
    for pair in found if isinstance(found, tuple) else ():
        if isinstance(pair, tuple) and len(pair) == 2:
            yield str(pair[0]), str(pair[1])
