"""Fail points for a block of a test: turned off however the block ends."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Protocol, Self, TypeAlias

import anyio
import anyio.to_thread

from wiredrv.errors import ConfigurationError, InvalidOperation
from wiredrv.types import Address, PlainDocument

Mode: TypeAlias = str | Mapping[str, object]


class _Servers(Protocol):
    def set_fail_point(self, command: PlainDocument, member: str) -> list[Address]: ...

    def clear_fail_point(self, name: str, addresses: list[Address]) -> None: ...


def checked_command(name: str, mode: Mode, data: Mapping[str, object] | None) -> PlainDocument:
    """The command that sets a fail point.

    :raises ConfigurationError: an argument is of the wrong kind.
    """
    if not isinstance(name, str) or not name:
        raise ConfigurationError(f"a fail point's name is a string, as 'failCommand', not {name!r}")
    if mode not in ("alwaysOn", "off") and not isinstance(mode, Mapping):
        raise ConfigurationError(f"mode must be 'alwaysOn' or a document, as {{'times': 1}}, not {mode!r}")
    if data is not None and not isinstance(data, Mapping):
        raise ConfigurationError(f"data must be a document, as {{'failCommands': ['insert']}}, not {data!r}")
    command: PlainDocument = {"configureFailPoint": name, "mode": mode}
    return command if data is None else {**command, "data": data}


class FailPoint:
    """A fail point, set for a block: ``async with`` in a coroutine, ``with`` in a plain function.

    It is set and turned off on connections of its own. So it is turned off also where the block was cancelled, the
    client was closed, or another member became primary meanwhile. A member that was restarted has forgotten it.

    :param servers: on which it is set.
    :param command: ``configureFailPoint`` with its arguments.
    :param member: ``primary``, ``all``, or the address of a member.
    """

    def __init__(self, servers: _Servers, command: PlainDocument, member: str) -> None:
        self._servers = servers
        self._command = command
        self._member = member
        #: The members on which it is set; empty outside of the block.
        self.members: tuple[Address, ...] = ()

    def __repr__(self) -> str:
        where = f"set on {', '.join(map(str, self.members))}" if self.members else "not set"
        return f"<FailPoint {self._command['configureFailPoint']}, {where}>"

    def __enter__(self) -> Self:
        if self.members:
            raise InvalidOperation("this fail point is set already: its block is entered once at a time")
        self.members = tuple(self._servers.set_fail_point(self._command, self._member))
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        members, self.members = self.members, ()
        self._servers.clear_fail_point(self._command["configureFailPoint"], list(members))

    async def __aenter__(self) -> Self:
        # A thread cannot be cancelled: when this returns or raises, it is known what is set.
        return await anyio.to_thread.run_sync(self.__enter__)

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(self.__exit__, exc_type, exc, traceback)


class FailPoints(Protocol):
    """What the fixture ``mongodb_failpoint`` gives: called with a fail point, it returns the context that sets it.

    ::

        async with mongodb_failpoint("failCommand", {"times": 1}, {"failCommands": ["insert"], "errorCode": 91}):
            ...
    """

    def __call__(
        self,
        name: str,
        mode: Mode = "alwaysOn",
        data: Mapping[str, object] | None = None,
        *,
        member: str | Address = "primary",
    ) -> FailPoint:
        """A fail point for a block.

        :param name: the fail point, as ``failCommand``.
        :param mode: ``alwaysOn``, or a document such as ``{"times": 2}``.
        :param data: what it does, as ``{"failCommands": ["insert"], "errorCode": 91}``.
        :param member: ``primary`` (the one at the beginning of the block), ``all``, or the address of a member.
        :returns: the fail point, for ``with`` and for ``async with``.
        :raises ConfigurationError: an argument is of the wrong kind.
        """
        ...
