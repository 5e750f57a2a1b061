"""How the server compares strings. PyMongo's names and values. CRUD and index-management specifications."""

from __future__ import annotations

from typing import Final

from wiredrv.types import PlainDocument


class CollationStrength:
    """Which differences between characters count: the ``strength`` of a collation. CRUD specification, "collation"."""

    #: Those of base characters alone.
    PRIMARY: Final = 1
    #: Those of accents too.
    SECONDARY: Final = 2
    #: Those of upper and lower case too: the server's default.
    TERTIARY: Final = 3
    #: Those of punctuation too.
    QUATERNARY: Final = 4
    #: Those of code points too.
    IDENTICAL: Final = 5


class CollationAlternate:
    """Whether spaces and punctuation count as characters. CRUD specification, "collation"."""

    #: They do.
    NON_IGNORABLE: Final = "non-ignorable"
    #: They count from the strength QUATERNARY on alone.
    SHIFTED: Final = "shifted"


class CollationMaxVariable:
    """What ``CollationAlternate.SHIFTED`` applies to. CRUD specification, "collation"."""

    #: Spaces and punctuation.
    PUNCT: Final = "punct"
    #: Spaces.
    SPACE: Final = "space"


class CollationCaseFirst:
    """Which of two letters that differ in their case comes first. CRUD specification, "collation"."""

    #: The upper case.
    UPPER: Final = "upper"
    #: The lower case.
    LOWER: Final = "lower"
    #: As the locale and the strength say.
    OFF: Final = "off"


class Collation:
    """How the server compares strings; what is None is left to the server. CRUD specification, "collation".

    :param locale: the language, as ``"en"`` or ``"de@collation=phonebook"``; ``"simple"`` compares bytes.
    :param caseLevel: whether case counts, whatever the strength.
    :param caseFirst: which of two letters that differ in their case comes first: see :class:`CollationCaseFirst`.
    :param strength: which differences count, 1 to 5: see :class:`CollationStrength`.
    :param numericOrdering: whether digits are compared as numbers.
    :param alternate: whether spaces and punctuation count: see :class:`CollationAlternate`.
    :param maxVariable: what ``alternate="shifted"`` applies to: see :class:`CollationMaxVariable`.
    :param normalization: whether strings are normalized before they are compared.
    :param backwards: whether accents are compared from the end of the strings, as in French dictionaries.
    :param options: further fields, which are sent as they are.
    """

    __slots__ = ("_document",)

    def __init__(
        self,
        locale: str,
        caseLevel: bool | None = None,
        caseFirst: str | None = None,
        strength: int | None = None,
        numericOrdering: bool | None = None,
        alternate: str | None = None,
        maxVariable: str | None = None,
        normalization: bool | None = None,
        backwards: bool | None = None,
        **options: object,
    ) -> None:
        given = {
            "locale": locale,
            "caseLevel": caseLevel,
            "caseFirst": caseFirst,
            "strength": strength,
            "numericOrdering": numericOrdering,
            "alternate": alternate,
            "maxVariable": maxVariable,
            "normalization": normalization,
            "backwards": backwards,
            **options,
        }
        self._document: PlainDocument = {name: value for name, value in given.items() if value is not None}

    @property
    def document(self) -> PlainDocument:
        """The collation as it goes over the wire."""
        return dict(self._document)

    def __eq__(self, other: object) -> bool:
        return self._document == other._document if isinstance(other, Collation) else NotImplemented

    def __hash__(self) -> int:
        return hash(tuple(sorted(self._document.items(), key=lambda item: item[0])))

    def __repr__(self) -> str:
        return f"Collation({', '.join(f'{name}={value!r}' for name, value in self._document.items())})"
