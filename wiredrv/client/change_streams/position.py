"""Where a change stream is in the history of its deployment, and how it is opened there again. Pure.

Change-streams specification: "Updating the Cached Resume Token", "Resume Process", "startAtOperationTime".

Rules kept here:

* The cached token never runs ahead of the documents that the user was given: resuming repeats and skips nothing.
* The first aggregate has exactly the options that the user gave; only later ones have what the driver cached.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from bson.timestamp import Timestamp

from wiredrv.types import Document, PlainDocument

#: The options of the ``$changeStream`` stage that say where a stream begins.
RESUME_AFTER = "resumeAfter"
START_AFTER = "startAfter"
START_AT = "startAtOperationTime"
BEGINNINGS = (RESUME_AFTER, START_AFTER, START_AT)


@dataclass(frozen=True, slots=True)
class Position:
    """Where a stream is.

    :param given: the beginning that the user gave, under the wire's names; perhaps none, or by mistake several.
    :param token: the cached resume token.
    :param operation_time: where the stream began, if the user or the first reply said so.
    :param opened: whether an aggregate succeeded.
    :param returned: whether the user was given a document.
    """

    given: Document
    token: Document | None = None
    operation_time: Timestamp | None = None
    opened: bool = False
    returned: bool = False

    @classmethod
    def of(cls, given: Document) -> Position:
        """The position of a stream that was not opened yet."""
        return cls(given, given.get(START_AFTER) or given.get(RESUME_AFTER), given.get(START_AT))

    def beginning(self) -> PlainDocument:
        """The options of the next aggregate's ``$changeStream`` stage that say where it begins."""
        if not self.opened:
            return dict(self.given)
        if self.token is not None:
            started_after = START_AFTER in self.given and not self.returned
            return {START_AFTER if started_after else RESUME_AFTER: self.token}
        if self.operation_time is not None:
            return {START_AT: self.operation_time}
        return dict(self.given)

    def after_opening(self, empty: bool, batch_token: Document | None, operation_time: Timestamp | None) -> Position:
        """The position after an aggregate succeeded.

        :param empty: whether its batch has no documents.
        :param batch_token: its ``postBatchResumeToken``, which servers before 4.0.7 do not send.
        :param operation_time: the ``operationTime`` of the reply.
        """
        time = self.operation_time
        if not self.opened and not self.given and empty and batch_token is None:
            time = operation_time
        token = batch_token if empty and batch_token is not None else self.token
        return replace(self, token=token, operation_time=time, opened=True)

    def after_empty_batch(self, batch_token: Document | None) -> Position:
        """The position after a getMore found nothing: the server says how far it has looked."""
        return self if batch_token is None else replace(self, token=batch_token)

    def after_document(self, document_token: Document, batch_token: Document | None) -> Position:
        """The position after a document was given to the user.

        :param document_token: its ``_id``.
        :param batch_token: the ``postBatchResumeToken`` of its batch if it was the last one there; else None.
        """
        token = document_token if batch_token is None else batch_token
        if self.returned:
            return Position(self.given, token, self.operation_time, True, True)
        return replace(self, token=token, returned=True)
