"""Writes the parts of the documentation that are drawn from the code: state tables, diagrams, the tree of errors.

``python -m docs.generate`` rewrites what stands between the markers of the pages; with ``--check`` it only tells
whether that would change anything, and exits with 1 if it would. Everything else in the pages is written by hand.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from wiredrv import errors
from wiredrv.session.pinning import EFFECTS, PinEffect, PinEvent
from wiredrv.session.transaction import TRANSITIONS, TransactionEvent, TransactionState

DOCS = Path(__file__).resolve().parent

Transitions = Mapping[tuple[TransactionState, TransactionEvent], TransactionState | str]


def state_diagram(table: Transitions = TRANSITIONS) -> str:
    """The transaction's states as a Mermaid diagram; events that lead the same way share an arrow."""
    arrows: dict[tuple[TransactionState, TransactionState], list[str]] = {}
    for (state, event), outcome in table.items():
        if isinstance(outcome, TransactionState):
            arrows.setdefault((state, outcome), []).append(event.value)
    lines = ["stateDiagram-v2", f"    [*] --> {TransactionState.NONE.name}"]
    lines += [f"    {state.name} : {state.value}" for state in TransactionState]
    lines += [f"    {here.name} --> {there.name} : {', '.join(names)}" for (here, there), names in arrows.items()]
    return _mermaid(lines)


def state_table(table: Transitions = TRANSITIONS) -> str:
    """The same as a table with a row for each state; a refusal is the error's own message."""
    lines = [
        "| state | " + " | ".join(event.value for event in TransactionEvent) + " |",
        "|---" * (len(TransactionEvent) + 1) + "|",
    ]
    for state in TransactionState:
        cells = [_outcome(table.get((state, event))) for event in TransactionEvent]
        lines.append(f"| **{state.value}** | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _outcome(outcome: TransactionState | str | None) -> str:
    if isinstance(outcome, TransactionState):
        return outcome.value
    return f"error: “{outcome}”" if outcome else "cannot happen"


def pin_diagram(effects: Mapping[PinEvent, PinEffect] = EFFECTS) -> str:
    """When a session is pinned and when it is let go, as a Mermaid diagram."""
    arrows = {
        PinEffect.PIN: "FREE --> PINNED",
        PinEffect.KEEP: "PINNED --> PINNED",
        PinEffect.UNPIN: "PINNED --> FREE",
    }
    lines = ["stateDiagram-v2", "    [*] --> FREE", "    FREE : not pinned", "    PINNED : pinned"]
    lines += [f"    {arrows[effect]} : {event.value}" for event, effect in effects.items()]
    return _mermaid(lines)


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


def _mermaid(lines: Sequence[str]) -> str:
    return "\n".join(["```mermaid", *lines, "```"])


#: The generated parts by name; a page takes one in by its two markers.
PARTS: Mapping[str, Callable[[], str]] = {
    "state diagram": state_diagram,
    "state table": state_table,
    "pin diagram": pin_diagram,
    "pin table": pin_table,
    "error tree": error_tree,
}

_PART = re.compile(r"(<!-- generated: (?P<name>[a-z ]+) -->).*?(<!-- end of (?P=name) -->)", re.DOTALL)


def regenerate(text: str) -> str:
    """A page with all its generated parts made anew.

    :raises KeyError: it has markers of a part that does not exist.
    """
    return _PART.sub(lambda found: f"{found[1]}\n\n{PARTS[found['name']]()}\n\n{found[3]}", text)


def outdated(folder: Path = DOCS) -> dict[Path, str]:
    """The pages whose generated parts are not what they would be now, with what they would be."""
    pages = {path: path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.md"))}
    return {path: fresh for path, text in pages.items() if (fresh := regenerate(text)) != text}


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
            path.write_text(fresh, encoding="utf-8")
            print(f"{path.name} is up to date now")
    return 1 if check and pages else 0


if __name__ == "__main__":
    sys.exit(main())
