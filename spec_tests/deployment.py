"""The deployment that the tests run against: an embedded one, or the one at a given URI."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from spec_tests.uris import SpecUri
from wiredrv.errors import ConfigurationError
from wiredrv.local import ReplicaSet, ShardedCluster, Standalone, find_mongos

KINDS = ("replicaset", "standalone", "sharded", "load-balanced", "bulk-write")


@contextmanager
def deployment(kind: str = "replicaset", uri: str | None = None) -> Iterator[SpecUri]:
    """Yield the connection string to test against; the embedded servers live as long as the block.

    :param kind: ``replicaset`` (three members), ``standalone``, ``sharded`` (two shards and two routers if there is a
        mongos, otherwise two test doubles of routers in front of a replica set), ``load-balanced`` (doubles of load
        balancers in front of such doubles) or ``bulk-write`` (doubles of a server 8.0, for ``clientBulkWrite`` alone);
        ignored if ``uri`` is given.
    :param uri: a deployment that is already running, started with test commands. For load balancers, the environment's
        ``SINGLE_MONGOS_LB_URI`` and ``MULTI_MONGOS_LB_URI`` name the two.
    """
    if uri is not None:
        yield SpecUri(uri, os.environ.get("SINGLE_MONGOS_LB_URI"), os.environ.get("MULTI_MONGOS_LB_URI"))
    elif kind == "standalone":
        with Standalone(test_commands=True) as server:
            yield SpecUri(server.uri)
    elif kind == "replicaset":
        with ReplicaSet(members=3, test_commands=True) as servers:
            yield SpecUri(servers.uri)
    elif kind == "sharded" and _has_mongos():
        with ShardedCluster(test_commands=True) as cluster:
            yield SpecUri(cluster.uri)
    elif kind == "bulk-write":
        with _bulk_write_double() as found:
            yield found
    else:
        with _doubles(load_balanced=kind == "load-balanced") as found:
            yield found


def _has_mongos() -> bool:
    try:
        find_mongos()
    except ConfigurationError:
        return False
    return True


@contextmanager
def _bulk_write_double() -> Iterator[SpecUri]:
    from tests.support.bulk_write_double import BulkWriteDouble

    with ReplicaSet(members=3, test_commands=True) as servers, BulkWriteDouble.before(servers) as routers:
        yield SpecUri(routers.uri)


@contextmanager
def _doubles(load_balanced: bool) -> Iterator[SpecUri]:
    # The doubles belong to the project's tests, which an installed copy does not include.
    from tests.support.sharded_double import ShardedDouble

    with (
        ReplicaSet(members=3, test_commands=True) as servers,
        ShardedDouble.before(servers, load_balancers=load_balanced) as routers,
    ):
        if load_balanced:
            yield SpecUri(routers.single_uri, routers.single_uri, routers.multiple_uri)
        else:
            yield SpecUri(routers.uri)
