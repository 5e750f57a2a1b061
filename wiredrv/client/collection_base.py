"""The base of a collection: its name, its database and its options."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn, Self, cast, overload

from bson.codec_options import CodecOptions

from wiredrv.client.absent import did_you_mean, refuse_absent
from wiredrv.client.handle import HandleContext
from wiredrv.client.limits import limit_of
from wiredrv.client.validation import collection_name, refuse
from wiredrv.client.watchable import Watchable
from wiredrv.compat.objects import of_kind
from wiredrv.concerns import ReadConcern, ReadPreference, WriteConcern
from wiredrv.operations.base import Target
from wiredrv.options.kinds import DOCUMENT_CLASS, BadValue
from wiredrv.types import DocumentT, OtherDocumentT

if TYPE_CHECKING:
    from wiredrv.client.collection import Collection
    from wiredrv.client.database import Database


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

    __slots__ = ("_context", "_database", "_target")

    def __init__(
        self,
        database: Database[Any],
        name: str,
        codec_options: CodecOptions[DocumentT] | None = None,
        read_preference: ReadPreference | None = None,
        write_concern: WriteConcern | None = None,
        read_concern: ReadConcern | None = None,
        *,
        document_class: type[DocumentT] | None = None,
        timeout_ms: int | None = None,
    ) -> None:
        self._database = database
        self._context: HandleContext = database._context
        self._target = derived_target(
            database._target,
            collection_name(name),
            codec_options,
            read_preference,
            write_concern,
            read_concern,
            document_class,
            timeout_ms,
        )

    @property
    def name(self) -> str:
        """The name within the database."""
        return self._target.collection

    @property
    def full_name(self) -> str:
        """The name with the database's name and a dot before it."""
        return self._target.namespace

    @property
    def database(self) -> Database[Any]:
        """The database that the collection is in. Its documents may be of another class."""
        return self._database

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
        copy = type(self).__new__(type(self))
        copy._database = self._database
        copy._context = self._context
        copy._target = derived_target(
            self._target,
            self.name,
            codec_options,
            read_preference,
            write_concern,
            read_concern,
            document_class,
            timeout_ms,
        )
        return cast("Collection[Any]", copy)

    def __getitem__(self, name: str) -> Self:
        """The collection whose name is this one's, a dot and ``name``."""
        copy = type(self).__new__(type(self))
        copy._database = self._database
        copy._context = self._context
        copy._target = derived_target(self._target, collection_name(f"{self.name}.{name}"))
        return copy

    def __getattr__(self, name: str) -> Self:
        refuse_absent("Collection", name, "use collection[{}] for the collection of that name")
        return self[name]

    if not TYPE_CHECKING:  # type checkers know without it that a collection cannot be called

        def __call__(self, *arguments: object, **options: object) -> NoReturn:
            parent, _, method = self.name.rpartition(".")
            where = f"the collection {parent!r}" if parent else "a database"
            raise TypeError(
                f"{where} has no method {method!r}: {self.full_name!r} is a collection, which cannot be called"
                f"{did_you_mean(method, self if parent else self._database)}"
            )

    def __bool__(self) -> NoReturn:
        raise NotImplementedError("a collection has no truth value: compare it with None ('collection is not None')")

    def __aiter__(self) -> NoReturn:
        raise TypeError(f"the collection {self.name!r} cannot be iterated: iterate over collection.find()")

    def __iter__(self) -> NoReturn:
        raise TypeError(f"the collection {self.name!r} cannot be iterated: use 'async for' over collection.find()")

    def __contains__(self, document: object) -> NoReturn:
        raise TypeError("'in' does not search a collection: use find_one() or count_documents()")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, CollectionBase):
            return NotImplemented
        return self._context is other._context and self.full_name == other.full_name

    def __hash__(self) -> int:
        return hash((id(self._context), self.full_name))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.full_name!r})"


def derived_target(
    base: Target,
    collection: str,
    codec_options: CodecOptions[Any] | None = None,
    read_preference: ReadPreference | None = None,
    write_concern: WriteConcern | None = None,
    read_concern: ReadConcern | None = None,
    document_class: type[Any] | None = None,
    timeout_ms: int | None = None,
) -> Target:
    """A target in the same database; options that are None are taken from ``base``.

    :raises ConfigurationError: an option is of the wrong kind.
    """
    if codec_options is not None and not isinstance(codec_options, CodecOptions):
        refuse("codec_options", "a CodecOptions", codec_options)
    codec_options = base.codec_options if codec_options is None else codec_options
    if document_class is not None:
        codec_options = _with_document_class(codec_options, document_class)
    return Target(
        base.database,
        collection,
        base.read_preference
        if read_preference is None
        else of_kind("read_preference", read_preference, ReadPreference),
        base.read_concern if read_concern is None else of_kind("read_concern", read_concern, ReadConcern),
        base.write_concern if write_concern is None else of_kind("write_concern", write_concern, WriteConcern),
        codec_options,
        base.limit if timeout_ms is None else limit_of(timeout_ms),
    )


def _with_document_class(codec_options: CodecOptions[Any], document_class: object) -> CodecOptions[Any]:
    try:
        return codec_options.with_options(document_class=DOCUMENT_CLASS.from_keyword(document_class))
    except BadValue:
        refuse("document_class", DOCUMENT_CLASS.accepts, document_class)
