"""Writes the parts of the documentation that are generated from the code: state tables, drawings, the tree of errors.

``python -m docs.generate`` rewrites the text between the markers of the pages, and the drawings; with ``--check`` it
only reports whether that would change anything, and exits with 1 if so. The rest of the pages is written by hand.
"""

from __future__ import annotations

import argparse
import inspect
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from docs import command_line
from docs.drawings import Arrow, lifelines
from tests.differential.known import KNOWN
from tests.differential.row import Known
from wiredrv import errors
from wiredrv.client.client import Client
from wiredrv.options.meanings import GROUPS, Meaning
from wiredrv.options.table import OPTIONS, Option
from wiredrv.session.pinning import EFFECTS, PinEffect, PinEvent
from wiredrv.session.transaction import TRANSITIONS, TransactionEvent, TransactionState

DOCS = Path(__file__).resolve().parent

Transitions = Mapping[tuple[TransactionState, TransactionEvent], TransactionState | str]


def state_drawing(table: Transitions = TRANSITIONS) -> str:
    """The transaction's states; events that lead the same way share an arrow."""
    events: dict[tuple[TransactionState, TransactionState], list[str]] = {}
    for (state, event), outcome in table.items():
        if isinstance(outcome, TransactionState):
            events.setdefault((state, outcome), []).append(event.value)
    arrows = [Arrow(here.value, there.value, ", ".join(names)) for (here, there), names in events.items()]
    states = [state.value for state in TransactionState]
    return lifelines("How the states of a transaction follow one another", states, arrows, wrap=18)


def state_table(table: Transitions = TRANSITIONS) -> str:
    """The same as a table with a row for each event, and below it the messages of the refusals in it."""
    refusals = list(dict.fromkeys(outcome for outcome in table.values() if isinstance(outcome, str)))
    lines = [
        "| | " + " | ".join(state.value for state in TransactionState) + " |",
        "|---" * (len(TransactionState) + 1) + "|",
    ]
    for event in TransactionEvent:
        cells = [_outcome(table.get((state, event)), refusals) for state in TransactionState]
        lines.append(f"| **{event.value}** | " + " | ".join(cells) + " |")
    lines += ["", "A dash: this cannot happen. The refusals are `InvalidOperation` errors:", ""]
    lines += [f"{number}. “{message}”" for number, message in enumerate(refusals, 1)]
    return "\n".join(lines)


def _outcome(outcome: TransactionState | str | None, refusals: Sequence[str]) -> str:
    if isinstance(outcome, TransactionState):
        return outcome.value
    return f"refused ({refusals.index(outcome) + 1})" if outcome else "-"


def pin_drawing(effects: Mapping[PinEvent, PinEffect] = EFFECTS) -> str:
    """When a session is pinned and when it is unpinned."""
    free, pinned = "not pinned", "pinned"
    ends = {PinEffect.PIN: (free, pinned), PinEffect.KEEP: (pinned, pinned), PinEffect.UNPIN: (pinned, free)}
    arrows = [Arrow(*ends[effect], event.value) for event, effect in effects.items()]
    return lifelines("When a session is pinned and when it is unpinned", [free, pinned], arrows)


def command_drawing() -> str:
    """The path of a command through the packages."""
    collection, executor, topology, pool, connection = "Collection", "Executor", "Topology", "Pool", "Connection"
    arrows = [
        Arrow(collection, executor, "execute(operation, session)"),
        Arrow(executor, topology, "pick(read preference)"),
        Arrow(topology, executor, "server (waits only if none is known)", dashed=True),
        Arrow(executor, pool, "try_check_out()"),
        Arrow(pool, executor, "connection (waits only if none is idle)", dashed=True),
        Arrow(executor, executor, "decorate(command)"),
        Arrow(executor, connection, "send, receive"),
        Arrow(connection, executor, "reply", dashed=True),
        Arrow(executor, executor, "learn from the reply"),
        Arrow(executor, pool, "check_in(connection)"),
        Arrow(executor, collection, "operation.parse(reply)", dashed=True),
    ]
    return lifelines("The way of a command", [collection, executor, topology, pool, connection], arrows)


def pin_table(effects: Mapping[PinEvent, PinEffect] = EFFECTS) -> str:
    """The same as a table."""
    lines = ["| what happens | the pin |", "|---|---|"]
    lines += [f"| {event.value} | {effect.value} |" for event, effect in effects.items()]
    return "\n".join(lines)


def error_tree() -> str:
    """All error classes under their root, each with the first line of its docstring."""
    return "\n".join(_branch(errors.DriverError, 0))


def _branch(kind: type[Exception], depth: int) -> list[str]:
    summary = (kind.__doc__ or "").strip().partition("\n")[0]
    lines = [f"{'    ' * depth}- `{kind.__name__}`: {summary}"]
    for inner in kind.__subclasses__():
        if inner.__module__ == errors.__name__:
            lines += _branch(inner, depth + 1)
    return lines


def difference_table(known: Sequence[Known] = KNOWN) -> str:
    """What differs from PyMongo: the table that the differential tests check both drivers against."""
    lines = ["| PyMongo | here | why |", "|---|---|---|"]
    for row in known:
        cells = (row.elsewhere, row.here, row.reason)
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines)


def option_tables(groups: Mapping[str, Mapping[str, Meaning]] = GROUPS) -> str:
    """A table for each group of a client's options: what each means, its values, its default, where it is specified."""
    rows = {option.name: option for option in OPTIONS}
    tables = []
    for heading, meanings in groups.items():
        lines = [
            f"## {heading}",
            "",
            "| option | meaning | values | default | in a connection string | specification |",
        ]
        lines.append("|---|---|---|---|---|---|")
        for name, meaning in meanings.items():
            cells = _option_cells(rows[name], meaning)
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
        tables.append("\n".join(lines))
    return "\n\n".join(tables)


def _option_cells(option: Option, meaning: Meaning) -> tuple[str, ...]:
    name = f'<span id="{option.name}"></span>`{option.name}`'
    if option.aliases:
        name += "<br>also " + ", ".join(f"`{alias}`" for alias in option.aliases)
    if option.outdated:
        name += "<br>formerly " + ", ".join(f"`{alias}`" for alias in option.outdated)
    values = f"{option.kind.accepts} ({meaning.unit})" if meaning.unit else option.kind.accepts
    spelling = f"`{meaning.spelling}`" if meaning.spelling else _KEYWORD_ONLY.get(option.name, "a keyword only")
    return name, meaning.text, values, default_of(meaning), spelling, meaning.spec


def parameter_table() -> str:
    """The parameters of a client that are no options, as its docstring describes them."""
    described = dict(re.findall(r"^:param (\w+): (.*(?:\n {4,}.*)*)", inspect.getdoc(Client) or "", re.MULTILINE))
    lines = ["| parameter | meaning | default |", "|---|---|---|"]
    listed = {name.lower() for option in OPTIONS for name in (option.name, *option.aliases)}
    for name, parameter in inspect.signature(Client).parameters.items():
        if name.lower() in listed or parameter.kind is parameter.VAR_KEYWORD:
            continue
        meaning = re.sub(r":\w+:`|``", "`", " ".join(described[name].split())).replace("|", "\\|")
        lines.append(
            f"| `{name}` | {meaning} | {'not set' if parameter.default in (None, ()) else parameter.default} |"
        )
    return "\n".join(lines)


_KEYWORD_ONLY = {"username": "`mongodb://user:password@host`", "password": "`mongodb://user:password@host`"}


def default_of(meaning: Meaning) -> str:
    """The default in words: the value, or what happens without one."""
    if meaning.default is None:
        return meaning.otherwise or "not set"
    if isinstance(meaning.default, bool):
        return f"`{str(meaning.default).lower()}`"
    if meaning.default == 0 and "0 sets no limit" in meaning.text:
        return "no limit"
    if isinstance(meaning.default, int):
        return f"{meaning.default:,}" + (" ms" if meaning.unit == "milliseconds" else "")
    if isinstance(meaning.default, type):
        return f"`{meaning.default.__name__}`"
    return f"`{meaning.default}`" if meaning.default else "none"


#: The generated parts by name; a page includes one between its two markers.
PARTS: Mapping[str, Callable[[], str]] = {
    "state table": state_table,
    "pin table": pin_table,
    "error tree": error_tree,
    "differences from PyMongo": difference_table,
    "client options": option_tables,
    "client parameters": parameter_table,
    "command line usage": command_line.usage,
}

#: The drawings by the names of their files; pages show them as images.
DRAWINGS: Mapping[str, Callable[[], str]] = {
    "images/transaction-states.svg": state_drawing,
    "images/pinning.svg": pin_drawing,
    "images/command.svg": command_drawing,
}

_PART = re.compile(r"(<!-- generated: (?P<name>[A-Za-z ]+) -->).*?(<!-- end of (?P=name) -->)", re.DOTALL)


def regenerate(text: str) -> str:
    """A page with all its generated parts regenerated.

    :raises KeyError: it has markers of a part that does not exist.
    """
    return _PART.sub(lambda found: f"{found[1]}\n\n{PARTS[found['name']]()}\n\n{found[3]}", text)


def outdated(folder: Path = DOCS) -> dict[Path, str]:
    """The pages and drawings that are out of date, with their new contents."""
    pages = {path: path.read_text(encoding="utf-8") for path in sorted(folder.rglob("*.md"))}
    fresh = {path: regenerate(text) for path, text in pages.items()}
    for name, draw in DRAWINGS.items():
        path = folder / name
        pages[path] = path.read_text(encoding="utf-8") if path.exists() else ""
        fresh[path] = draw()
    return {path: text for path, text in fresh.items() if text != pages[path]}


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; the result is the exit status."""
    line = argparse.ArgumentParser("python -m docs.generate", description=__doc__)
    line.add_argument("--check", action="store_true", help="write nothing; exit with 1 if something is out of date")
    check: bool = line.parse_args(arguments).check
    pages = outdated()
    for path, fresh in pages.items():
        if check:
            print(f"{path.name} is out of date: run `python -m docs.generate`", file=sys.stderr)
        else:
            path.parent.mkdir(exist_ok=True)
            path.write_text(fresh, encoding="utf-8")
            print(f"{path.name} is up to date now")
    return 1 if check and pages else 0


if __name__ == "__main__":
    sys.exit(main())
