"""The prompt of ``wiredrv shell``: reads code, has it run, prints what it evaluates to or raises."""

from __future__ import annotations

import ast
import code
import datetime
import inspect
import os
import pprint
import shutil
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import CodeType

import anyio
import bson

import wiredrv
from wiredrv.cli._shell_runner import Interrupted, Runner
from wiredrv.client.client import Client
from wiredrv.client.sessions.client_session import ClientSession
from wiredrv.errors import ConfigurationError, DriverError

_AWAITS = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
_FILE = "<wiredrv shell>"
_HISTORY_LINES = 2_000


def names_at_hand(client: Client, session: ClientSession, backend: str) -> dict[str, object]:
    """The names that the code finds."""
    try:
        database = client.get_default_database()
    except ConfigurationError:
        database = client.get_database("test")
    return {
        "__name__": "__main__",
        "__builtins__": __builtins__,
        "wiredrv": wiredrv,
        "client": client,
        "db": database,
        "session": session,
        "anyio": anyio,
        backend: __import__(backend),
        "bson": bson,
        "ObjectId": bson.ObjectId,
        "datetime": datetime.datetime,
    }


class Console(code.InteractiveConsole):
    """Reads code and runs it.

    :param runner: what runs it.
    """

    def __init__(self, runner: Runner) -> None:
        super().__init__(runner.names, filename=_FILE)
        self._runner = runner
        self._displayhook, sys.displayhook = sys.displayhook, self._show
        self.compile.compiler.flags |= _AWAITS

    def close(self) -> None:
        """Undo what the console changed in this process."""
        sys.displayhook = self._displayhook

    def talk(self, greeting: str) -> int:
        """Read code from the terminal until Ctrl-D or ``exit()``; return the exit status."""
        save = _with_history(self._runner.names)
        try:
            self.interact(greeting, exitmsg="")
            return 0
        except SystemExit as ended:
            return _status(ended)
        finally:
            save()

    def run_text(self, text: str) -> int:
        """Run code that is given as a whole; return the exit status."""
        try:
            module = compile(text, _FILE, "exec", ast.PyCF_ONLY_AST | _AWAITS)
            # As at the prompt, what an expression evaluates to is printed.
            self._runner.run(compile(ast.Interactive(module.body), _FILE, "single", _AWAITS))
            return 0
        except SyntaxError:
            self.showsyntaxerror(_FILE)
        except SystemExit as ended:
            return _status(ended)
        except Interrupted:
            raise KeyboardInterrupt from None
        except BaseException as error:
            self._show_error(error)
        return 1

    def runcode(self, code: CodeType) -> None:
        """Run what was typed."""
        try:
            self._runner.run(code)
        except SystemExit:
            raise
        except Interrupted:
            self.write("\nInterrupted\n")
        except BaseException as error:
            self._show_error(error)

    def _show(self, value: object) -> None:
        """Print what an expression evaluates to, and keep it as ``_``."""
        if value is None:
            return
        self._runner.names["_"] = value
        if inspect.iscoroutine(value):
            value.close()
            print(f"{value.__qualname__}() was not run: write `await` before it")
        elif hasattr(type(value), "to_list"):  # a client and a database have every attribute
            print(f"{value!r}\nA cursor: `await _.to_list()` reads its documents")
        else:
            pprint.pprint(value, sort_dicts=False, width=_width())

    def _show_error(self, error: BaseException) -> None:
        """Print an error with the lines of the code that was typed, and without those of the shell.

        An error of the driver says what to do: where in the driver it was raised does not help.
        """
        shown = traceback.TracebackException.from_exception(error)
        frames = list(shown.stack)
        first = next((at for at, frame in enumerate(frames) if frame.filename == _FILE), 0)
        if isinstance(error, DriverError):
            frames = [frame for frame in frames if frame.filename == _FILE]
            shown.__cause__ = shown.__context__ = None
        else:
            frames = frames[first:]
        shown.stack = traceback.StackSummary.from_list(frames)
        self.write("".join(shown.format()))


def _width() -> int:
    return max(shutil.get_terminal_size().columns, 40)


def _status(ended: SystemExit) -> int:
    """The exit status that ``exit()`` asks for."""
    if ended.code is None or isinstance(ended.code, int):
        return ended.code or 0
    print(ended.code, file=sys.stderr)
    return 1


def _with_history(names: dict[str, object]) -> Callable[[], None]:
    """Complete names and recall what was typed, also in earlier shells, where Python has readline.

    :returns: saves what was typed.
    """
    try:
        import readline
        import rlcompleter
    except ImportError:
        return lambda: None
    readline.set_completer(rlcompleter.Completer(names).complete)
    readline.parse_and_bind("bind ^I rl_complete" if "libedit" in (readline.__doc__ or "") else "tab: complete")
    file = history_file()
    with suppress(OSError):
        readline.read_history_file(file)
    readline.set_history_length(_HISTORY_LINES)

    def save() -> None:
        with suppress(OSError):
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch(mode=0o600)  # what is typed may be secret
            readline.write_history_file(file)

    return save


def history_file() -> Path:
    """Where what was typed is kept: in the folder of the user's state (XDG Base Directory Specification)."""
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "wiredrv" / "shell_history"
