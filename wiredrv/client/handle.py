"""The base of clients, databases and collections, and the interface of the client that these use."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, MutableSet
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from bson.codec_options import CodecOptions

from wiredrv.concerns import ReadConcern, ReadPreference, WriteConcern
from wiredrv.operations.base import Operation, Target
from wiredrv.session.state import SessionState
from wiredrv.session.turns import Turn
from wiredrv.types import Address, DocumentT, ServerCursor

if TYPE_CHECKING:
    from wiredrv.client.cursors.prefetch import Ahead
    from wiredrv.client.sessions.client_session import ClientSession

T = TypeVar("T")


class OperationExecutor(Protocol):
    """Executes operations."""

    async def execute(self, operation: Operation[T], session: SessionState | None = None) -> T:
        """Send the operation's command, with retries as the specifications allow, and return what it parses to."""
        ...

    def one_turn(
        self, session: SessionState | None, command: str, call: tuple[str, Target]
    ) -> contextlib.AbstractAsyncContextManager[Turn | None]:
        """One turn of the session for a call that sends several commands; ``call`` is its name and its target."""
        ...

    async def execute_in(self, turn: Turn, operation: Operation[T], session: SessionState) -> T:
        """Like ``execute``, in a turn that was taken before."""
        ...

    async def clean_up(self, work: Callable[[float], Awaitable[None]]) -> None:
        """Clean up in the background, and wait for it as long as the caller's budget allows."""
        ...

    def release(self, lease: Any) -> None:
        """Release the implicit server session of a cursor."""
        ...

    def session_settled(self, session: Any) -> None:
        """What was done in a server session besides its operations is over."""
        ...

    def has_waiters(self, address: Address) -> bool:
        """Whether operations wait for a connection to a server."""
        ...


class HandleContext(Protocol):
    """The interface of a client that its handles use."""

    @property
    def executor(self) -> OperationExecutor:
        """Executes operations."""
        ...

    @property
    def prefetch(self) -> bool:
        """Whether cursors read ahead, unless a call says otherwise."""
        ...

    @property
    def open_streams(self) -> MutableSet[Any]:
        """The change streams that were opened, or are being opened, and not closed: they are closed with the client."""
        ...

    def session_state(self, session: ClientSession | None) -> SessionState | None:
        """The session of a call: the one given, else the bound one, else none (an implicit session).

        :raises InvalidOperation: the session is another client's, has ended, or is bound in another task.
        """
        ...

    def ambient_state(self) -> SessionState | None:
        """The ambient session, for a call that takes no session."""
        ...

    def orphan_cursor(self, cursor: ServerCursor, ahead: Ahead | None = None) -> None:
        """Kill, in the background, a server cursor whose Cursor object is gone; release its session and connection."""
        ...

    def read_ahead(self, ahead: Ahead) -> bool:
        """Start to read ahead for a cursor, in the background; False if that is not possible."""
        ...


class HandleOptions(Generic[DocumentT]):
    """The options that clients, databases and collections all have."""

    __slots__ = ()

    _target: Target

    @property
    def codec_options(self) -> CodecOptions[DocumentT]:
        """How documents become Python objects and back."""
        return self._target.codec_options

    @property
    def read_preference(self) -> ReadPreference:
        """Which members may answer reads."""
        return self._target.read_preference

    @property
    def read_concern(self) -> ReadConcern:
        """How durable what is read must be."""
        return self._target.read_concern

    @property
    def write_concern(self) -> WriteConcern:
        """What a write waits for."""
        return self._target.write_concern
