"""Asks the callback ``credentials`` for the user and the certificate of a new connection.

It is asked once for every connection, those of monitors included if they use TLS: a monitor shows its certificate, too.
Keeping what was given, if asking is expensive, is up to the callback.
"""

from __future__ import annotations

from dataclasses import replace

from wiredrv.connection.ask import ask
from wiredrv.connection.auth.callbacks import read_client_credentials
from wiredrv.connection.settings import ClientCredentials, ConnectionSettings
from wiredrv.errors import CredentialsError
from wiredrv.net.settings import NetSettings, TLSSettings


async def current_credentials(settings: ConnectionSettings, net: NetSettings) -> ClientCredentials | None:
    """What the callback gives now; None if there is none, or the connection needs nothing from it.

    :raises CredentialsError: it raised, gave nothing in time (``connectTimeoutMS``), or what it gave is of the wrong
        form.
    """
    callback = settings.credentials_callback
    if callback is None or (settings.credentials is None and net.tls is None):
        return None
    given = read_client_credentials(await ask("credentials", callback, seconds=net.connect_timeout))
    if net.tls is None and (given.tls_certificate_key_file or given.tls_ca_file):
        raise CredentialsError("credentials gives files for TLS, which is off: give tls=true")
    return given


def current_tls(tls: TLSSettings | None, given: ClientCredentials) -> TLSSettings | None:
    """The settings of TLS with the files that the callback gave; None if it gave none."""
    if tls is None or (given.tls_certificate_key_file is None and given.tls_ca_file is None):
        return None
    if given.tls_certificate_key_file is not None:
        tls = replace(
            tls,
            certificate_key_file=given.tls_certificate_key_file,
            certificate_key_file_password=given.tls_certificate_key_file_password,
        )
    return tls if given.tls_ca_file is None else replace(tls, ca_file=given.tls_ca_file)
