"""ReadConcern, WriteConcern and ReadPreference: immutable values that describe the guarantees of a read or a write.

Read and write concern: read-write-concern specification. Read preference: server-selection specification.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import ClassVar

from wiredrv.errors import ConfigurationError
from wiredrv.types import Document, PlainDocument


class ReadConcern:
    """How isolated and how durable the data of a read must be. Read-write-concern specification.

    :param level: ``"local"``, ``"majority"``, ``"linearizable"``, ``"available"``, ``"snapshot"``, or None for the
        server's default, which is not sent. A level that this version does not know is sent as it is, and the server
        decides.
    :raises ConfigurationError: the level is not a string.
    """

    __slots__ = ("_document", "level")

    def __init__(self, level: str | None = None) -> None:
        if level is not None and not isinstance(level, str):
            raise ConfigurationError(f"a read concern's level must be a string or None, not {level!r}")
        #: The level, or None for the server's default.
        self.level = level
        self._document: PlainDocument = {} if level is None else {"level": level}

    @property
    def document(self) -> PlainDocument:
        """The concern as it goes over the wire; empty for the server's default."""
        return dict(self._document)

    @property
    def is_server_default(self) -> bool:
        """Whether the server's default applies, so that nothing is sent."""
        return self.level is None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ReadConcern) and other.level == self.level

    def __hash__(self) -> int:
        return hash(self.level)

    def __repr__(self) -> str:
        return f"ReadConcern({self.level!r})" if self.level is not None else "ReadConcern()"


class WriteConcern:
    """What must have happened to a write before the server acknowledges it. Read-write-concern specification.

    :param w: the number of members (0: no acknowledgement at all), ``"majority"`` or a custom mode's name.
    :param wtimeout: milliseconds to wait for ``w``; 0 or None waits without limit.
    :param j: whether the journal must have been written.
    :param fsync: as ``j`` on servers without a journal; kept for compatibility.
    :raises ConfigurationError: a value is of the wrong kind, or ``w=0`` and ``j=True`` contradict each other.
    """

    __slots__ = ("_document", "acknowledged", "is_server_default")

    def __init__(
        self,
        w: int | str | None = None,
        wtimeout: int | None = None,
        j: bool | None = None,
        fsync: bool | None = None,
    ) -> None:
        document: PlainDocument = {}
        if w is not None:
            if isinstance(w, bool) or not isinstance(w, (int, str)):
                raise ConfigurationError(f"w must be a number, 'majority' or a mode's name, not {w!r}")
            if isinstance(w, int) and w < 0:
                raise ConfigurationError(f"w must not be negative: {w}")
            document["w"] = w
        if wtimeout is not None:
            if isinstance(wtimeout, bool) or not isinstance(wtimeout, int) or wtimeout < 0:
                raise ConfigurationError(f"wtimeout must be a number of milliseconds from 0 up, not {wtimeout!r}")
            document["wtimeout"] = wtimeout
        for name, flag in (("j", j), ("fsync", fsync)):
            if flag is not None:
                if not isinstance(flag, bool):
                    raise ConfigurationError(f"{name} must be True or False, not {flag!r}")
                document[name] = flag
        if w == 0 and j:
            raise ConfigurationError("w=0 and j=True contradict each other: the first asks for no acknowledgement")
        self._document = document
        #: Whether the server answers a write: not with ``w=0``.
        self.acknowledged = w != 0
        #: Whether the server's default applies, so that nothing is sent.
        self.is_server_default = not document

    @property
    def document(self) -> PlainDocument:
        """The concern as it goes over the wire; empty for the server's default."""
        return dict(self._document)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, WriteConcern) and other._document == self._document

    def __hash__(self) -> int:
        return hash(tuple(sorted(self._document.items(), key=lambda item: item[0])))

    def __repr__(self) -> str:
        return f"WriteConcern({', '.join(f'{k}={v!r}' for k, v in self._document.items())})"


class ReadMode(Enum):
    """The five modes of the server-selection specification; the value is the wire's name."""

    #: The primary.
    PRIMARY = "primary"
    #: The primary; a secondary while there is none.
    PRIMARY_PREFERRED = "primaryPreferred"
    #: A secondary.
    SECONDARY = "secondary"
    #: A secondary; the primary if there is none.
    SECONDARY_PREFERRED = "secondaryPreferred"
    #: The nearest member, primary or secondary.
    NEAREST = "nearest"


TagSet = Mapping[str, str]

#: Means that no staleness limit was given; the wire and the URI use the same number.
NO_MAX_STALENESS = -1
#: The least that ``maxStalenessSeconds`` may be (max-staleness specification).
SMALLEST_MAX_STALENESS = 90


@dataclass(frozen=True, slots=True, eq=False)
class ReadPreference:
    """Which members may answer a read. Server-selection specification, "Read Preference"; max-staleness specification.

    :param mode: a :class:`ReadMode` or its name, as ``"secondaryPreferred"``.
    :param tag_sets: tag sets in the order in which they are tried; an empty mapping matches every member.
    :param max_staleness: how many seconds a secondary may lag behind, at least 90; -1 for no limit.
    :param hedge: the hedged-read document of servers 4.4 to 7.x; deprecated there.
    :raises ConfigurationError: a value is of the wrong kind, or the mode is ``primary`` with any of the others.
    """

    mode: ReadMode
    tag_sets: tuple[TagSet, ...] = ()
    max_staleness: int | float = NO_MAX_STALENESS
    hedge: Document | None = None

    #: The primary.
    PRIMARY: ClassVar[ReadPreference]
    #: The primary; a secondary while there is none.
    PRIMARY_PREFERRED: ClassVar[ReadPreference]
    #: A secondary.
    SECONDARY: ClassVar[ReadPreference]
    #: A secondary; the primary if there is none.
    SECONDARY_PREFERRED: ClassVar[ReadPreference]
    #: The nearest member, primary or secondary.
    NEAREST: ClassVar[ReadPreference]

    def __init__(
        self,
        mode: ReadMode | str = ReadMode.PRIMARY,
        tag_sets: Sequence[TagSet] | None = None,
        max_staleness: int | float = NO_MAX_STALENESS,
        hedge: Document | None = None,
    ) -> None:
        try:
            chosen = mode if isinstance(mode, ReadMode) else ReadMode(mode)
        except ValueError:
            names = ", ".join(known.value for known in ReadMode)
            raise ConfigurationError(f"{mode!r} is not a read preference mode; the modes are {names}") from None
        tags = tuple(tag_sets or ())
        if not all(isinstance(tag_set, Mapping) for tag_set in tags):
            raise ConfigurationError(f"tag_sets must be a list of mappings, not {tag_sets!r}")
        if isinstance(max_staleness, bool) or not isinstance(max_staleness, (int, float)):
            raise ConfigurationError(f"max_staleness must be a number of seconds, not {max_staleness!r}")
        if chosen is ReadMode.PRIMARY and (any(tags) or max_staleness != NO_MAX_STALENESS or hedge is not None):
            raise ConfigurationError(
                "the read preference 'primary' takes no tag sets, no max staleness and no hedge: "
                "there is only one primary; choose 'primaryPreferred' or another mode"
            )
        object.__setattr__(self, "mode", chosen)
        object.__setattr__(self, "tag_sets", tags)
        object.__setattr__(self, "max_staleness", max_staleness)
        object.__setattr__(self, "hedge", hedge)

    @property
    def name(self) -> str:
        """The wire's name of the mode."""
        return self.mode.value

    @property
    def document(self) -> PlainDocument:
        """The preference as ``$readPreference`` carries it."""
        document: PlainDocument = {"mode": self.mode.value}
        if any(self.tag_sets):
            document["tags"] = [dict(tag_set) for tag_set in self.tag_sets]
        if self.max_staleness != NO_MAX_STALENESS:
            document["maxStalenessSeconds"] = self.max_staleness
        if self.hedge:
            document["hedge"] = dict(self.hedge)
        return document

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ReadPreference):
            return NotImplemented
        ours = (self.mode, self.tag_sets, self.max_staleness, self.hedge)
        return ours == (other.mode, other.tag_sets, other.max_staleness, other.hedge)

    def __hash__(self) -> int:
        return hash((self.mode, self.max_staleness, tuple(tuple(sorted(tags.items())) for tags in self.tag_sets)))


class Primary(ReadPreference):
    """``ReadPreference("primary")`` under PyMongo's name."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(ReadMode.PRIMARY)


class _WithTags(ReadPreference):
    """A read preference whose class says its mode.

    :param tag_sets: tag sets in the order in which they are tried; an empty mapping matches every member.
    :param max_staleness: how many seconds a secondary may lag behind, at least 90; -1 for no limit.
    :param hedge: the hedged-read document of servers 4.4 to 7.x; deprecated there.
    :raises ConfigurationError: a value is of the wrong kind.
    """

    __slots__ = ()

    _mode: ClassVar[ReadMode]

    def __init__(
        self,
        tag_sets: Sequence[TagSet] | None = None,
        max_staleness: int | float = NO_MAX_STALENESS,
        hedge: Document | None = None,
    ) -> None:
        super().__init__(self._mode, tag_sets, max_staleness, hedge)


class PrimaryPreferred(_WithTags):
    """``ReadPreference("primaryPreferred", ...)`` under PyMongo's name."""

    __slots__ = ()
    _mode = ReadMode.PRIMARY_PREFERRED


class Secondary(_WithTags):
    """``ReadPreference("secondary", ...)`` under PyMongo's name."""

    __slots__ = ()
    _mode = ReadMode.SECONDARY


class SecondaryPreferred(_WithTags):
    """``ReadPreference("secondaryPreferred", ...)`` under PyMongo's name."""

    __slots__ = ()
    _mode = ReadMode.SECONDARY_PREFERRED


class Nearest(_WithTags):
    """``ReadPreference("nearest", ...)`` under PyMongo's name."""

    __slots__ = ()
    _mode = ReadMode.NEAREST


ReadPreference.PRIMARY = ReadPreference(ReadMode.PRIMARY)
ReadPreference.PRIMARY_PREFERRED = ReadPreference(ReadMode.PRIMARY_PREFERRED)
ReadPreference.SECONDARY = ReadPreference(ReadMode.SECONDARY)
ReadPreference.SECONDARY_PREFERRED = ReadPreference(ReadMode.SECONDARY_PREFERRED)
ReadPreference.NEAREST = ReadPreference(ReadMode.NEAREST)

#: The server's defaults, shared: comparing by identity is enough on the hot path.
DEFAULT_READ_CONCERN = ReadConcern()
DEFAULT_WRITE_CONCERN = WriteConcern()
