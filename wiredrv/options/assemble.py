"""Combine checked options: refuse contradictions, derive settings from several options, fill in all defaults.

Rules kept here:

* Contradictions raise a :class:`ConfigurationError` that names the options; nothing is decided silently.
* TLS is on with ``tls``, when any other ``tls…`` option is given, and for ``mongodb+srv``.
* Users are read in ``credentials.py``; what is not supported by design is refused in ``refused.py``.

Specifications: uri-options, load-balancers and initial-dns-seedlist-discovery
("URI Validation"), read-write-concern, max-staleness.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bson.codec_options import DEFAULT_CODEC_OPTIONS, CodecOptions

from wiredrv.concerns import NO_MAX_STALENESS, ReadConcern, ReadMode, ReadPreference, WriteConcern
from wiredrv.connection.settings import ConnectionSettings
from wiredrv.errors import ConfigurationError
from wiredrv.execution.settings import ExecutionSettings
from wiredrv.net.settings import NetSettings, TLSSettings
from wiredrv.options.credentials import credentials_of
from wiredrv.options.refused import refuse_proxy
from wiredrv.options.settings import ClientSettings, Given
from wiredrv.options.table import OPTIONS
from wiredrv.options.tracing import TracingSettings
from wiredrv.pool.settings import PoolSettings
from wiredrv.topology.settings import TopologySettings

#: The options of a pair contradict each other, whatever their values (uri-options, "Conflicting TLS options").
_EXCLUSIVE = (
    ("tlsInsecure", "tlsAllowInvalidCertificates"),
    ("tlsInsecure", "tlsAllowInvalidHostnames"),
    ("tlsInsecure", "tlsDisableOCSPEndpointCheck"),
    ("tlsInsecure", "tlsDisableCertificateRevocationCheck"),
    ("tlsAllowInvalidCertificates", "tlsDisableOCSPEndpointCheck"),
    ("tlsAllowInvalidCertificates", "tlsDisableCertificateRevocationCheck"),
    ("tlsDisableOCSPEndpointCheck", "tlsDisableCertificateRevocationCheck"),
    # Each of these is one setting in two forms.
    ("read_concern", "readConcernLevel"),
    ("write_concern", "w"),
    ("write_concern", "wTimeoutMS"),
    ("write_concern", "journal"),
)


def assemble(given: Given) -> ClientSettings:
    """Build the settings.

    :raises ConfigurationError: options contradict each other, or ask for something that this driver refuses.
    """
    options = given.options
    refuse_proxy(options)
    for one, other in _EXCLUSIVE:
        if one in options and other in options:
            raise ConfigurationError(f"{one} and {other} exclude each other: give one of them")
    _check_addressing(given)
    packages = _simple_settings(options)
    load_balanced = options.get("loadBalanced", False)
    return ClientSettings(
        net=NetSettings(tls=_tls(given), **packages["net"]),
        connection=ConnectionSettings(
            credentials=credentials_of(given), load_balanced=load_balanced, **packages["connection"]
        ),
        pool=_pool(packages["pool"]),
        topology=TopologySettings(
            seeds=given.seeds, srv_host=given.srv_host, load_balanced=load_balanced, **packages["topology"]
        ),
        execution=ExecutionSettings(**packages["execution"]),
        read_preference=_read_preference(options),
        read_concern=options.get("read_concern") or ReadConcern(options.get("readConcernLevel")),
        write_concern=_write_concern(options),
        codec_options=_codec_options(packages["codec"]),
        default_database=given.database,
        tracing=options.get("tracing", TracingSettings()),
        prefetch=options.get("prefetch", False),
        given=given if given.srv_host is not None and not given.seeds else None,
    )


def _simple_settings(options: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Sort the options that mean one setting each into their packages."""
    packages: dict[str, dict[str, Any]] = {
        package: {} for package in ("net", "connection", "pool", "topology", "execution", "codec")
    }
    for option in OPTIONS:
        if option.into and option.name in options:
            package, field = option.into.split(".")
            packages[package][field] = option.convert(options[option.name])
    return packages


def _check_addressing(given: Given) -> None:
    """Check all rules about hosts, replica set, direct connection, load balancing and SRV records."""
    options, many = given.options, len(given.seeds) > 1
    set_name, max_hosts = options.get("replicaSet"), options.get("srvMaxHosts", 0)
    if options.get("directConnection"):
        if given.srv_host is not None:
            raise ConfigurationError(
                "directConnection=true excludes a mongodb+srv:// string, which may name many hosts"
            )
        if many:
            raise ConfigurationError("directConnection=true needs exactly one host")
    if options.get("loadBalanced"):
        if many:
            raise ConfigurationError("loadBalanced=true needs exactly one host: that of the load balancer")
        if set_name is not None:
            raise ConfigurationError("loadBalanced=true excludes replicaSet: the load balancer hides the members")
        if options.get("directConnection"):
            raise ConfigurationError("loadBalanced=true and directConnection=true exclude each other")
        if max_hosts:
            raise ConfigurationError("loadBalanced=true excludes a positive srvMaxHosts")
    if given.srv_host is None:
        for name in ("srvMaxHosts", "srvServiceName"):
            if name in options:
                raise ConfigurationError(f"{name} can be used with mongodb+srv:// connection strings only")
    elif max_hosts and set_name is not None:
        raise ConfigurationError("a positive srvMaxHosts excludes replicaSet: it limits the mongos of sharded clusters")


def _pool(limits: dict[str, Any]) -> PoolSettings:
    settings = PoolSettings(**limits)
    if 0 < settings.max_pool_size < settings.min_pool_size:
        raise ConfigurationError(
            f"minPoolSize ({settings.min_pool_size}) is greater than maxPoolSize ({settings.max_pool_size})"
        )
    return settings


def _tls(given: Given) -> TLSSettings | None:
    options = given.options
    others = [name for name in options if name.startswith("tls") and name != "tls"]
    if not options.get("tls", bool(others) or given.srv_host is not None):
        if others:
            raise ConfigurationError(f"tls=false excludes {', '.join(others)}")
        return None
    insecure = options.get("tlsInsecure", False)
    return TLSSettings(
        ca_file=options.get("tlsCAFile"),
        certificate_key_file=options.get("tlsCertificateKeyFile"),
        certificate_key_file_password=options.get("tlsCertificateKeyFilePassword"),
        allow_invalid_certificates=insecure or options.get("tlsAllowInvalidCertificates", False),
        allow_invalid_hostnames=insecure or options.get("tlsAllowInvalidHostnames", False),
        disable_ocsp_endpoint_check=insecure or options.get("tlsDisableOCSPEndpointCheck", False),
        disable_certificate_revocation_check=insecure or options.get("tlsDisableCertificateRevocationCheck", False),
    )


def _read_preference(options: Mapping[str, Any]) -> ReadPreference:
    mode = options.get("readPreference", ReadMode.PRIMARY)
    tag_sets = options.get("readPreferenceTags", ())
    staleness = options.get("maxStalenessSeconds", NO_MAX_STALENESS)
    if isinstance(mode, ReadPreference):
        if tag_sets or staleness != NO_MAX_STALENESS:
            raise ConfigurationError(
                "readPreference is a ReadPreference object: put readPreferenceTags and maxStalenessSeconds into it"
            )
        return mode
    return ReadPreference(mode, tag_sets, staleness)


def _write_concern(options: Mapping[str, Any]) -> WriteConcern:
    concern: WriteConcern | None = options.get("write_concern")
    return concern or WriteConcern(options.get("w"), options.get("wTimeoutMS"), options.get("journal"))


def _codec_options(fields: dict[str, Any]) -> CodecOptions[Any]:
    try:
        return DEFAULT_CODEC_OPTIONS.with_options(**fields)
    except (TypeError, ValueError) as problem:
        raise ConfigurationError(f"{', '.join(fields)}: {problem}") from problem
