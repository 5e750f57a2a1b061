"""The ``client`` document of the handshake: the driver and its platform. Pure except for reading the environment.

Specification: mongodb-handshake, "Hello Command" and "Limitations": at most 512 bytes, shortened in the order that
is written there.
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

from wiredrv._version import __version__
from wiredrv.connection.settings import DriverInfo
from wiredrv.types import PlainDocument
from wiredrv.wire.codec import encode

MAX_METADATA_SIZE = 512
_DRIVER_NAME = "wiredrv"
# The variables of each platform for functions: (metadata field, variable, whether it is a number).
_FAAS_FIELDS: dict[str, tuple[tuple[str, str, bool], ...]] = {
    "aws.lambda": (("region", "AWS_REGION", False), ("memory_mb", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE", True)),
    "azure.func": (),
    "gcp.func": (
        ("memory_mb", "FUNCTION_MEMORY_MB", True),
        ("timeout_sec", "FUNCTION_TIMEOUT_SEC", True),
        ("region", "FUNCTION_REGION", False),
    ),
    "vercel": (("region", "VERCEL_REGION", False),),
}


def client_metadata(
    app_name: str | None,
    driver_info: Iterable[DriverInfo],
    environment: Mapping[str, str],
    in_docker: bool | None = None,
) -> PlainDocument:
    """Build the metadata document.

    :param app_name: the application's name, or None.
    :param driver_info: the libraries built on the driver; equal ones count once.
    :param environment: the process' environment variables.
    :param in_docker: whether this is a Docker container; None to find out.
    """
    names, versions, platforms = [_DRIVER_NAME], [__version__], [_python()]
    for info in dict.fromkeys(driver_info):
        names.append(info.name)
        if info.version:
            versions.append(info.version)
        if info.platform:
            platforms.append(info.platform)
    document: PlainDocument = {}
    if app_name:
        document["application"] = {"name": app_name}
    document["driver"] = {"name": "|".join(names), "version": "|".join(versions)}
    document["os"] = dict(_operating_system())
    document["platform"] = "|".join(platforms)
    env = _runtime(environment, Path("/.dockerenv").exists() if in_docker is None else in_docker)
    if env:
        document["env"] = env
    return _shorten(document)


def runs_in_faas(environment: Mapping[str, str]) -> bool:
    """Whether the process is a cloud function, which its platform may freeze between two calls."""
    return bool(_faas(environment))


def _shorten(document: PlainDocument) -> PlainDocument:
    """Remove fields in the specification's order until the document is small enough."""

    def too_large() -> int:
        return max(len(encode(document)) - MAX_METADATA_SIZE, 0)

    if too_large() and "name" in document.get("env", {}):
        document["env"] = {"name": document["env"]["name"]}
    if too_large():
        document["os"] = {"type": document["os"]["type"]}
    if too_large():
        document.pop("env", None)
    excess = too_large()
    if excess:
        document["platform"] = _cut(document["platform"], excess)
    excess = too_large()
    if excess:
        # Only long names of wrapping libraries are left; the application's own name is kept.
        document["driver"]["name"] = _cut(document["driver"]["name"], excess) or _DRIVER_NAME
    excess = too_large()
    if excess:
        document["driver"]["version"] = _cut(document["driver"]["version"], excess) or __version__
    return document


def _cut(text: str, excess: int) -> str:
    """Shorten ``text`` by ``excess`` bytes of UTF-8 without breaking a character."""
    data = text.encode()
    return data[: max(len(data) - excess, 0)].decode(errors="ignore")


@cache
def _python() -> str:
    return f"{platform.python_implementation()} {platform.python_version()}"


@cache
def _operating_system() -> Mapping[str, str]:
    described = {"type": platform.system() or "unknown", "architecture": platform.machine()}
    if sys.platform.startswith("linux"):
        try:
            described["name"] = platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")
        except OSError:
            described["name"] = "Linux"
    else:
        described["name"] = platform.system()
    described["version"] = platform.release()
    return {key: value for key, value in described.items() if value}


def _runtime(environment: Mapping[str, str], in_docker: bool) -> PlainDocument:
    found = _faas(environment)
    container: dict[str, str] = {}
    if in_docker:
        container["runtime"] = "docker"
    if environment.get("KUBERNETES_SERVICE_HOST"):
        container["orchestrator"] = "kubernetes"
    if container:
        found["container"] = container
    return found


def _faas(environment: Mapping[str, str]) -> PlainDocument:
    names = [
        name
        for name, present in (
            (
                "aws.lambda",
                environment.get("AWS_EXECUTION_ENV", "").startswith("AWS_Lambda_")
                or bool(environment.get("AWS_LAMBDA_RUNTIME_API")),
            ),
            ("azure.func", bool(environment.get("FUNCTIONS_WORKER_RUNTIME"))),
            ("gcp.func", bool(environment.get("K_SERVICE") or environment.get("FUNCTION_NAME"))),
            ("vercel", bool(environment.get("VERCEL"))),
        )
        if present
    ]
    if set(names) == {"aws.lambda", "vercel"}:
        names = ["vercel"]
    if len(names) != 1:
        return {}
    described: PlainDocument = {"name": names[0]}
    for field, variable, is_number in _FAAS_FIELDS[names[0]]:
        value = environment.get(variable)
        if not value:
            continue
        if not is_number:
            described[field] = value
        elif value.isascii() and value.isdigit() and int(value) < 2**31:
            described[field] = int(value)
    return described
