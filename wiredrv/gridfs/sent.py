"""What an upload has sent, and how that is removed when the upload does not end as it should.

Rules kept here:

* Only what this upload sent is removed. With an id of the user's, another file may have the same id: then the chunks
  are named by their own ids, and the file's document by its other fields too.
* What a cancelled insert does is waited for, or stopped on the server, before its chunks are deleted.
* In a transaction everything is done within the transaction, in the task that has it.

GridFS specification, "Aborting an upload".
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from wiredrv import waits
from wiredrv.client.lasting import (
    clean_up,
    clean_up_here,
    clean_up_later,
    end_session,
    transaction_of,
    until_settled,
)
from wiredrv.client.sessions.blocks import unbound
from wiredrv.errors import DriverError, InvalidOperation
from wiredrv.gridfs.chunks import ChunkDocument
from wiredrv.gridfs.store import Store
from wiredrv.types import PlainDocument

if TYPE_CHECKING:
    from wiredrv.client.sessions.client_session import ClientSession

_LOG = logging.getLogger("wiredrv.gridfs")

#: Seconds that removing chunks may take in a transaction when its block was left by an error.
_SECONDS = 5.0


class Sent:
    """What was sent for one file.

    :param store: the collections, with the time limit of the upload.
    :param fresh: the same with the whole limit again, for what is removed because the upload failed.
    :param file_id: the file's id.
    :param generated: whether no other file can have that id.
    :param session: the session that the upload was given; without one, the upload has a session of its own, since what
        is sent in one session is sent one after the other, also after a cancellation.
    """

    __slots__ = (
        "_anything",
        "_chunk_ids",
        "_file",
        "_file_id",
        "_fresh",
        "_generated",
        "_own",
        "_store",
        "given",
        "transaction",
    )

    def __init__(
        self,
        store: Store,
        fresh: Callable[[], Store],
        file_id: object,
        generated: bool,
        session: ClientSession | None,
    ) -> None:
        self._store = store
        self._fresh = fresh
        self._file_id = file_id
        self._generated = generated
        self._own: ClientSession | None = None
        self._chunk_ids: list[object] = []
        self._file: PlainDocument | None = None
        self._anything = False
        #: The session that the upload was given.
        self.given = session
        #: The number of the transaction that the upload belongs to; 0 if it does not belong to any.
        self.transaction = transaction_of(session)

    def refuse_elsewhere(self) -> None:
        """Refuse to continue in another transaction than that in which the upload began, or outside of it.

        :raises InvalidOperation: it is another one.
        """
        if transaction_of(self.given) != self.transaction:
            raise InvalidOperation(
                "this upload was begun in a transaction that has ended, and its first chunks are part of that one: "
                "upload a whole file in one transaction"
                if self.transaction
                else "this upload was begun before the transaction that is in progress on its session: close it first, "
                "or give it another session"
            )

    def start(self) -> ClientSession:
        """The session to send in."""
        if self.given is not None:
            return self.given
        if self._own is None:
            self._own = self._store.client.start_session(causal_consistency=False)
        return self._own

    def chunks(self, batch: list[ChunkDocument]) -> None:
        """These chunks are about to be sent."""
        self._anything = True
        if not self._generated:
            self._chunk_ids += [chunk["_id"] for chunk in batch]

    def file(self, document: PlainDocument) -> None:
        """The file's document is about to be sent."""
        self._anything = True
        # Without the metadata, which may be what cannot be sent.
        self._file = {name: value for name, value in document.items() if name != "metadata"}

    # --- the end ---

    async def end(self) -> None:
        """Nothing is to be removed: the file is stored, or a server has failed."""
        own, self._own = self._own, None
        if own is not None:
            await own.end_session()

    async def remove(self) -> None:
        """Remove everything, within the time limit of the upload.

        :raises DriverError: that was not possible.
        """
        await self._remove_with(self._store)

    async def _remove_with(self, store: Store) -> None:
        if self._anything:
            try:
                with unbound():
                    await self._remove(store, self._session_to_remove_in())
            except BaseException as error:
                if isinstance(error, waits.cancelled()):
                    await self.remove_after_cancellation()
                elif isinstance(error, DriverError):
                    await self.end()
                raise
        await self.end()

    def _session_to_remove_in(self) -> ClientSession | None:
        """The session of the upload; None if it has ended, or is in another transaction, which may be aborted."""
        session = self.given or self._own
        if session is None or session.has_ended or transaction_of(self.given) != self.transaction:
            return None
        return session

    async def remove_quietly(self, error: BaseException) -> None:
        """Remove everything because of ``error``, which no other error may hide."""
        if isinstance(error, GeneratorExit):
            self.remove_later()  # it is not possible to wait here
        elif not isinstance(error, Exception):
            await self.remove_after_cancellation()
        else:
            try:
                await self._remove_with(self._fresh())
            except DriverError as failure:
                if not self.transaction:
                    self._tell(failure)

    async def remove_after_cancellation(self) -> None:
        """Remove everything, as far as the caller's budget for a cancellation allows; the rest in the background."""
        if not self._anything:
            await self.end()
        elif self.transaction:
            await clean_up_here(self._store.client, self._remove_in_transaction, _SECONDS)
        else:
            await clean_up(self._store.client, self._in_background)

    def remove_later(self) -> None:
        """Have the background remove everything, unless that was sent in a transaction. For finalizers."""
        if (self._anything or self._own is not None) and not self.transaction:
            clean_up_later(self._store.client, self._in_background)

    async def _remove_in_transaction(self) -> None:
        try:
            if transaction_of(self.given) == self.transaction:
                await self._remove(self._fresh(), self.given)
        except DriverError as error:
            # A cancelled statement has doomed the transaction, so nothing of it is ever stored.
            _LOG.debug("an upload was not removed from its transaction: %s", error)

    async def _in_background(self, seconds: float) -> None:
        if not await waits.run_shielded(lambda: self._settle_and_remove(seconds), seconds):
            self._tell("there was no time for it")
        if self._own is not None and not self._own.has_ended:
            await end_session(self._own, 0.0)

    async def _settle_and_remove(self, seconds: float) -> None:
        try:
            session = self.given or self._own
            if session is not None:
                await until_settled(session)
            if self._own is not None and not self._own.has_ended:
                await end_session(self._own, seconds)
            if self._anything:
                with unbound():
                    await self._remove(self._fresh(), None)
        except DriverError as error:
            self._tell(error)

    def _tell(self, reason: object) -> None:
        _LOG.warning("the chunks of an upload that was given up, of the file %r, are left: %s", self._file_id, reason)

    async def _remove(self, store: Store, session: ClientSession | None) -> None:
        if self._file is not None:
            # First, as when a file is deleted: without it there is no file, whatever chunks there are.
            await store.files.delete_one(self._file, session=session)
        if self._generated:
            await store.delete_chunks("files_id", [self._file_id], session)
        else:
            await store.delete_chunks("_id", self._chunk_ids, session)
