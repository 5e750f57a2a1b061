"""docker-compose.yml: Compose can read it, and it publishes the addresses that other files use."""

from __future__ import annotations

import re
import subprocess

import pytest

from tests.support.compose import FILE, LOAD_BALANCED, REPLICA_SET, ROOT, SHARDED, compose_command


def test_compose_can_read_it() -> None:
    command = compose_command()
    if command is None:
        pytest.skip("Docker Compose is not installed")
    finished = subprocess.run(
        [*command, "--file", str(FILE), "config", "--quiet"], capture_output=True, text=True, timeout=60
    )
    assert finished.returncode == 0, finished.stderr


def test_what_is_published_is_what_servers_and_documents_name() -> None:
    text = FILE.read_text(encoding="utf-8")
    published: set[int] = set()
    for first, last in re.findall(r'"127\.0\.0\.1:(\d+)-(\d+):\1-\2"', text):
        published |= set(range(int(first), int(last) + 1))
    listening = {int(port) for port in re.findall(r"--port (\d+)", text)}
    haproxy = (ROOT / "docker" / "haproxy.cfg").read_text(encoding="utf-8")
    balanced = {int(port) for port in re.findall(r"bind :(\d+)", haproxy)}
    inner = {27219, 27220, 27221}  # the config server and the shards, which only the routers connect to
    assert published == (listening - inner) | balanced
    assert set(re.findall(r"127\.0\.0\.1:(\d+) send-proxy-v2", haproxy)) == set(
        re.findall(r"loadBalancerPort=(\d+)", text)
    )
    named = set(re.findall(r"127\.0\.0\.1:(\d+)", (ROOT / "Makefile").read_text(encoding="utf-8")))
    assert {int(port) for port in named} == published
    tried = set(re.findall(r"127\.0\.0\.1:(\d+)", REPLICA_SET + SHARDED + LOAD_BALANCED))
    assert {int(port) for port in tried} <= published
