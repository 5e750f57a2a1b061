"""Real MongoDB servers, started and stopped by this process, on this machine: for tests, demos and trying things out.

::

    async with wiredrv.local.ReplicaSet(members=3, test_commands=True) as deployment:
        async with wiredrv.Client(deployment.uri) as client:
            ...
            deployment.primary().kill()

:class:`ReplicaSet` and :class:`Standalone` also work in a plain ``with``; on the command line there are
``wiredrv local up`` and ``wiredrv local exec``. The servers listen on loopback only and end with this process, however
it ends.
"""

from wiredrv.local.deployment import Deployment, ReplicaSet, Standalone
from wiredrv.local.find import Mongod, find_mongod, find_mongos
from wiredrv.local.server import Server
from wiredrv.local.sharded import ShardedCluster

__all__ = [
    "Deployment",
    "Mongod",
    "ReplicaSet",
    "Server",
    "ShardedCluster",
    "Standalone",
    "find_mongod",
    "find_mongos",
]
