"""docker-compose.yml for tests: checks that an engine answers, starts the deployments, and stops them."""

from __future__ import annotations

import gc
import shutil
import subprocess
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from docker.client import DockerClient
from docker.errors import APIError, DockerException

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "docker-compose.yml"

REPLICA_SET = "mongodb://127.0.0.1:27117,127.0.0.1:27118,127.0.0.1:27119/?replicaSet=rs0"
SHARDED = "mongodb://127.0.0.1:27217,127.0.0.1:27218/"
LOAD_BALANCED = "mongodb://127.0.0.1:27417/?loadBalanced=true"

#: Seconds for pulling images and until both deployments are writable.
_UP_WITHIN = 600


def compose_command() -> list[str] | None:
    """The Compose command, as a plugin or standalone; None if it is not installed."""
    for command in (["docker", "compose"], ["docker-compose"]):
        if shutil.which(command[0]) and not subprocess.run([*command, "version"], capture_output=True).returncode:
            return command
    return None


def engine_problem() -> str | None:
    """Why no deployment can be started here; None if one can."""
    with warnings.catch_warnings():
        # The SDK leaves the socket of a failed attempt to the garbage collector.
        warnings.simplefilter("ignore", ResourceWarning)
        failure = _ping()
        gc.collect()
    if failure is not None:
        return f"no Docker engine answers: {failure}"
    return None if compose_command() == ["docker", "compose"] else "Docker Compose v2 (docker compose) is not installed"


def _ping() -> str | None:
    # With an explicit version, the client sends nothing before the ping.
    client = DockerClient.from_env(version="1.44", timeout=5)
    try:
        client.ping()
    except APIError:
        pass  # An engine with another API version still answers.
    except (DockerException, OSError) as error:
        return str(error)
    finally:
        client.close()
    return None


@contextmanager
def deployments() -> Iterator[None]:
    """Start everything that the file describes, wait until it is healthy, and take it down after the block."""
    compose = ["docker", "compose", "--file", str(FILE)]
    try:
        started = subprocess.run(
            [*compose, "up", "--detach", "--wait"], capture_output=True, text=True, timeout=_UP_WITHIN
        )
        assert started.returncode == 0, started.stderr
        yield
    finally:
        subprocess.run([*compose, "down", "--volumes"], capture_output=True, timeout=120)
