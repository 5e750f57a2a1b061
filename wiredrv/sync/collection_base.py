"""The base of a collection: its name, its database and its options.

Written by ``python -m tools.synchronous`` from ``wiredrv.client.collection_base``: do not edit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn, Self, cast, overload

from bson.codec_options import CodecOptions

from wiredrv.concerns import ReadConcern, ReadPreference, WriteConcern
from wiredrv.sync.watchable import Watchable
from wiredrv.types import DocumentT, OtherDocumentT

if TYPE_CHECKING:
    from wiredrv.client.collection import Collection as AsyncCollection
    from wiredrv.sync.collection import Collection
    from wiredrv.sync.database import Database


class CollectionBase(Watchable[DocumentT]):
    """A collection's name and options. Creating it costs nothing and sends nothing; it is immutable.

    :param database: the database that the collection is in.
    :param name: its name within the database.
    :param codec_options: how documents become Python objects and back; None takes the database's.
    :param read_preference: which members may answer reads; None takes the database's.
    :param write_concern: what a write waits for; None takes the database's.
    :param read_concern: how durable what is read must be; None takes the database's.
    :param document_class: what documents are given as; it wins over that of ``codec_options``.
    :param timeout_ms: milliseconds for each operation and its retries; 0 sets no limit, None takes the database's.
    :raises InvalidName: the name cannot be a collection's.
    :raises ConfigurationError: an option is of the wrong kind.
    """

    __slots__ = ()

    _inner: AsyncCollection[DocumentT]

    if not TYPE_CHECKING:  # type checkers know without it that a collection cannot be called

        def __call__(self, *arguments: object, **options: object) -> NoReturn:
            self._inner(*arguments, **options)

    @property
    def name(self) -> str:
        """The name within the database."""
        return self._inner.name

    @property
    def full_name(self) -> str:
        """The name with the database's name and a dot before it."""
        return self._inner.full_name

    @property
    def database(self) -> Database[Any]:
        """The database that the collection is in. Its documents may be of another class."""
        return cast("Database[Any]", self._parent)

    @overload
    def with_options(
        self,
        codec_options: None = None,
        read_preference: ReadPreference | None = None,
        write_concern: WriteConcern | None = None,
        read_concern: ReadConcern | None = None,
        *,
        document_class: None = None,
        timeout_ms: int | None = None,
    ) -> Collection[DocumentT]: ...

    @overload
    def with_options(
        self,
        codec_options: CodecOptions[OtherDocumentT] | None = None,
        read_preference: ReadPreference | None = None,
        write_concern: WriteConcern | None = None,
        read_concern: ReadConcern | None = None,
        *,
        document_class: type[OtherDocumentT] | None = None,
        timeout_ms: int | None = None,
    ) -> Collection[OtherDocumentT]: ...

    def with_options(
        self,
        codec_options: CodecOptions[Any] | None = None,
        read_preference: ReadPreference | None = None,
        write_concern: WriteConcern | None = None,
        read_concern: ReadConcern | None = None,
        *,
        document_class: type[Any] | None = None,
        timeout_ms: int | None = None,
    ) -> Collection[Any]:
        """The same collection with other options; those that are None stay the same.

        :param codec_options: how documents become Python objects and back; None takes this collection's.
        :param read_preference: which members may answer reads; None takes this collection's.
        :param write_concern: what a write waits for; None takes this collection's.
        :param read_concern: how durable what is read must be; None takes this collection's.
        :param document_class: what documents are given as; it wins over that of ``codec_options``.
        :param timeout_ms: milliseconds for each operation and its retries; 0 sets no limit, None keeps this one's.
        :returns: the other collection.
        :raises ConfigurationError: an option is of the wrong kind.
        """
        return cast(
            "Collection[Any]",
            type(self)(
                self._inner.with_options(
                    codec_options,
                    read_preference,
                    write_concern,
                    read_concern,
                    document_class=document_class,
                    timeout_ms=timeout_ms,
                ),
                self._parent,
            ),
        )

    def __getitem__(self, name: str) -> Self:
        """The collection whose name is this one's, a dot and ``name``."""
        return type(self)(self._inner.__getitem__(name), self._parent)

    def __getattr__(self, name: str) -> Self:
        if name == "_inner":
            raise AttributeError(name)
        return type(self)(self._inner.__getattr__(name), self._parent)

    def __bool__(self) -> NoReturn:
        self._inner.__bool__()

    def __iter__(self) -> NoReturn:
        self._inner.__iter__()

    def __contains__(self, document: object) -> NoReturn:
        self._inner.__contains__(document)
