"""The command line: writes the modules, formatted by ruff, or compares them with the files."""

from __future__ import annotations

import argparse
import subprocess
import sys

from tools.synchronous.plan import MODULES, PACKAGE, ROOT
from tools.synchronous.source import read
from tools.synchronous.writer import Writer


def written(module: str) -> str:
    """The text of the synchronous module of an asynchronous one, formatted."""
    text = Writer(read(module), MODULES[module]).write()
    for command in (["check", "--select", "I,F401,F811", "--fix", "--quiet"], ["format", "--quiet"]):
        name = str(PACKAGE / "sync" / f"{MODULES[module]}.py")
        arguments = [sys.executable, "-m", "ruff", *command, "--stdin-filename", name, "-"]
        found = subprocess.run(arguments, input=text, capture_output=True, text=True, check=False, cwd=ROOT)
        if not found.stdout:
            raise SystemExit(f"{module}: {found.stderr}\n{text}")
        text = found.stdout
    return text


def main() -> None:
    """Write the modules, or compare them."""
    description = "Write the modules of wiredrv.sync from the asynchronous classes."
    parser = argparse.ArgumentParser(prog="python -m tools.synchronous", description=description)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a module is out of date")
    check = parser.parse_args().check
    stale = []
    for module, name in MODULES.items():
        path = PACKAGE / "sync" / f"{name}.py"
        text = written(module)
        if not path.exists() or path.read_text() != text:
            stale.append(name)
            if not check:
                path.write_text(text)
    if check and stale:
        raise SystemExit(f"out of date: {', '.join(stale)}; run python -m tools.synchronous")
    print(f"{len(MODULES)} modules, {len(stale)} {'out of date' if check else 'written'}")


if __name__ == "__main__":
    main()
