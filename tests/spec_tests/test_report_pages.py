"""The HTML report in a real browser: every test is found by its name, on a phone too, and failures have a timeline."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from bson import Timestamp
from bson.binary import Binary

from spec_tests.html import write_html
from spec_tests.requirements import Deployment
from spec_tests.results import Outcome, Report, TestResult, WireLine
from spec_tests.schema import Version
from spec_tests.timeline import records_of
from tests.support.browser import Windows

LSID = {"id": Binary(bytes(range(16)), 4)}


def _started(at: float, name: str, command: Mapping[str, Any], connection: int = 1) -> WireLine:
    body = {"commandName": name, "databaseName": "db", "command": {name: 1, "lsid": LSID, **command}}
    return WireLine(at, "client0", "commandStartedEvent", {**body, "address": "h:1", "connectionId": connection})


def _ended(at: float, name: str, connection: int = 1, **body: Any) -> WireLine:
    event = "commandFailedEvent" if "failure" in body else "commandSucceededEvent"
    return WireLine(at, "client0", event, {"commandName": name, **body, "address": "h:1", "connectionId": connection})


IN_TRANSACTION = {"txnNumber": 3, "autocommit": False}
REPLY = {"ok": 1, "operationTime": Timestamp(7, 1), "$clusterTime": {"clusterTime": Timestamp(7, 2)}}
WIRE = (
    _started(0.001, "insert", {"insert": "c", **IN_TRANSACTION, "startTransaction": True}),
    _started(0.002, "find", {"find": "</script><img src=x>"}, connection=2),
    _ended(0.003, "insert", reply=REPLY),
    _ended(0.004, "find", connection=2, failure="AutoReconnect: gone: away", code=6, errorLabels=["L"]),
    _started(0.005, "commitTransaction", IN_TRANSACTION),
    _ended(0.009, "commitTransaction", failure="NetworkTimeout: timed out"),
    _started(0.010, "getMore", {"getMore": 5, "collection": "c"}),
)


def test_the_events_of_a_test_become_a_timeline() -> None:
    header, insert, begin, find, commit, unknown, more = records_of(WIRE, "wiredrv")
    assert header == {"kind": "header", "version": 1, "driver": "wiredrv"}
    assert (insert["at"], insert["replied"], insert["ok"]) == (1000, 3000, True)
    assert (insert["collection"], insert["server"], insert["connection"], insert["client"]) == ("c", "h:1", 1, 1)
    assert (insert["session"], insert["transaction"]) == (bytes(range(16)).hex(), 3)
    assert (insert["cluster_time"], insert["operation_time"]) == ([7, 2], [7, 1])
    assert begin == {"kind": "transaction", "session": insert["session"], "number": 3, "event": "begin", "at": 1000}
    assert find["error"] == {"type": "AutoReconnect", "message": "gone: away", "code": 6, "labels": ["L"]}
    assert "transaction" not in find
    assert (unknown["event"], unknown["at"], unknown["error"]) == ("unknown", 9000, commit["error"])
    assert more["collection"] == "c"
    assert "replied" not in more
    assert "ok" not in more


def _report() -> Report:
    deployment = Deployment(Version(6, 0, 5), "replicaset")
    long = "a-suite-with-a-rather-long-name-indeed"
    results = [
        TestResult(long, "find.json", "it <works>", Outcome.PASSED),
        TestResult(long, "a/long/name/of/a/file-without-spaces/retryable-writes.json", "too", Outcome.PASSED),
        TestResult("crud", "find.json", "passes", Outcome.PASSED),
        TestResult("crud", "later.json", "later", Outcome.SKIPPED, "needs server 9.0.0 or later (this is 6.0.5)"),
        TestResult("crud", "grid.json", "grid", Outcome.UNSUPPORTED, "entity bucket: none yet", "entity bucket"),
        TestResult("crud", "bad.json", "bad", Outcome.FAILED, "operations[0]: " + "x" * 200, wire=WIRE, traceback="T"),
    ]
    return Report("trio", deployment, results, ["crud", long])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("report")
    write_html(_report(), found)
    return found


def test_passed_and_skipped_tests_are_listed_by_name_in_folds_of_their_suites(windows: Windows, folder: Path) -> None:
    page = windows.open(folder / "index.html")
    assert page.get_by_text("it <works>").is_hidden()
    page.click("text=3 passed")
    page.locator("#passed ~ details summary", has_text="a-suite-with").click()
    assert page.get_by_text("it <works>").is_visible()
    page.locator("#skipped ~ details summary").first.click()
    assert page.get_by_role("row").filter(has_text="later.json").filter(has_text="needs server 9.0.0").is_visible()


@pytest.mark.parametrize("dark", [False, True])
def test_every_page_fits_a_phone(windows: Windows, folder: Path, dark: bool) -> None:
    for path in (folder / "index.html", *(folder / "tests").iterdir()):
        page = windows.open(path, 400, 800, dark=dark)
        page.evaluate("() => document.querySelectorAll('details').forEach((fold) => { fold.open = true; })")
        assert page.evaluate("document.scrollingElement.scrollWidth") <= 400, path.name


def test_a_failed_test_shows_the_timeline_of_its_commands(windows: Windows, folder: Path) -> None:
    path = next(path for path in (folder / "tests").iterdir() if "bad" in path.name)
    page = windows.open(path)
    frame = page.frame_locator("iframe")
    frame.locator("html[data-ready]").wait_for()
    summary = frame.locator("#summary").inner_text()
    assert "4 commands · 1 session · 1 transaction · 2 errors" in summary
    frame.locator("#scroller").focus()
    page.keyboard.press("e")
    page.keyboard.press("Enter")
    assert "find db.</script><img src=x>" in frame.locator("#details h2").inner_text()
    assert page.locator("img").count() == 0
