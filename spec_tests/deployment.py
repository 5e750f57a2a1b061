"""The deployment that the tests run against: the embedded one, or what a URI leads to."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from spec_tests.uris import SpecUri
from wiredrv.local import ReplicaSet, Standalone

KINDS = ("replicaset", "standalone")


@contextmanager
def deployment(kind: str = "replicaset", uri: str | None = None) -> Iterator[SpecUri]:
    """Yield the connection string to test against; the embedded servers live as long as the block.

    :param kind: ``replicaset`` (three members) or ``standalone``; without meaning beside ``uri``.
    :param uri: a deployment that runs already, started with test commands. For load balancers, the environment's
        ``SINGLE_MONGOS_LB_URI`` and ``MULTI_MONGOS_LB_URI`` name the two.
    """
    if uri is not None:
        yield SpecUri(uri, os.environ.get("SINGLE_MONGOS_LB_URI"), os.environ.get("MULTI_MONGOS_LB_URI"))
        return
    servers = Standalone(test_commands=True) if kind == "standalone" else ReplicaSet(members=3, test_commands=True)
    with servers:
        yield SpecUri(servers.uri)
