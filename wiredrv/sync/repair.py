"""What is put right after an exception of a signal handler that struck in the middle of the driver's code.

A Ctrl-C during a wait is a cancellation, and needs nothing of this. Elsewhere it can strike between any two steps, as
between taking a connection from its pool and the statement that would give it back. The frames that it passed still
know what the call held: a connection that is in use by none but this call is closed, and a turn that it has in a
session is left. No handler is installed, and calls that are not struck pay nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator

from wiredrv.client.core import ClientCore
from wiredrv.connection.connection import Connection
from wiredrv.execution.cancellation import Settlement
from wiredrv.execution.run import Run
from wiredrv.pool.pool import Pool
from wiredrv.session.state import SessionState
from wiredrv.session.turns import Turn, Turns


def repair(core: ClientCore, error: BaseException) -> None:
    """Release what the call held that ``error`` has ended. Called with the lock."""
    held = list(_held(error))
    settlements: list[Settlement] = []
    for value in held:
        settlement = value.settlement if isinstance(value, Run) else None
        if not isinstance(settlement, Settlement):
            continue
        if isinstance(value, Run) and value.handed_over:
            settlements.append(settlement)  # the background finishes it
        else:
            settlement.drop()
    connections = [value for value in held if isinstance(value, Connection)]
    lost = [found for found in connections if not any(settlement.owns(found) for settlement in settlements)]
    for server in core.topology.servers.values():
        _give_back(server.pool, lost)
        state = server.pool.state
        server.operations = min(server.operations, len(state.in_use) + len(state.waiters) + state.connecting)
    _leave(held, error)


def _held(error: BaseException) -> Iterator[object]:
    """The values of the variables in the frames that an exception has passed."""
    traceback = error.__traceback__
    while traceback is not None:
        yield from traceback.tb_frame.f_locals.values()
        traceback = traceback.tb_next


def _give_back(pool: Pool, connections: list[Connection]) -> None:
    """Close the connections of a pool that a call has left in use, or has taken and not noted as in use."""
    for connection in connections:
        if connection in pool.state.in_use and connection.pinned_by is None:
            connection.close()
            pool.check_in(connection)


def _leave(held: list[object], error: BaseException) -> None:
    """Leave the turns that the call has, in the sessions that it used."""
    turns = [value for value in held if isinstance(value, Turns)]
    # An object whose constructor was struck lacks some of its attributes.
    turns += [value.turns for value in held if isinstance(value, SessionState) and hasattr(value, "turns")]
    thread = threading.current_thread()
    own = [value for value in held if isinstance(value, Turn) and getattr(value, "task", None) is thread]
    for queue in turns:
        for turn in own:
            if not turn.handed_over and queue.current is turn:
                queue.failed(turn, error)
                queue.leave(turn)
