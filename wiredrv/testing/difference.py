"""The difference between the commands that a test expects and those that were sent, as text. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from reprlib import Repr
from typing import TypeAlias

from wiredrv.testing.expected import Expected, Group, SentCommand, SentGroup, fits, mismatch

#: A pair is what is expected and what was sent; one of the two may be missing.
_Pair: TypeAlias = tuple[Expected | None, SentCommand | SentGroup | None]

_INDENT = "    "
#: Of longer lists, entries are compared by their places alone.
_MOST_COMPARISONS = 100_000
_SHORT = Repr()
_SHORT.maxstring = _SHORT.maxother = 60
_SHORT.maxdict = _SHORT.maxlist = 8
_SHORT.maxlevel = 3


def describe(
    expected: Sequence[Expected],
    sent: Sequence[SentCommand | SentGroup],
    commands: Sequence[SentCommand],
    *,
    ordered: bool,
    hint: str = "",
) -> str | None:
    """What differs; None if everything that was sent is what is expected.

    :param sent: what was sent, grouped as the expectation is.
    :param commands: all of it, in the order of sending.
    :param ordered: whether the order of the outermost entries matters.
    :param hint: a line to add.
    """
    pairs = _aligned(expected, sent) if ordered else _assigned(expected, sent)
    if all(left is not None and right is not None and fits(left, right) for left, right in pairs):
        return None
    lines = [
        "other commands were sent than expected (- expected and not sent, + sent and not expected, ! differs):",
        "",
    ]
    lines += _lines(pairs, "")
    lines += ["", "sent, by session and transaction:", "", *lanes(commands)]
    if hint:
        lines += ["", hint]
    return "\n".join(lines)


def lanes(commands: Sequence[SentCommand]) -> Iterator[str]:
    """The commands by session and transaction. The numbers are those of the order of sending."""
    if not commands:
        yield f"{_INDENT}nothing"
    by_lane: dict[str, list[SentCommand]] = {}
    for command in commands:
        by_lane.setdefault(command.lane, []).append(command)
    for lane, found in by_lane.items():
        yield f"{_INDENT}{lane}"
        for command in found:
            yield f"{_INDENT}{_INDENT}{command.number:>3} {_shown(command)}"


def _shown(command: SentCommand) -> str:
    """A command with what concerns its session."""
    fields = [str(command)]
    if command.command.get("startTransaction"):
        fields.append("startTransaction")
    for name in ("readConcern", "writeConcern"):
        if name in command.command:
            fields.append(f"{name}={_SHORT.repr(command.command[name])}")
    if command.failure is not None:
        fields.append(f"failed: {type(command.failure).__name__}")
    return " ".join(fields)


def _wanted(expected: str | Mapping[str, object]) -> str:
    if isinstance(expected, str):
        return expected
    name, value = next(iter(expected.items()))
    rest = {field: wanted for field, wanted in expected.items() if field != name}
    text = f"{name} {value}" if isinstance(value, str) else name
    return f"{text} {_SHORT.repr(rest)}" if rest else text


def _lines(pairs: Sequence[_Pair], indent: str) -> Iterator[str]:
    for expected, sent in pairs:
        if isinstance(expected, Group) and isinstance(sent, SentGroup):
            is_same = fits(expected, sent)
            yield f"{' ' if is_same else '!'} {indent}{sent.title}"
            yield from _lines(_aligned(expected.entries, sent.entries), indent + _INDENT)
        elif expected is None:
            yield from _only("+", sent, indent)
        elif sent is None:
            yield from _only("-", expected, indent)
        else:
            assert isinstance(sent, SentCommand)
            found = mismatch(expected, sent) or []
            yield f"{'!' if found else ' '} {indent}{sent}"
            yield from (f"! {indent}{_INDENT}{difference}" for difference in found)


def _only(mark: str, entry: Expected | SentCommand | SentGroup | None, indent: str) -> Iterator[str]:
    if isinstance(entry, (Group, SentGroup)):
        yield f"{mark} {indent}{f'a {entry.kind}' if isinstance(entry, Group) else entry.title}"
        for inner in entry.entries:
            yield from _only(mark, inner, indent + _INDENT)
    elif entry is not None:
        yield f"{mark} {indent}{_shown(entry) if isinstance(entry, SentCommand) else _wanted(entry)}"


def _likeness(expected: Expected, sent: SentCommand | SentGroup) -> int:
    """How alike they are: 0 for not at all."""
    if fits(expected, sent):
        return 1000
    if isinstance(expected, Group) and isinstance(sent, SentGroup) and expected.kind == sent.kind:
        pairs = _aligned(expected.entries, sent.entries)
        return 1 + sum(1 for left, right in pairs if left is not None and right is not None)
    return 1 if mismatch(expected, sent) else 0


def _aligned(expected: Sequence[Expected], sent: Sequence[SentCommand | SentGroup]) -> list[_Pair]:
    """Pairs in the order of both, with as much alike as possible."""
    start = 0
    while start < min(len(expected), len(sent)) and fits(expected[start], sent[start]):
        start += 1
    same: list[_Pair] = list(zip(expected[:start], sent[:start], strict=True))
    left, right = expected[start:], sent[start:]
    if len(left) * len(right) > _MOST_COMPARISONS:
        return same + list(_by_place(left, right))
    return same + _best(left, right)


def _by_place(expected: Sequence[Expected], sent: Sequence[SentCommand | SentGroup]) -> Iterator[_Pair]:
    for left, right in zip_longest(expected, sent):
        if left is None or right is None or _likeness(left, right):
            yield left, right
        else:
            yield left, None
            yield None, right


def _best(expected: Sequence[Expected], sent: Sequence[SentCommand | SentGroup]) -> list[_Pair]:
    """The alignment with the greatest likeness: the longest common subsequence, with weights."""
    rows, columns = len(expected), len(sent)
    # The likeness that the rest can have, for each place in the two.
    value = [[0] * (columns + 1) for _ in range(rows + 1)]
    alike = [[_likeness(left, right) for right in sent] for left in expected]
    for row in range(rows - 1, -1, -1):
        for column in range(columns - 1, -1, -1):
            both = alike[row][column] + value[row + 1][column + 1] if alike[row][column] else 0
            value[row][column] = max(both, value[row + 1][column], value[row][column + 1])
    pairs: list[_Pair] = []
    row = column = 0
    while row < rows and column < columns:
        if alike[row][column] and value[row][column] == alike[row][column] + value[row + 1][column + 1]:
            pairs.append((expected[row], sent[column]))
            row, column = row + 1, column + 1
        elif value[row][column] == value[row + 1][column]:
            pairs.append((expected[row], None))
            row += 1
        else:
            pairs.append((None, sent[column]))
            column += 1
    return pairs + [(left, None) for left in expected[row:]] + [(None, right) for right in sent[column:]]


def _assigned(expected: Sequence[Expected], sent: Sequence[SentCommand | SentGroup]) -> list[_Pair]:
    """Pairs in any order: those that fit first, then the most alike."""
    left, pairs = list(sent), list[_Pair]()
    open_: list[Expected] = []
    partner = _matching(expected, sent)
    for index, entry in enumerate(expected):
        if index in partner:
            pairs.append((entry, sent[partner[index]]))
            left.remove(sent[partner[index]])
        else:
            open_.append(entry)
    for entry in open_:
        alike = max(left, key=lambda other: _likeness(entry, other), default=None)
        if alike is None or not _likeness(entry, alike):
            pairs.append((entry, None))
        else:
            pairs.append((entry, alike))
            left.remove(alike)
    return pairs + [(None, other) for other in left]


def _matching(expected: Sequence[Expected], sent: Sequence[SentCommand | SentGroup]) -> dict[int, int]:
    """A largest set of pairs that fit: for the index of what is expected, that of what was sent."""
    taken: dict[int, int] = {}

    def place(index: int, seen: set[int]) -> bool:
        for other, entry in enumerate(sent):
            if other not in seen and fits(expected[index], entry):
                seen.add(other)
                if other not in taken or place(taken[other], seen):
                    taken[other] = index
                    return True
        return False

    for index in range(len(expected)):
        place(index, set())
    return {index: other for other, index in taken.items()}
