"""What a client sends, from its command listener: the commands of each step, and what closed each cursor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.differential.normal import Names
from tests.differential.outcomes import Command

#: Commands that do not change data.
_READING = frozenset(
    {
        "abortTransaction",
        "buildInfo",
        "buildinfo",
        "commitTransaction",
        "count",
        "distinct",
        "explain",
        "find",
        "getMore",
        "killCursors",
        "listCollections",
        "listDatabases",
        "listIndexes",
        "ping",
    }
)
#: Those that do not change indexes, or whose collections are new ones afterwards (``$out``).
_KEEPING_INDEXES = _READING | {"aggregate", "create", "delete", "drop", "findAndModify", "insert", "update"}


class Log:
    """The commands that a client sent since the last ``take``, normalised; those that close cursors separately."""

    def __init__(self) -> None:
        self.names = Names("", "")
        self.paused = False
        #: Whether anything was sent that may have changed data.
        self.wrote = True
        #: Whether anything was sent that may have changed indexes: whatever reportedly failed (an unsatisfied write
        #: concern, for one) may have been done.
        self.changed_indexes = True
        #: What closed each cursor: the first attempt, and under a name of its own one after an attempt that succeeded.
        self.closings: dict[str, Command] = {}
        self._closed: set[str] = set()
        self._rewound: set[str] = set()
        self._commands: list[Command] = []
        self._under_way: dict[int, Mapping[str, Any]] = {}

    def started(self, request: int, command: Mapping[str, Any]) -> None:
        """A command was sent."""
        if self.paused:
            return
        normal = self.names.command(command)
        if "killCursors" in normal:
            # When an abandoned cursor is closed is up to the driver: compared at the scenario's end.
            for name in self._known_cursors(command):
                # Both retry what the server refused (its transaction had ended), each at its own time.
                again = f"{name} again" if name in self._closed else name
                again = f"{again}, rewound" if name in self._rewound else again
                self.closings.setdefault(again, {**normal, "cursors": "<its own>"})
            self._under_way[request] = command
            return
        self.wrote = self.wrote or not _only_reads(normal)
        self.changed_indexes = self.changed_indexes or next(iter(normal)) not in _KEEPING_INDEXES
        self._commands.append(normal)
        self._under_way[request] = command

    def succeeded(self, request: int, reply: Mapping[str, Any]) -> None:
        """A command was answered."""
        command = self._under_way.pop(request, None)
        if command is None:
            return
        if "killCursors" in command:
            self._closed.update(self._known_cursors(command))
        else:
            self.names.reply(command, reply)

    def _known_cursors(self, command: Mapping[str, Any]) -> list[str]:
        """The names of the cursors that a killCursors closes; one without a name is from the previous scenario."""
        return [self.names.cursors[number] for number in command["cursors"] if number in self.names.cursors]

    def rewinds(self, cursor: int) -> None:
        """A cursor is about to be rewound."""
        if cursor in self.names.cursors:
            self._rewound.add(self.names.cursors[cursor])

    def take(self) -> tuple[Command, ...]:
        """The commands since the last call."""
        commands, self._commands = self._commands, []
        return tuple(commands)

    def begin(self, names: Names) -> None:
        """Start anew, with new names."""
        self.names = names
        self.wrote = False
        self.changed_indexes = False
        self.closings = {}
        self._closed = set()
        self._rewound = set()
        self._under_way.clear()
        self.take()


def _only_reads(command: Command) -> bool:
    name = next(iter(command))
    if name == "aggregate":
        return not any("$out" in stage or "$merge" in stage for stage in command.get("pipeline", ()))
    return name in _READING
