"""Two or more router doubles in front of a real replica set, with load balancers in front of them: synchronous API.

The doubles run in a thread with an event loop of its own, so that tests on any backend, and fixtures that outlive
event loops, can use them. They are doubles of mongos, and reports must say so.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from typing import Any, Self

import anyio
import anyio.abc
from anyio.from_thread import BlockingPortal, start_blocking_portal

from tests.support.router_double import Router
from tests.support.router_shard import Shard
from wiredrv.local import ReplicaSet
from wiredrv.local.server import free_ports
from wiredrv.types import Address

_ENDS_WITHIN = 20.0


class ShardedDouble:
    """A sharded deployment of doubles; works as long as its block runs. ``members``: the replica set's addresses."""

    def __init__(
        self,
        members: Sequence[Address],
        name: str = ReplicaSet.name,
        *,
        routers: int = 2,
        load_balancers: bool = False,
        backend: str = "asyncio",
    ) -> None:
        self._shard = Shard(name, members)
        self._count = routers
        self._balanced = load_balancers
        self._backend = backend
        self._stack = ExitStack()
        self._portal: BlockingPortal | None = None
        self._runs: dict[int, Future[None]] = {}
        self._balancers: list[_Balancer] = []
        self.routers: tuple[Router, ...] = ()

    @classmethod
    def before(cls, replica_set: ReplicaSet, **options: Any) -> Self:
        """Doubles in front of a replica set that is already running."""
        return cls([member.address for member in replica_set.members], replica_set.name, **options)

    @property
    def uri(self) -> str:
        """The URI that names all routers."""
        return f"mongodb://{','.join(str(router.address) for router in self.routers)}/"

    @property
    def single_uri(self) -> str:
        """The URI of the load balancer in front of the first router alone."""
        return self._balancers[0].uri

    @property
    def multiple_uri(self) -> str:
        """The URI of the load balancer in front of all routers: each connection goes to the next router."""
        return self._balancers[1].uri

    def kill(self, number: int) -> None:
        """End a router at once: its connections break, and it forgets its state."""
        self._call(self.routers[number].stop)
        self._runs.pop(number).result(_ENDS_WITHIN)

    def start(self, number: int) -> None:
        """Restart a router that was killed, at its address."""
        self._runs[number], _ = self._open_portal.start_task(self.routers[number].run)

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._portal = stack.enter_context(start_blocking_portal(self._backend))
            probe = self._call(self._shard.connect)
            self._call(anyio.aclose_forcefully, probe)
            self.routers = tuple(self._call(self._router, port) for port in free_ports(self._count))
            stack.callback(self._stop)
            for number in range(self._count):
                self.start(number)
            if self._balanced:
                self._balance(self.routers[:1])
                self._balance(self.routers)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()
        defects = [error for router in self.routers for error in router.defects]
        if defects:
            raise AssertionError(f"the router double failed {len(defects)} time(s)") from defects[0]

    async def _router(self, port: int) -> Router:
        return Router(self._shard, port)

    def _balance(self, routers: Sequence[Router]) -> None:
        balancer = _Balancer(routers)
        run, balancer.port = self._open_portal.start_task(balancer.run)
        self._runs[-1 - len(self._balancers)] = run
        self._balancers.append(balancer)

    def _stop(self) -> None:
        for number in list(self._runs):
            if number >= 0:
                self.kill(number)
        for balancer in self._balancers:
            self._call(balancer.stop)
        for run in self._runs.values():
            run.result(_ENDS_WITHIN)
        self._runs.clear()
        self._balancers.clear()

    @property
    def _open_portal(self) -> BlockingPortal:
        assert self._portal is not None, "the double is not started"
        return self._portal

    def _call(self, function: Any, *arguments: Any) -> Any:
        return self._open_portal.call(function, *arguments)


class _Balancer:
    """Passes each connection that it accepts to the next router that is running."""

    def __init__(self, routers: Sequence[Router]) -> None:
        self.port = 0
        self._routers = routers
        self._next = 0
        self._scope: anyio.CancelScope | None = None

    @property
    def uri(self) -> str:
        return f"mongodb://127.0.0.1:{self.port}/?loadBalanced=true"

    async def run(self, *, task_status: anyio.abc.TaskStatus[int] = anyio.TASK_STATUS_IGNORED) -> None:
        listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
        with anyio.CancelScope() as self._scope:
            async with listener:
                task_status.started(listener.extra(anyio.abc.SocketAttribute.local_port))
                await listener.serve(self._hand_over)

    async def stop(self) -> None:
        assert self._scope is not None
        self._scope.cancel()

    async def _hand_over(self, stream: anyio.abc.SocketStream) -> None:
        for _ in self._routers:
            router = self._routers[self._next % len(self._routers)]
            self._next += 1
            if router.running:
                await router.adopt(stream, balanced=True)
                return
        await anyio.aclose_forcefully(stream)
