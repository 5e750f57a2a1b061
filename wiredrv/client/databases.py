"""The databases of a deployment: what a client offers on them. Enumerate-databases specification."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wiredrv.client import validation as check
from wiredrv.client.command_cursor import CommandCursor
from wiredrv.client.database import Database
from wiredrv.operations.base import Target
from wiredrv.operations.databases import DropDatabase, ListDatabases

if TYPE_CHECKING:
    from wiredrv.client.client_session import ClientSession
    from wiredrv.client.handle import HandleContext

_LIST: check.Table = {
    "filter": ("filter", check.document),
    "comment": ("comment", None),
    "name_only": ("nameOnly", check.boolean),
    "authorized_databases": ("authorizedDatabases", check.boolean),
    "max_time_ms": ("maxTimeMS", check.whole_number),
}


class DatabasesOfClient:
    """Mixed into the client: list and drop databases."""

    __slots__ = ()

    _context: HandleContext

    def get_database(self, name: str) -> Database:
        """A database by its name."""
        raise NotImplementedError

    def list_databases(
        self, session: ClientSession | None = None, comment: Any = None, **options: Any
    ) -> CommandCursor[dict[str, Any]]:
        """A cursor over the databases' documents (``name``, ``sizeOnDisk``, ``empty``), with or without ``await``.

        :param options: ``filter``, ``nameOnly``, ``authorizedDatabases``, ``max_time_ms``.
        :raises OperationFailure: the server refused.
        """
        fields = check.wire_options({**options, "comment": comment}, _LIST, strict=False)
        return CommandCursor(self._context, ListDatabases(Target("admin"), fields), session, comment=comment)

    async def list_database_names(
        self, session: ClientSession | None = None, comment: Any = None, **options: Any
    ) -> list[str]:
        """The names of the databases."""
        options.setdefault("nameOnly", True)
        return [found["name"] for found in await self.list_databases(session, comment, **options).to_list()]

    async def list_database_objects(self, session: ClientSession | None = None, **options: Any) -> list[Database]:
        """The databases as objects."""
        return [self.get_database(name) for name in await self.list_database_names(session, **options)]

    async def drop_database(
        self, name_or_database: str | Database, session: ClientSession | None = None, comment: Any = None
    ) -> None:
        """Drop a database with all its collections. It is no error if it does not exist.

        :raises OperationFailure: the server refused.
        """
        name = name_or_database.name if isinstance(name_or_database, Database) else name_or_database
        target = self.get_database(name)._target
        fields = {} if comment is None else {"comment": comment}
        await self._context.executor.execute(DropDatabase(target, fields), self._context.session_state(session))
