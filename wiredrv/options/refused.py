"""What this driver does not support by design, and why: mechanisms of authentication, and proxies. Pure.

It is refused with an error before anything is sent, and never ignored: who asks for a proxy, or for a mechanism, relies
on it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from wiredrv.errors import ConfigurationError

#: Mechanisms of authentication, and why they are refused.
MECHANISMS: Mapping[str, str] = {
    "GSSAPI": "it needs a Kerberos library of the system's",
    "MONGODB-CR": "servers have not had it since version 4.0",
}
#: Options of SOCKS5 proxies.
PROXY_OPTIONS = ("proxyHost", "proxyPort", "proxyUsername", "proxyPassword")


def refuse_mechanism(mechanism: str, supported: tuple[str, ...]) -> None:
    """Refuse a mechanism that is not supported.

    :raises ConfigurationError: it is not.
    """
    if mechanism in MECHANISMS:
        raise ConfigurationError(
            f"authMechanism: this driver does not support {mechanism}, by design: {MECHANISMS[mechanism]}; it supports "
            f"{', '.join(supported)}"
        )
    if mechanism not in supported:
        raise ConfigurationError(f"authMechanism must be one of {', '.join(supported)}, not {mechanism!r}")


def refuse_proxy(options: Mapping[str, Any]) -> None:
    """Refuse a proxy.

    :raises ConfigurationError: one of its options is given.
    """
    asked = [name for name in PROXY_OPTIONS if name in options]
    if asked:
        raise ConfigurationError(
            f"{', '.join(asked)}: this driver does not support SOCKS5 proxies, and does not bypass one; "
            "leave the option out, or tunnel the connection outside of the driver"
        )
