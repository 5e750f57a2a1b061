"""Takes the pictures of the page of a timeline, for ``docs/timeline.md``.

``python -m docs.screenshots`` opens the recording ``docs/images/timeline.jsonl`` in a Chromium. With ``--record``, it
first makes this recording anew, on a replica set that it starts. ``docs/images/timeline.txt`` says of which page the
pictures are: a test compares it.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread

import wiredrv
from docs.example import IMAGES, RECORDING, STATE, example_page, state
from tests.support.browser import Windows, started_browser
from wiredrv.client.client import Client
from wiredrv.client.sessions.client_session import ClientSession
from wiredrv.errors import DriverError
from wiredrv.local import ReplicaSet

if TYPE_CHECKING:
    from playwright.sync_api import Page

_PATIENCE = 10.0  # seconds


# --- the recording --------------------------------------------------------------------------------------------------


async def record() -> None:
    """Transfers that conflict, reads of secondaries, an election and a connection that breaks."""
    async with ReplicaSet(3, test_commands=True) as servers, Client(servers.uri, timeoutMS=10_000) as client:
        bank = client.bank
        await bank.accounts.insert_many([{"_id": account, "balance": 100} for account in range(8)])
        await bank.audit.insert_one({"note": "opened"})
        with wiredrv.record() as timeline:
            async with anyio.create_task_group() as tasks:
                for teller in range(3):
                    tasks.start_soon(_transfer, client, teller)
                tasks.start_soon(_watch, client)
                tasks.start_soon(_watch, client)
                await anyio.sleep(0.12)
                await anyio.to_thread.run_sync(_elect, servers)
                await anyio.sleep(0.1)
                await anyio.to_thread.run_sync(_break, servers)
        timeline.save(RECORDING)


async def _transfer(client: Client, teller: int) -> None:
    async with client.start_session() as session:
        for number in range(8):
            await session.with_transaction(partial(_move, client, teller, number))
            await client.bank.accounts.find_one({"_id": teller}, session=session)
            await anyio.sleep(0.01)


async def _move(client: Client, teller: int, number: int, session: ClientSession) -> None:
    accounts = client.bank.accounts
    # Every third transfer of all tellers is from one account.
    source = 0 if number % 3 == 0 else 1 + teller
    await accounts.find_one({"_id": source}, session=session)
    await accounts.update_one({"_id": source}, {"$inc": {"balance": -5}}, session=session)
    await anyio.sleep(0.006)
    await accounts.update_one({"_id": 5 + teller}, {"$inc": {"balance": 5}}, session=session)


async def _watch(client: Client) -> None:
    for number in range(14):
        await client.bank.audit.insert_one({"number": number})
        await client.bank.audit.find_one({"number": number})
        await anyio.sleep(0.02)


def _elect(servers: ReplicaSet) -> None:
    """Let another member become the primary."""
    before = servers.primary()
    other = next(server for server in servers.members if server is not before)
    with suppress(DriverError):
        other.ask({"replSetStepUp": 1}, _PATIENCE)


def _break(servers: ReplicaSet) -> None:
    """Let the primary close a connection instead of answering a commit."""
    data = {"failCommands": ["commitTransaction"], "closeConnection": True}
    servers.primary().ask({"configureFailPoint": "failCommand", "mode": {"times": 1}, "data": data}, _PATIENCE)


# --- the pictures ---------------------------------------------------------------------------------------------------


def take() -> None:
    """Open the page in a browser and write the pictures."""
    with tempfile.TemporaryDirectory() as folder, started_browser(scroll_bars=False) as browser:
        path = Path(folder) / "timeline.html"
        path.write_text(example_page(), encoding="utf-8")
        windows = Windows(browser)
        for name, dark, width, height in (
            ("light", False, 1200, 620),
            ("dark", True, 1200, 620),
            ("phone", False, 400, 760),
        ):
            page = windows.open(path, width, height, dark=dark)
            page.wait_for_selector("html[data-ready]")
            if name == "light":
                _zoom_to_the_election(page)
            else:
                _open_an_error(page)
            page.wait_for_timeout(200)
            page.screenshot(path=IMAGES / f"timeline-{name}.png")
        assert windows.complaints == [], windows.complaints
    STATE.write_text(state())


def _zoom_to_the_election(page: Page) -> None:
    """From the start to a little after the election, by a drag over the time scale."""
    records = [json.loads(line) for line in RECORDING.read_text(encoding="utf-8").splitlines()]
    elected = next(r["at"] for r in records if r.get("event") == "primary" and "server" in r)
    end = max(max(r.get("at", 0), r.get("replied", 0)) for r in records)
    scale = page.locator("#head").bounding_box()
    assert scale is not None
    y = scale["y"] + 10
    page.mouse.move(scale["x"] + 2, y)
    page.mouse.down()
    page.mouse.move(scale["x"] + scale["width"] * 1.3 * elected / end, y, steps=4)
    page.mouse.up()
    page.mouse.move(scale["x"], 2)


def _open_an_error(page: Page) -> None:
    """The first command that failed, with what was around it."""
    page.keyboard.press("e")
    page.keyboard.press("Enter")
    page.keyboard.press("z")
    for _ in range(3):
        page.keyboard.press("-")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser("python -m docs.screenshots", description=__doc__)
    parser.add_argument("--record", action="store_true", help="make the recording anew first")
    if parser.parse_args(arguments).record:
        anyio.run(record)
    take()
    return 0


if __name__ == "__main__":
    sys.exit(main())
