"""The commands of a database: arbitrary commands, and pipelines that start without a collection. PyMongo's names.

Written by ``python -m tools.synchronous`` from ``wiredrv.client.database_commands``: do not edit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Unpack, overload

from bson.codec_options import CodecOptions

from wiredrv.client.arguments import AggregateOptions, expanded
from wiredrv.client.constants import CursorType
from wiredrv.client.limits import TimeoutMode
from wiredrv.concerns import ReadPreference
from wiredrv.sync.base import awaited, session_of
from wiredrv.sync.command_cursor import CommandCursor
from wiredrv.sync.watchable import Watchable
from wiredrv.types import Document, DocumentT, OtherDocumentT, Pipeline

if TYPE_CHECKING:
    from wiredrv.client.database import Database as AsyncDatabase
    from wiredrv.sync.client_session import ClientSession


class DatabaseCommands(Watchable[DocumentT]):
    """The methods of a database that run commands."""

    __slots__ = ()

    _inner: AsyncDatabase[DocumentT]

    @overload
    def command(
        self,
        command: str | Document,
        value: object = 1,
        check: bool = True,
        allowable_errors: Sequence[str | int] | None = None,
        read_preference: ReadPreference | None = None,
        codec_options: None = None,
        session: ClientSession | None = None,
        comment: object = None,
        timeout_ms: int | None = None,
        **fields: object,
    ) -> dict[str, Any]: ...

    @overload
    def command(
        self,
        command: str | Document,
        value: object = 1,
        check: bool = True,
        allowable_errors: Sequence[str | int] | None = None,
        read_preference: ReadPreference | None = None,
        codec_options: CodecOptions[OtherDocumentT] = ...,
        session: ClientSession | None = None,
        comment: object = None,
        timeout_ms: int | None = None,
        **fields: object,
    ) -> OtherDocumentT: ...

    def command(
        self,
        command: str | Document,
        value: object = 1,
        check: bool = True,
        allowable_errors: Sequence[str | int] | None = None,
        read_preference: ReadPreference | None = None,
        codec_options: CodecOptions[Any] | None = None,
        session: ClientSession | None = None,
        comment: object = None,
        timeout_ms: int | None = None,
        **fields: object,
    ) -> Any:
        """Run a command and return the server's reply. It is sent as given and never retried.

        The database's read and write concern are not added to it; in a transaction it takes part. It should not contain
        fields that the driver adds itself (``lsid``, ``$db``...): the result is undefined.

        :param command: the command as a document, or its name, which ``value`` and ``fields`` complete.
        :param value: the value of the command's name, where ``command`` is a name.
        :param check: whether a failure is raised; else the server's reply is returned.
        :param allowable_errors: codes and messages of failures whose replies are returned nevertheless.
        :param read_preference: which members may run it; None means the primary.
        :param codec_options: how the reply is decoded; None means the driver's own options, not the database's.
        :param session: the session to use; without it the bound one, or an implicit one.
        :param comment: a comment for the server's logs and profiler (server 4.4).
        :param timeout_ms: milliseconds for the whole call, its retries included; 0 sets no limit, None takes the
            ``timeoutMS`` of the database or client.
            A ``maxTimeMS`` that is computed from it replaces one in the command.
        :param fields: further fields of the command.
        :returns: the server's reply.
        :raises OperationFailure: the server refused or failed it.
        :raises NotPrimaryError: the server is not the member that it needs, or no longer.
        :raises ConfigurationError: ``command`` is empty, a field is given twice, or ``allowable_errors`` is not a list.
        """
        return self._threads.run(
            self._inner.command(
                command,
                value,
                check,
                allowable_errors,
                read_preference,
                codec_options,
                None if session is None else session_of(session),
                comment,
                timeout_ms,
                **fields,
            )
        )

    run_command = command

    @overload
    def cursor_command(
        self,
        command: str | Document,
        value: object = 1,
        read_preference: ReadPreference | None = None,
        codec_options: None = None,
        session: ClientSession | None = None,
        comment: object = None,
        max_await_time_ms: int | None = None,
        batch_size: int | None = None,
        cursor_type: int = CursorType.NON_TAILABLE,
        timeout_ms: int | None = None,
        timeout_mode: TimeoutMode | None = None,
        **fields: object,
    ) -> CommandCursor[dict[str, Any]]: ...

    @overload
    def cursor_command(
        self,
        command: str | Document,
        value: object = 1,
        read_preference: ReadPreference | None = None,
        codec_options: CodecOptions[OtherDocumentT] = ...,
        session: ClientSession | None = None,
        comment: object = None,
        max_await_time_ms: int | None = None,
        batch_size: int | None = None,
        cursor_type: int = CursorType.NON_TAILABLE,
        timeout_ms: int | None = None,
        timeout_mode: TimeoutMode | None = None,
        **fields: object,
    ) -> CommandCursor[OtherDocumentT]: ...

    def cursor_command(
        self,
        command: str | Document,
        value: object = 1,
        read_preference: ReadPreference | None = None,
        codec_options: CodecOptions[Any] | None = None,
        session: ClientSession | None = None,
        comment: object = None,
        max_await_time_ms: int | None = None,
        batch_size: int | None = None,
        cursor_type: int = CursorType.NON_TAILABLE,
        timeout_ms: int | None = None,
        timeout_mode: TimeoutMode | None = None,
        **fields: object,
    ) -> CommandCursor[Any]:
        """Run a command that answers with a cursor. Sent as given, as :meth:`command`.

        :param command: the command as a document, or its name, which ``value`` and ``fields`` complete.
        :param value: the value of the command's name, where ``command`` is a name.
        :param read_preference: which members may run it; None means the primary.
        :param codec_options: how the documents are decoded; None means the driver's own options, not the database's.
        :param session: the session to use; without it the bound one, or an implicit one.
        :param comment: of the getMores alone. A comment for the command itself belongs in the command.
        :param max_await_time_ms: milliseconds (``maxTimeMS``) of each getMore.
        :param batch_size: documents of each getMore.
        :param cursor_type: what kind of cursor the command opens; the command's own fields must say so too.
        :param timeout_ms: milliseconds, as of :meth:`command`.
        :param timeout_mode: what ``timeout_ms`` limits: ``"cursor_lifetime"``, the command and all getMores together
            (the default), or ``"iteration"``, each call that returns documents (the only one for tailable cursors).
        :param fields: further fields of the command.
        :returns: the cursor.
        :raises UnreadableReply: the reply contains no cursor.
        :raises ConfigurationError: an argument is of the wrong kind.
        """
        return CommandCursor(
            self._threads.run(
                awaited(
                    self._inner.cursor_command(
                        command,
                        value,
                        read_preference,
                        codec_options,
                        None if session is None else session_of(session),
                        comment,
                        max_await_time_ms,
                        batch_size,
                        cursor_type,
                        timeout_ms,
                        timeout_mode,
                        **fields,
                    )
                )
            ),
            self,
        )

    run_cursor_command = cursor_command

    @expanded(AggregateOptions)
    def aggregate(
        self, pipeline: Pipeline, session: ClientSession | None = None, **options: Unpack[AggregateOptions]
    ) -> CommandCursor[DocumentT]:
        """A cursor over the result of a pipeline that starts without a collection, as ``$currentOp`` or ``$documents``.

        Like :meth:`Collection.aggregate`.

        :param pipeline: the stages.
        :param session: the session to use; without it the bound one, or an implicit one.
        :returns: the cursor.
        :raises ConfigurationError: an argument is of the wrong kind; nothing was sent.
        """
        return CommandCursor(
            self._threads.run(
                awaited(self._inner.aggregate(pipeline, None if session is None else session_of(session), **options))
            ),
            self,
        )
