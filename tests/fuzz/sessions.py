"""Compound operations: sessions, transactions, bindings and concurrent calls, composed of the plain ones."""

from __future__ import annotations

from typing import Any, Literal

import anyio
from bson import Timestamp

import wiredrv
from tests.fuzz.operations import (
    PLAIN,
    TRANSACTIONAL,
    Call,
    Scene,
    Transaction,
    aggregate,
    distinct,
    find,
    find_one,
    insert_one,
)
from wiredrv import ClientSession, DriverError, ReadConcern, RetryPolicy, WriteConcern
from wiredrv.session.tokens import UNKNOWN_DEPLOYMENT, write_causal_token

#: Seconds that a retried transaction may take, if its time should not run out.
_PATIENCE = 0.4


async def in_session(scene: Scene) -> Any:
    chance = scene.chance
    values = []
    async with scene.client.start_session(causal_consistency=chance.choice((None, True, False))) as session:
        for _ in range(chance.randint(1, 3)):
            values.append(await chance.choice(PLAIN)(scene.within(session)))
            scene.inspect(session)
    return values


async def in_snapshot(scene: Scene) -> Any:
    async with scene.client.start_session(snapshot=True) as session:
        inner = scene.within(session)
        values = [await scene.chance.choice((find, aggregate, distinct, find_one))(inner) for _ in range(2)]
        scene.inspect(session)
    return values


async def advanced(scene: Scene) -> Any:
    """A session that advances to another's times, which may be values that a peer made up."""
    async with scene.client.start_session() as one, scene.client.start_session() as other:
        await find_one(scene.within(one))
        if one.cluster_time is not None:
            other.advance_cluster_time(one.cluster_time)
        other.advance_operation_time(one.operation_time or Timestamp(1, 1))
        return await find_one(scene.within(other))


async def continued(scene: Scene) -> Any:
    """A session after tokens: another's, whose times a peer may have made up, altered and forged ones."""
    chance = scene.chance
    async with scene.client.start_session() as session:
        await find_one(scene.within(session))
        token = session.causal_token
    forged = write_causal_token(Timestamp(chance.randint(1, 2**32 - 1), 1), None, UNKNOWN_DEPLOYMENT)
    after = [token, chance.choice((forged, None)), chance.choice(("", "x" * 31, None))]
    policy: Literal["ignore", "refuse"] = "refuse" if chance.randint(0, 3) == 0 else "ignore"
    async with scene.client.start_session(after=after, invalid_token=policy) as session:
        value = await chance.choice(PLAIN)(scene.within(session))
        scene.inspect(session)
    return value


async def bound(scene: Scene) -> Any:
    async with scene.client.start_session() as session, session.bind():
        first = await scene.chance.choice(TRANSACTIONAL)(scene)
        with wiredrv.unbound():
            return first, await find_one(scene)


def _watched(scene: Scene, session: ClientSession) -> Transaction:
    """Register hooks that record the outcome of the transaction that was just started."""
    state = session._state
    transaction = Transaction(bytes(state.lsid["id"]), state.server_session.txn_number)
    for name in ("commit", "abort", "unknown"):
        getattr(session, f"on_{name}")(lambda name=name: transaction.told.append(name))
    scene.transactions.append(transaction)
    return transaction


async def _statements(scene: Scene, session: ClientSession) -> list[Any]:
    inner, chance = scene.within(session), scene.chance
    values = []
    for _ in range(chance.randint(0, 3)):
        values.append(await chance.choice(TRANSACTIONAL)(inner))
        scene.inspect(session)
    return values


async def transaction_by_hand(scene: Scene) -> Any:
    """Started, committed and aborted by calls; a commit with an unknown result is sent again."""
    chance = scene.chance
    async with scene.client.start_session() as session:
        session.start_transaction(max_commit_time_ms=chance.choice((None, 500)))
        transaction = _watched(scene, session)
        try:
            values = await _statements(scene, session)
        except DriverError:
            await session.abort_transaction()
            raise
        if chance.maybe(0.2):
            await session.abort_transaction()
            return values
        for again in range(4):
            try:
                transaction.error = None
                await session.commit_transaction()
                if chance.maybe(0.8):
                    break
            except DriverError as error:
                transaction.error = error
                if again == 3 or not error.has_error_label("UnknownTransactionCommitResult"):
                    raise
        return values


async def transaction_block(scene: Scene) -> Any:
    async with scene.client.start_session() as session:
        values: list[Any] = []
        block = session.start_transaction()
        transaction = _watched(scene, session)
        finished = False
        try:
            async with block:
                values = await _statements(scene, session)
                finished = True
        except DriverError as error:
            transaction.error = error if finished else None
            raise
        if scene.chance.maybe(0.3):
            values.append(await find_one(scene.within(session)))
        return values


async def client_transaction(scene: Scene) -> Any:
    transaction = None
    finished = False
    try:
        async with scene.client.transaction() as session:
            transaction = _watched(scene, session)
            values = [await scene.chance.choice(TRANSACTIONAL)(scene) for _ in range(scene.chance.randint(0, 2))]
            finished = True
    except DriverError as error:
        if transaction is not None and finished:
            transaction.error = error
        raise
    return values


async def with_transaction(scene: Scene) -> Any:
    async def callback(session: ClientSession) -> Any:
        _watched(scene, session)
        return await _statements(scene, session)

    policy = RetryPolicy(timeout=_PATIENCE, max_attempts=scene.chance.choice((None, 3)))
    async with scene.client.start_session() as session:
        return await session.with_transaction(callback, retry=policy)


async def sessions_with_concerns(scene: Scene) -> Any:
    async with scene.client.start_session() as session:
        session.start_transaction(
            read_concern=ReadConcern("snapshot"), write_concern=WriteConcern("majority"), max_commit_time_ms=100
        )
        _watched(scene, session)
        return await insert_one(scene.within(session))  # ending the session aborts


async def at_once(scene: Scene) -> Any:
    """Some operations at the same time."""
    values: list[Any] = []
    errors: list[DriverError] = []

    async def run(call: Call) -> None:
        try:
            values.append(await call(scene))
        except DriverError as error:
            errors.append(error)

    async with anyio.create_task_group() as group:
        for _ in range(scene.chance.randint(2, 4)):
            group.start_soon(run, scene.chance.choice(PLAIN))
    if errors:
        raise errors[0]
    return values


COMPOUND: tuple[Call, ...] = (
    in_session,
    in_session,
    in_snapshot,
    advanced,
    continued,
    bound,
    transaction_by_hand,
    transaction_by_hand,
    transaction_by_hand,
    transaction_block,
    transaction_block,
    client_transaction,
    with_transaction,
    with_transaction,
    sessions_with_concerns,
    at_once,
)
