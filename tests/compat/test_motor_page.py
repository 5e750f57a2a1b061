"""The code of ``docs/coming-from-motor.md`` runs on Motor and on this driver, with the same results."""

from __future__ import annotations

import ast
import asyncio
import io
import re
import subprocess
import sys
import textwrap
import types
from collections.abc import Callable, Iterator
from inspect import isawaitable
from pathlib import Path
from typing import Any

import anyio.to_thread
import bson
import pytest
from motor import motor_asyncio

import wiredrv
from wiredrv.local import ReplicaSet

PAGE = Path(__file__).resolve().parents[2] / "docs" / "coming-from-motor.md"
DATABASE = "motor_page"


def _snippets() -> Iterator[tuple[str, str]]:
    """The code under each heading."""
    heading = ""
    for line in re.split(r"(?m)^(?=## |```python\n)", PAGE.read_text(encoding="utf-8")):
        if line.startswith("## "):
            heading = line.splitlines()[0].removeprefix("## ")
        elif line.startswith("```python\n"):
            yield heading, line.removeprefix("```python\n").partition("\n```")[0] + "\n"


SNIPPETS = dict(_snippets())
#: Variables whose values are those of one run: the event loop, an event with its time.
_OTHERS = ("loop", "change")
#: What needs the errors of this driver to be PyMongo's, for which a process of its own is started.
IN_A_PROCESS = ("", "Errors")


def test_the_page_has_its_sections() -> None:
    assert list(SNIPPETS) == [
        "",
        "The client",
        "Cursors",
        "Sessions and transactions",
        "Change streams",
        "GridFS",
        "Errors",
    ]
    assert len(list(_snippets())) == len(SNIPPETS)


async def _results(code: str, client: Any, bucket: Callable[..., Any], uri: str, make: Callable[..., Any]) -> Any:
    """Run a snippet, and return what its variables hold, where BSON can say it."""
    given = {"client": client, "db": client[DATABASE], "uri": uri, "asyncio": asyncio, "io": io}
    given |= {"AsyncIOMotorClient": make, "AsyncIOMotorGridFSBucket": bucket}
    names = dict(given)
    compiled = compile(code.replace('"shop"', repr(DATABASE)), str(PAGE), "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    running = types.FunctionType(compiled, names)()
    if isawaitable(running):
        await running
    return {name: value for name, value in names.items() if name not in {*given, *_OTHERS} and _is_plain(value)}


def _is_plain(value: object) -> bool:
    try:
        bson.encode({"": value})
    except bson.errors.InvalidDocument:
        return False
    return not isinstance(value, bson.ObjectId)


async def _on_motor(code: str, uri: str) -> Any:
    async def run() -> Any:
        client: Any = motor_asyncio.AsyncIOMotorClient(uri)
        try:
            return await _results(
                code, client, motor_asyncio.AsyncIOMotorGridFSBucket, uri, motor_asyncio.AsyncIOMotorClient
            )
        finally:
            await client.drop_database(DATABASE)
            client.close()

    return await anyio.to_thread.run_sync(lambda: asyncio.run(run()))


@pytest.mark.anyio
@pytest.mark.parametrize("heading", [name for name in SNIPPETS if name not in IN_A_PROCESS])
async def test_the_code_does_what_it_does_on_motor(replica_set: ReplicaSet, heading: str, anyio_backend: str) -> None:
    code = SNIPPETS[heading]
    if anyio_backend == "trio":
        code = code.replace("asyncio.get_running_loop()", "None")
    theirs = await _on_motor(SNIPPETS[heading], replica_set.uri)
    async with wiredrv.Client(replica_set.uri) as client:
        await client.drop_database(DATABASE)
        ours = await _results(code, client, wiredrv.GridFSBucket, replica_set.uri, wiredrv.Client)
        await client.drop_database(DATABASE)
    assert ours == theirs
    assert ours, "nothing was compared"


def test_the_imports_and_the_errors_work_in_a_program(replica_set: ReplicaSet) -> None:
    imports = SNIPPETS[""].partition("# after\n")[2]
    program = (
        f"import asyncio\nimport pymongo.errors\n{imports}\n"
        "async def main():\n"
        f"    client = AsyncIOMotorClient({replica_set.uri!r})\n"
        f"    db = client[{DATABASE!r}]\n"
        "    await db.orders.drop()\n"
        f"{textwrap.indent(SNIPPETS['Errors'], '    ')}\n"
        "    print(code)\n"
        "    await db.orders.drop()\n"
        "    await client.close()\n"
        "asyncio.run(main())\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)
    assert (done.stdout, done.stderr) == ("11000\n", "")
