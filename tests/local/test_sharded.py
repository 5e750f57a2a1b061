"""Sharded clusters on this machine: real config servers and shards; a stand-in for mongos, which no package includes.

The stand-in receives what a real one needs. If ``WIREDRV_MONGOS`` or ``PATH`` has a real one, it is used too.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from bson import json_util

from wiredrv.errors import ConfigurationError, InvalidOperation
from wiredrv.local import ShardedCluster, find_mongos
from wiredrv.local.find import MONGOS_VARIABLE

_FAKE = Path(__file__).with_name("fake_mongos.py")


@pytest.fixture
def fake_mongos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FAKE_MONGOS_LOG", str(tmp_path / "told.jsonl"))
    monkeypatch.setenv("PYTHONPATH", str(_FAKE.parents[2]))
    program = tmp_path / "mongos"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{_FAKE}" "$@"\n')
    program.chmod(0o755)
    return program


def told(program: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (program.parent / "told.jsonl").read_text().splitlines()]


@pytest.mark.usefixtures("starts_servers")
def test_a_cluster_is_put_together_and_taken_apart(fake_mongos: Path) -> None:
    with ShardedCluster(2, 2, mongos=fake_mongos, test_commands=True) as cluster:
        assert cluster.uri == f"mongodb://{cluster.routers[0].address},{cluster.routers[1].address}/"
        entries = told(fake_mongos)
        starts = [entry["arguments"] for entry in entries if "arguments" in entry]
        ports = sorted(start[start.index("--port") + 1] for start in starts)
        assert ports == sorted(str(router.port) for router in cluster.routers)
        config = cluster.config_server
        assert config is not None
        assert all(f"config/{config.members[0].address}" in start for start in starts)
        commands = [json_util.loads(entry["command"]) for entry in entries if "command" in entry]
        added = [command["addShard"] for command in commands if "addShard" in command]
        assert added == [f"{shard.name}/{shard.members[0].address}" for shard in cluster.shards]
        for one in (config, *cluster.shards):
            parameter = one.primary().ask({"getParameter": 1, "featureCompatibilityVersion": 1})
            assert parameter["featureCompatibilityVersion"]["version"] == "5.0", "the mongos is of that version"
        assert config.primary().ask({"replSetGetConfig": 1})["config"]["configsvr"] is True
        with pytest.raises(InvalidOperation, match="one of its `shards`"):
            cluster.primary()
        members = cluster.members
        assert len(members) == 5
        cluster.routers[1].kill()
        cluster.heal()
        assert all(server.running for server in members)
    assert not any(server.running for server in members)


def test_without_a_mongos_the_error_says_where_it_was_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv(MONGOS_VARIABLE, raising=False)
    cluster = ShardedCluster()
    with pytest.raises(ConfigurationError) as caught:
        cluster.start()
    for word in ("argument", MONGOS_VARIABLE, "PATH", "docker-compose.yml"):
        assert word in str(caught.value)
    assert cluster.members == ()


def test_a_mongos_that_was_named_is_used_or_refused(
    fake_mongos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert find_mongos(fake_mongos).version == (5, 0, 9)
    monkeypatch.setenv(MONGOS_VARIABLE, str(fake_mongos))
    assert find_mongos().path == fake_mongos
    with pytest.raises(ConfigurationError, match="No such file"):
        find_mongos(tmp_path / "nothing")


@pytest.mark.parametrize(("shards", "routers"), [(0, 1), (1, 0), (9, 1)])
def test_too_few_or_too_many_are_refused(shards: int, routers: int) -> None:
    with pytest.raises(ConfigurationError, match="from 1 to 8"):
        ShardedCluster(shards, routers)


def test_a_real_cluster_starts_where_there_is_a_mongos() -> None:
    try:
        mongos = find_mongos()
    except ConfigurationError as error:
        pytest.skip(str(error))
    with ShardedCluster(mongos=mongos.path) as cluster:
        shards = cluster.routers[1].ask({"listShards": 1})["shards"]
        assert {shard["_id"] for shard in shards} == {shard.name for shard in cluster.shards}
