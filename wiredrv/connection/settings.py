"""The settings of a connection for its handshake: the client's metadata and credentials.

Values only. ``options/uri.py`` builds them from the options whose names stand beside each field.
Specifications: mongodb-handshake, auth ("MongoCredential"), compression, versioned-api, load-balancers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from wiredrv.errors import ConfigurationError


def is_encodable(text: str) -> bool:
    """Whether UTF-8 has a form for a text: it has none for surrogates, as ``os.environ`` may contain."""
    return text.encode(errors="replace").decode() == text


@dataclass(frozen=True, slots=True)
class DriverInfo:
    """The name of a library that is built on this driver, sent to the server with the driver's own.

    Mongodb-handshake specification, "Supporting Wrapping Libraries".

    :param name: the library's name.
    :param version: its version.
    :param platform: what it runs on.
    :raises ConfigurationError: ``name`` is empty, or a part contains ``|``, which separates them on the wire.
    """

    name: str
    version: str | None = None
    platform: str | None = None

    def __post_init__(self) -> None:
        if not self.name:
            raise ConfigurationError("a DriverInfo needs a name: that of the library built on the driver")
        for part in (self.name, self.version, self.platform):
            if part is not None and (not isinstance(part, str) or "|" in part):
                raise ConfigurationError(f"a part of a DriverInfo must be a string without '|', not {part!r}")
        # An empty string counts as unset (mongodb-handshake, "Supporting Wrapping Libraries").
        object.__setattr__(self, "version", self.version or None)
        object.__setattr__(self, "platform", self.platform or None)


@dataclass(frozen=True, slots=True)
class ServerApi:
    """The version of the Stable API that every command declares (versioned-api specification).

    :param version: ``"1"``, the only version.
    :param strict: whether the server is to refuse commands that are not part of the version; None leaves it out.
    :param deprecation_errors: whether it is to refuse deprecated behaviour; None leaves it out.
    :raises ConfigurationError: the version is not known, or a flag is not a boolean.
    """

    version: str
    strict: bool | None = None
    deprecation_errors: bool | None = None

    def __post_init__(self) -> None:
        if self.version != "1":
            raise ConfigurationError(f"{self.version!r} is not a version of the Stable API; the known version is '1'")
        for name, flag in (("strict", self.strict), ("deprecation_errors", self.deprecation_errors)):
            if flag is not None and not isinstance(flag, bool):
                raise ConfigurationError(f"{name} must be True, False or None, not {flag!r}")


@dataclass(frozen=True, slots=True)
class Credentials:
    """The user that a connection authenticates as. The password is never shown.

    :param mechanism: ``SCRAM-SHA-1``, ``SCRAM-SHA-256``, ``MONGODB-X509``, ``PLAIN``, ``MONGODB-OIDC`` or
        ``MONGODB-AWS``; None to negotiate.
    :param source: the database that knows the user; ``$external`` for mechanisms with external users.
    :param username: the user's name; None if the client certificate contains it.
    :param password: the password, as the user wrote it.
    :param properties: ``authMechanismProperties``, by their names in upper case.
    """

    mechanism: str | None = None
    source: str = "admin"
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    properties: Mapping[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientCredentials:
    """What the callback ``credentials`` gives: the user and the certificate of now.

    What is None is as the client's options say. Such a callback is this driver's own: no specification has it.

    :param username: the user's name.
    :param password: the password; never shown.
    :param tls_certificate_key_file: as ``tlsCertificateKeyFile``. A file whose content has changed is read again.
    :param tls_certificate_key_file_password: opens the key in it; never shown.
    :param tls_ca_file: as ``tlsCAFile``.
    """

    username: str | None = None
    password: str | None = field(default=None, repr=False)
    tls_certificate_key_file: str | None = None
    tls_certificate_key_file_password: str | None = field(default=None, repr=False)
    tls_ca_file: str | None = None


@dataclass(frozen=True, slots=True)
class ConnectionSettings:
    """The settings of every connection's handshake.

    :param app_name: ``appName``: the application's name, at most 128 bytes of UTF-8.
    :param driver_info: the libraries built on the driver, the first to be added first.
    :param compressors: ``compressors`` in the order of preference: ``snappy``, ``zlib``, ``zstd``.
    :param zlib_compression_level: ``zlibCompressionLevel``: -1 (zlib's default) to 9.
    :param server_api: the Stable API version to declare.
    :param credentials: the user to authenticate as; None for no authentication.
    :param credentials_callback: ``credentials``: gives the user and the certificate of each new connection.
    :param load_balanced: ``loadBalanced``: a load balancer stands between client and servers.
    :param any_wire_version: whether servers that are too old or too new are accepted: monitors do, so that the topology
        can report them.
    """

    app_name: str | None = None
    driver_info: tuple[DriverInfo, ...] = ()
    compressors: tuple[str, ...] = ()
    zlib_compression_level: int = -1
    server_api: ServerApi | None = None
    credentials: Credentials | None = None
    load_balanced: bool = False
    any_wire_version: bool = False
    credentials_callback: Callable[[], object] | None = field(default=None, repr=False)
