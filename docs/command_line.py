"""The usage of each command of ``wiredrv``, as tables, from the parsers themselves."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from wiredrv.cli.main import commands, load, parser_of

#: Options that every command has.
_OF_ALL = frozenset({"help"})


def usage(hidden: frozenset[str] = frozenset({"demo"})) -> str:
    """A section for each command: its usage, and a table of its arguments.

    :param hidden: commands that only say where something is.
    """
    parser = parser_of(load(name) for name in commands())
    parts = [
        part for name, inner in _actions(parser) if name not in hidden for part in _sections(f"wiredrv {name}", inner)
    ]
    return "\n\n".join(parts)


def described() -> dict[str, str]:
    """The commands, and what each does in a line."""
    parser = parser_of(load(name) for name in commands())
    return {choice.dest: choice.help or "" for action in _subparsers(parser) for choice in action._choices_actions}


def _subparsers(parser: argparse.ArgumentParser) -> list[argparse._SubParsersAction[argparse.ArgumentParser]]:
    return [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]


def _actions(parser: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    for action in _subparsers(parser):
        yield from action.choices.items()


def _sections(name: str, parser: argparse.ArgumentParser) -> Iterator[str]:
    inner = list(_actions(parser))
    if inner:
        for action, each in inner:
            yield from _sections(f"{name} {action}", each)
        return
    arguments = [
        action for action in parser._actions if action.dest not in _OF_ALL and action.help != argparse.SUPPRESS
    ]
    options = [action for action in arguments if action.option_strings]
    positional = [_written(action) for action in arguments if not action.option_strings]
    line = " ".join([name, *(["[options]"] if options else []), *positional])
    rows = [f"| `{_name(action)}` | {_meaning(action)} |" for action in arguments]
    table = "\n".join(["| argument | meaning |", "|---|---|", *rows])
    yield f"### `{name}`\n\n    {line}\n\n{table}"


def _name(action: argparse.Action) -> str:
    value = "" if action.nargs == 0 else f" {action.metavar or _choices(action) or action.dest.upper()}"
    return ", ".join(action.option_strings) + value if action.option_strings else str(action.metavar or action.dest)


def _written(action: argparse.Action) -> str:
    """A positional argument, as in a usage line."""
    name = str(action.metavar or action.dest)
    if action.nargs == argparse.OPTIONAL:
        return f"[{name}]"
    if action.nargs == argparse.ONE_OR_MORE:
        return f"{name}..."
    return f"[{name}...]" if action.nargs == argparse.ZERO_OR_MORE else name


def _choices(action: argparse.Action) -> str:
    return "{" + ",".join(map(str, action.choices)) + "}" if action.choices else ""


def _meaning(action: argparse.Action) -> str:
    return (action.help or "").replace("%%", "%").replace("|", "\\|")
