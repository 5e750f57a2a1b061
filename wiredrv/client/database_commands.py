"""The commands of a database: arbitrary commands, and pipelines that start without a collection. PyMongo's names.

Specifications: run-command, CRUD.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Unpack, overload

from bson.codec_options import DEFAULT_CODEC_OPTIONS, CodecOptions

from wiredrv.client import validation as check
from wiredrv.client.arguments import AggregateOptions, expanded
from wiredrv.client.collection_base import derived_target
from wiredrv.client.collection_reads import aggregate
from wiredrv.client.constants import CursorType
from wiredrv.client.cursors.command_cursor import CommandCursor
from wiredrv.client.handle import HandleContext
from wiredrv.client.limits import TimeoutMode, limited
from wiredrv.client.watchable import Watchable
from wiredrv.concerns import ReadPreference
from wiredrv.errors import ConfigurationError, NotPrimaryError, OperationFailure
from wiredrv.operations.base import Target
from wiredrv.operations.run_command import RunCommand, RunCursorCommand
from wiredrv.types import Document, DocumentT, OtherDocumentT, Pipeline, PlainDocument

if TYPE_CHECKING:
    from wiredrv.client.sessions.client_session import ClientSession

_TAILABLE = (CursorType.TAILABLE, CursorType.TAILABLE_AWAIT)


class DatabaseCommands(Watchable[DocumentT]):
    """The methods of a database that run commands."""

    __slots__ = ()

    _context: HandleContext

    @overload
    async def command(
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
    async def command(
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

    async def command(
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
        allowed = () if allowable_errors is None else _codes(allowable_errors)
        operation = RunCommand(
            self._command_target(read_preference, codec_options, timeout_ms), _body(command, value, comment, fields)
        )
        state = self._context.session_state(session)
        try:
            return await self._context.executor.execute(operation, state)
        except (OperationFailure, NotPrimaryError) as error:
            if check and not _is_allowed(error, allowed):
                raise
            return dict(error.details or {})

    #: The specification's name.
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
        """Run a command that answers with a cursor, with or without ``await``. Sent as given, as :meth:`command`.

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
        if cursor_type and cursor_type not in _TAILABLE:
            raise ConfigurationError(f"cursor_type must be a CursorType other than EXHAUST, not {cursor_type!r}")
        operation = RunCursorCommand(
            self._command_target(read_preference, codec_options, timeout_ms), _body(command, value, None, fields)
        )
        return CommandCursor(
            self._context,
            operation,
            session,
            batch_size=None if batch_size is None else check.whole_number("batch_size", batch_size),
            comment=comment,
            max_await_time_ms=None
            if max_await_time_ms is None
            else check.whole_number("max_await_time_ms", max_await_time_ms),
            tailable=bool(cursor_type),
            awaits_data=cursor_type == CursorType.TAILABLE_AWAIT,
            timeout_mode=timeout_mode,
        )

    #: The specification's name.
    run_cursor_command = cursor_command

    def _command_target(
        self,
        read_preference: ReadPreference | None,
        codec_options: CodecOptions[Any] | None,
        timeout_ms: int | None,
    ) -> Target:
        bare = limited(Target(self._target.database, limit=self._target.limit), timeout_ms)
        if read_preference is None and codec_options is None:
            return bare
        return derived_target(bare, "", codec_options or DEFAULT_CODEC_OPTIONS, read_preference)

    @expanded(AggregateOptions)
    def aggregate(
        self,
        pipeline: Pipeline,
        session: ClientSession | None = None,
        **options: Unpack[AggregateOptions],
    ) -> CommandCursor[DocumentT]:
        """A cursor over the result of a pipeline that starts without a collection, as ``$currentOp`` or ``$documents``.

        Like :meth:`Collection.aggregate`.

        :param pipeline: the stages.
        :param session: the session to use; without it the bound one, or an implicit one.
        :returns: the cursor, with or without ``await``.
        :raises ConfigurationError: an argument is of the wrong kind; nothing was sent.
        """
        return aggregate(self._context, self._target, pipeline, session, options, CommandCursor)


def _body(command: Any, value: Any, comment: object, fields: Document) -> PlainDocument:
    """The command as one document, its name first."""
    if isinstance(command, str):
        body: PlainDocument = {command: value}
    else:
        body = dict(check.document("command", command))
        if not body:
            raise ConfigurationError("command must not be empty: its first key is the command's name")
    if comment is not None:
        fields = {**fields, "comment": comment}
    twice = next((name for name in fields if name in body), None)
    if twice is not None:
        raise ConfigurationError(f"{twice!r} is in the command already: give it there or as a keyword, not both")
    body.update(fields)
    return body


def _codes(allowable_errors: object) -> Sequence[str | int]:
    if not isinstance(allowable_errors, (list, tuple, set, frozenset)):
        check.refuse("allowable_errors", "a list of codes and messages", allowable_errors)
    return tuple(allowable_errors)


def _is_allowed(error: OperationFailure | NotPrimaryError, allowed: Sequence[str | int]) -> bool:
    message = str((error.details or {}).get("errmsg", ""))
    return error.code in allowed or message in allowed
