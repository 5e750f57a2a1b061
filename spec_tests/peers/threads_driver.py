"""``wiredrv.sync`` as the runner's driver: each call is made in a worker thread, which blocks while the runner waits.

The proxies are made from the synchronous classes. A method of theirs has the same signature, is awaited, and calls the
synchronous one. Listeners are called in the threads of the driver; what they are told is passed on to the event loop of
the runner, in order and before the result of the call.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Any

import anyio.from_thread
import anyio.to_thread

import wiredrv
from wiredrv import _introspect, sync
from wiredrv.logs.hub import FAMILIES
from wiredrv.sync.base import Synchronous

#: Methods that wait for nothing, and that the runner does not await.
_DIRECT = frozenset({"get_database", "get_collection", "with_options", "start_session", "find", "advance_cluster_time"})
_Sink = Callable[[str, str, Any], None]


def __getattr__(name: str) -> Any:
    return _PROXIES.get(name) or getattr(wiredrv, name)


async def _in_thread(function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    def call() -> Any:
        try:
            return function(*arguments, **options)
        except StopIteration:
            raise StopAsyncIteration from None

    return _proxy(await anyio.to_thread.run_sync(call, abandon_on_cancel=True))


def _plain(value: Any) -> Any:
    """An argument as the synchronous method takes it."""
    if isinstance(value, Proxy):
        return value.synchronous
    if inspect.iscoroutinefunction(value):
        return _from_thread(value)
    return value


def _from_thread(callback: Callable[[Any], Coroutine[Any, Any, Any]]) -> Callable[[Any], Any]:
    def call(session: Any) -> Any:
        return anyio.from_thread.run(callback, _proxy(session))

    return call


def _proxy(value: Any) -> Any:
    """A result as the runner takes it."""
    if isinstance(value, Synchronous):
        proxy = _PROXIES[type(value).__name__].__new__(_PROXIES[type(value).__name__])
        proxy.synchronous = value
        return proxy
    return [_proxy(item) for item in value] if isinstance(value, list) else value


class Proxy:
    """The base of the proxies."""

    synchronous: Any

    def __aiter__(self) -> Proxy:
        return self

    async def __anext__(self) -> Any:
        return await _in_thread(self.synchronous.__next__)


def _method(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(self: Proxy, *arguments: Any, **options: Any) -> Any:
        bound = getattr(self.synchronous, name)
        given = [_plain(argument) for argument in arguments]
        named = {key: _plain(value) for key, value in options.items()}
        if name in _DIRECT:
            return _proxy(bound(*given, **named))
        return _in_thread(bound, *given, **named)

    return call


def _proxy_class(original: type[Any]) -> type[Proxy]:
    members: dict[str, Any] = {}
    for name in dir(original):
        member = inspect.getattr_static(original, name)
        if name.startswith("_"):
            continue
        if isinstance(member, property):
            members[name] = property(functools.partial(_attribute, name))
        elif callable(member):
            members[name] = _method(name, member)
    return type(original.__name__, (Proxy,), members)


def _attribute(name: str, proxy: Proxy) -> Any:
    return _proxy(getattr(proxy.synchronous, name))


class _Client(_proxy_class(sync.Client)):  # type: ignore[misc]  # the base is made at run time
    def __init__(self, uri: str, *, event_listeners: Iterable[Callable[[Any], object]] = (), **options: Any) -> None:
        self.loop = asyncio.get_running_loop()
        listeners = [self._passed_on(listener) for listener in event_listeners]
        self.synchronous = sync.Client(uri, event_listeners=listeners, **options)

    def _passed_on(self, listener: Callable[..., object]) -> Callable[..., None]:
        def hear(*what: Any) -> None:
            self.loop.call_soon_threadsafe(functools.partial(listener, *what))

        return hear

    async def __aenter__(self) -> Any:
        await _in_thread(self.synchronous.open)
        return self


class _Bucket(_proxy_class(sync.GridFSBucket)):  # type: ignore[misc]  # the base is made at run time
    def __init__(self, database: Any, **options: Any) -> None:
        self.synchronous = sync.GridFSBucket(database.synchronous, **options)


_PROXIES: dict[str, Any] = {
    name: _proxy_class(found)
    for name in sync.__all__
    if isinstance(found := getattr(sync, name), type) and issubclass(found, Synchronous)
}
_PROXIES["Client"] = _Client
_PROXIES["GridFSBucket"] = _Bucket


# --- what tests inspect ---


def pinned_address(session: Any) -> Any:
    """The router that the session's transaction is pinned to."""
    return _introspect.pinned_address(session.synchronous._inner)


def session_lsid(session: Any) -> Mapping[str, Any]:
    """The session's id as commands carry it, also after it has ended."""
    return _introspect.session_lsid(session.synchronous._inner)


def session_dirty(session: Any) -> bool:
    """Whether the server session was marked dirty by a network error."""
    return _introspect.session_dirty(session.synchronous._inner)


def transaction_state(session: Any) -> str:
    """The transaction's state by the specification's name."""
    return _introspect.transaction_state(session.synchronous._inner)


def topology_description(client: Any) -> Any:
    """What the client knows about its deployment."""
    return _introspect.topology_description(client.synchronous._inner)


def checked_out(client: Any) -> int:
    """How many connections are in use."""
    return _introspect.checked_out(client.synchronous._inner)


def observe_logs(client: Any, levels: Mapping[str, str], sink: _Sink) -> None:
    """Hand on the client's log messages: each before its event, since a test may end as soon as that has come."""
    hub = client.synchronous._inner._core.hub
    before = {family: getattr(hub, family) for family in FAMILIES}
    _introspect.observe_logs(client.synchronous._inner, levels, client._passed_on(sink))
    for family, listeners in before.items():
        setattr(hub, family, (*getattr(hub, family)[len(listeners) :], *listeners))


async def open_cursor(cursor: Any) -> None:
    """Send the first command of a cursor. That of others was sent when they were made."""
    found = cursor.synchronous
    await _in_thread(lambda: found._threads.run(_introspect.open_cursor(found._inner)))
