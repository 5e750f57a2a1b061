"""The settings of the network layer: how long a connection may take, and how TLS is used.

Values only. Durations are seconds; None means without limit. ``options/uri.py`` builds them from the options whose
names stand beside each field (uri-options specification).
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class TLSSettings:
    """How TLS is used. Every field defaults to the safer choice; TLS itself is on if there is such a value.

    :param ca_file: ``tlsCAFile``: a file of trusted authorities in PEM; None trusts those of the system.
    :param certificate_key_file: ``tlsCertificateKeyFile``: the client's certificate and key in one PEM file.
    :param certificate_key_file_password: ``tlsCertificateKeyFilePassword``: opens that key; never shown.
    :param allow_invalid_certificates: ``tlsAllowInvalidCertificates``: accept any certificate (also ``tlsInsecure``).
    :param allow_invalid_hostnames: ``tlsAllowInvalidHostnames``: accept a certificate of another host (also
        ``tlsInsecure``).
    :param disable_ocsp_endpoint_check: ``tlsDisableOCSPEndpointCheck``: do not contact OCSP responders. The driver
        never does.
    :param disable_certificate_revocation_check: ``tlsDisableCertificateRevocationCheck``: do not check revocation. It
        is never checked: Python's ``ssl`` does not support OCSP.
    """

    ca_file: str | None = None
    certificate_key_file: str | None = None
    certificate_key_file_password: str | None = field(default=None, repr=False)
    allow_invalid_certificates: bool = False
    allow_invalid_hostnames: bool = False
    disable_ocsp_endpoint_check: bool = False
    disable_certificate_revocation_check: bool = False


@dataclass(frozen=True, slots=True)
class NetSettings:
    """How sockets are opened and used.

    :param connect_timeout: ``connectTimeoutMS``: seconds for one connection to be established, and for a monitor's
        answer; None for no limit.
    :param socket_timeout: ``socketTimeoutMS``: seconds for one send or receive of an operation; None for no limit.
    :param tls: how TLS is used; None for plain sockets.
    """

    connect_timeout: float | None = 10.0
    socket_timeout: float | None = None
    tls: TLSSettings | None = None
