"""The reports: JSON, JUnit, HTML, the table and the conformance page."""

from __future__ import annotations

import io
import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from spec_tests.conformance import BEGIN, END, update_conformance
from spec_tests.conformance import main as conformance_main
from spec_tests.html import write_html
from spec_tests.report import print_table, progress, write_json, write_junit
from spec_tests.requirements import Deployment
from spec_tests.results import EventsReport, Outcome, Report, TestResult, WireLine
from spec_tests.schema import Version

FAILED = TestResult(
    "crud",
    "unified/find.json",
    "find <fails>",
    Outcome.FAILED,
    "expectEvents[0].events[0].commandStartedEvent.command.find: expected 'a', not 'b\x00'",
    path="expectEvents[0].events[0].commandStartedEvent.command.find",
    expected="a",
    actual={"x": {"y": object}},
    traceback="Traceback …",
    events=(
        EventsReport(
            "client0",
            "command",
            ({"commandStartedEvent": {"commandName": "find"}},),
            (
                {"commandStartedEvent": {"commandName": "find"}},
                {"commandFailedEvent": {"commandName": "find"}},
            ),
        ),
    ),
    wire=(
        WireLine(0.01, "client0", "commandStartedEvent", {"commandName": "find", "command": {"find": "secret & co"}}),
        WireLine(0.02, "client0", "commandFailedEvent", {"commandName": "find", "failure": "AutoReconnect: gone"}),
    ),
)


def _report() -> Report:
    results = [
        TestResult("crud", "unified/find.json", "find", Outcome.PASSED, seconds=0.5),
        FAILED,
        TestResult("crud", "unified/find.json", "skipped", Outcome.SKIPPED, "needs server 9.0.0 or later"),
        TestResult("crud", "g.json", "grid", Outcome.UNSUPPORTED, "entity bucket: none yet", "entity bucket"),
        TestResult("crud", "g.json", "grid | 2", Outcome.UNSUPPORTED, "entity bucket: none yet", "entity bucket"),
    ]
    return Report("trio", Deployment(Version(6, 0, 5), "replicaset"), results, ["crud", "sessions"])


def test_the_json_has_the_promised_shape(tmp_path: Path) -> None:
    write_json(_report(), tmp_path / "new" / "results.json")
    document = json.loads((tmp_path / "new" / "results.json").read_text())
    assert list(document) == ["server_version", "topology", "backend", "driver", "suites", "tests"]
    assert (document["server_version"], document["topology"], document["backend"]) == ("6.0.5", "replicaset", "trio")
    assert document["suites"] == {
        "crud": {"passed": 1, "failed": 1, "skipped": 1, "unsupported": 2},
        "sessions": {"passed": 0, "failed": 0, "skipped": 0, "unsupported": 0},
    }
    assert document["tests"][0] == {
        "suite": "crud",
        "file": "unified/find.json",
        "description": "find",
        "outcome": "passed",
        "reason": "",
    }


def test_without_a_deployment_server_and_topology_are_null() -> None:
    document = Report("asyncio").document()
    assert document["server_version"] is None
    assert document["topology"] is None


def test_junit_counts_and_names_every_test(tmp_path: Path) -> None:
    write_junit(_report(), tmp_path / "junit.xml")
    suites = ET.parse(tmp_path / "junit.xml").getroot()
    suite = suites.findall("testsuite")[0]
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("5", "1", "3")
    assert len(suite.findall("testcase")) == 5
    failure = suite.find("testcase/failure")
    assert failure is not None
    assert "\\x00" in (failure.get("message") or "")
    kinds = [skipped.get("message") for skipped in suite.iter("skipped")]
    assert kinds[1:] == ["unsupported: entity bucket: none yet"] * 2


def test_the_html_has_an_index_and_a_page_for_each_failing_or_unsupported_test(tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "old.html").touch()
    write_html(_report(), tmp_path)
    pages = sorted(path.name for path in (tmp_path / "tests").iterdir())
    assert pages == ["0001-crud-find-fails.html", "0002-crud-grid.html", "0003-crud-grid-2.html"]
    index = (tmp_path / "index.html").read_text()
    assert all(page in index for page in pages)
    assert "find &lt;fails&gt;" in index
    page = (tmp_path / "tests" / pages[0]).read_text()
    for part in (FAILED.path, "secret &amp; co", "AutoReconnect: gone", "Traceback …", "expected (1)", "actual (2)"):
        assert part in page
    assert page.index("secret &amp; co") < page.index("AutoReconnect: gone")
    assert "<script" not in page


def test_the_html_leads_a_reader_from_the_sums_to_the_tests_and_folds_what_is_as_expected(tmp_path: Path) -> None:
    write_html(_report(), tmp_path)
    index = (tmp_path / "index.html").read_text()
    for name in ("failed", "skipped", "unsupported", "passed"):
        assert f'href="#{name}"' in index
        assert f"id={name}>" in index
    assert index.count("<details>") == 3, "a kind of unsupported tests, and a suite's skipped and passed ones"
    as_expected = TestResult(
        "crud",
        "find.json",
        "another command",
        Outcome.FAILED,
        events=(
            EventsReport(
                "client0",
                "command",
                ({"commandStartedEvent": {"commandName": "find"}}, {"commandStartedEvent": {"commandName": "find"}}),
                ({"commandStartedEvent": {"commandName": "find"}}, {"commandStartedEvent": {"commandName": "drop"}}),
            ),
        ),
    )
    write_html(Report("trio", None, [as_expected]), tmp_path)
    (page,) = (path.read_text() for path in (tmp_path / "tests").iterdir())
    folded, unfolded = page.split('<tr class="differs">')
    assert folded.count("<details>") == 2
    assert "<details open>" not in folded
    assert unfolded.count("<details open>") == 2


def test_the_table_lists_failures_kinds_of_unsupported_and_every_suite() -> None:
    out = io.StringIO()
    print_table(_report(), out)
    text = out.getvalue()
    assert "FAILED crud / unified/find.json / find <fails>" in text
    assert "2 entity bucket (none yet)" in text
    assert "server 6.0.5, replicaset, trio" in text
    rows = [line.split() for line in text.splitlines()]
    assert ["crud", "1", "1", "1", "2"] in rows
    assert ["sessions", "0", "0", "0", "0"] in rows
    assert ["all", "1", "1", "1", "2"] in rows


def test_off_a_terminal_progress_is_a_line_for_each_suite() -> None:
    out = io.StringIO()
    with progress(2, out) as hear:
        hear(FAILED)
        hear(FAILED)
    assert out.getvalue() == "running crud\n"


def test_the_conformance_page_keeps_what_others_wrote(tmp_path: Path) -> None:
    page = tmp_path / "conformance.md"
    page.write_text(f"# Conformance\n\nOur words.\n\n{BEGIN}\nold\n{END}\n\nMore words.\n")
    update_conformance(page, [_report()])
    text = page.read_text()
    assert "Our words." in text
    assert "More words." in text
    assert "old" not in text
    assert "| crud | 1 | 1 | 1 | 2 |" in text
    assert "| entity bucket: none yet | 2 | crud |" in text


def test_the_conformance_page_is_made_of_the_json_files_of_several_runs(tmp_path: Path) -> None:
    write_json(_report(), tmp_path / "one.json")
    write_json(Report("asyncio"), tmp_path / "two.json")
    page = tmp_path / "docs" / "conformance.md"
    assert conformance_main([str(page), str(tmp_path / "one.json"), str(tmp_path / "two.json")]) == 0
    assert "### replicaset, server 6.0.5, trio" in page.read_text()
    assert "### no server, asyncio" in page.read_text()


def test_a_page_without_the_markers_is_left_alone(tmp_path: Path) -> None:
    page = tmp_path / "conformance.md"
    page.write_text("mine")
    with pytest.raises(ValueError, match="lacks the lines"):
        update_conformance(page, [_report()])
    assert page.read_text() == "mine"
