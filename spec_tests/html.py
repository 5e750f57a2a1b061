"""The static HTML report: an index of all tests, and a page for each failing or unsupported one.

Every page is self-contained, without external scripts, so that a folder of them can be kept or published as it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from itertools import zip_longest
from pathlib import Path
from typing import Any

from bson import json_util
from bson.json_util import RELAXED_JSON_OPTIONS

from spec_tests.results import EventsReport, Outcome, Report, TestResult, WireLine, unsupported_kinds
from spec_tests.timeline import records_of
from wiredrv.timeline.page import page_text

_MEANING = {
    Outcome.PASSED: "the driver did what the test expects",
    Outcome.FAILED: "it did not; each has a page that shows where",
    Outcome.SKIPPED: "the test itself says that it does not apply to this deployment",
    Outcome.UNSUPPORTED: "the driver, or this runner, lacks something that the test needs",
}

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8882; --bad: #c62828; --odd: #b26a00; --good: #2e7d32; }
@media (prefers-color-scheme: dark) { :root { --bad: #ff8a80; --odd: #ffcc80; --good: #a5d6a7; } }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 76rem; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin-bottom: .2rem } h2 { font-size: 1.1rem; margin-top: 2rem }
table { border-collapse: collapse; width: 100% } th, td { text-align: left; vertical-align: top;
  padding: .3rem .6rem; border-bottom: 1px solid var(--line) } th { font-weight: 600 }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; width: 7rem }
.events td.n { width: 2rem } .events td { width: 50% }
pre { margin: 0; white-space: pre-wrap; overflow-wrap: anywhere; font: 13px/1.45 ui-monospace, monospace }
code { font: 13px ui-monospace, monospace; overflow-wrap: anywhere }
.box { background: var(--soft); border-radius: 6px; padding: .6rem .8rem; margin: .4rem 0 }
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: 1rem } .pair > div { min-width: 0 }
.failed { color: var(--bad) } .unsupported { color: var(--odd) } .passed { color: var(--good) } .quiet { opacity: .65 }
tr.differs td { background: color-mix(in srgb, var(--bad) 12%, transparent) }
summary { cursor: pointer } details pre { margin: .3rem 0 .3rem 1rem }
ol, ul { padding-left: 1.4rem } details details { margin-left: 1rem } details > :not(summary) { margin-left: 1rem }
td, p, li, h1, summary, .box { overflow-wrap: anywhere }
iframe { box-sizing: border-box; width: 100%; height: 32rem; border: 1px solid var(--line); border-radius: 6px }
@media (max-width: 50rem) { .pair { grid-template-columns: 1fr } }
@media (max-width: 40rem) {
  body { margin: 1rem auto; padding: 0 .75rem }
  th, td { padding: .3rem .2rem } td.n, th.n { width: auto; font-size: 13px }
  .listed th { display: none } .listed td { display: block; border: 0; padding: 0 } .listed td:empty { display: none }
  .listed tr { display: block; padding: .4rem 0; border-bottom: 1px solid var(--line) }
  .listed td.n { text-align: left }
  details details, details > :not(summary), details pre { margin-left: .3rem }
}
"""


def write_html(report: Report, folder: Path) -> None:
    """Write the report into ``folder``; pages of an earlier report there are removed."""
    pages = folder / "tests"
    pages.mkdir(parents=True, exist_ok=True)
    for old in pages.glob("*.html"):
        old.unlink()
    listed = [r for r in report.results if r.outcome in (Outcome.FAILED, Outcome.UNSUPPORTED)]
    names = {id(result): f"{index:04}-{_slug(result)}.html" for index, result in enumerate(listed, 1)}
    for result in listed:
        (pages / names[id(result)]).write_text(_test_page(result), encoding="utf-8")
    (folder / "index.html").write_text(_index(report, listed, names), encoding="utf-8")


def _slug(result: TestResult) -> str:
    return re.sub(r"[^a-z0-9]+", "-", f"{result.suite} {result.description}".lower()).strip("-")[:80]


def _page(title: str, body: str) -> str:
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width"><title>{escape(title)}</title>'
        f"<style>{_STYLE}</style></head><body>{body}</body></html>\n"
    )


def _index(report: Report, listed: Sequence[TestResult], names: Mapping[int, str]) -> str:
    deployment = report.deployment
    where = "no server" if deployment is None else f"server {deployment.version}, {deployment.label}"
    body = f"<h1>Specification tests</h1><p class=quiet>{escape(where)}, {escape(report.backend)}</p>"
    body += _legend(report) + _suite_table(report)
    failed = [result for result in listed if result.outcome is Outcome.FAILED]
    if failed:
        body += f"<h2 class=failed id=failed>Failed ({len(failed)})</h2>{_tests(failed, names)}"
    lacking = [result for result in listed if result.outcome is Outcome.UNSUPPORTED]
    if lacking:
        body += f"<h2 class=unsupported id=unsupported>Unsupported ({len(lacking)})</h2>{_kinds(lacking, names)}"
    return _page("Specification tests", body + _skipped(report) + _passed(report))


def _legend(report: Report) -> str:
    """The totals and what they mean; each links to its tests."""
    counts = report.counts()
    items = ""
    for outcome, meaning in _MEANING.items():
        name, number = outcome.value, counts[outcome.value]
        head = f'<a href="#{name}">{number} {name}</a>' if number else f"{number} {name}"
        items += f"<li><b class={name}>{head}</b>: {escape(meaning)}"
    return f"<ul>{items}</ul>"


def _tests(results: Iterable[TestResult], names: Mapping[int, str]) -> str:
    rows = ""
    for result in results:
        link = f'<a href="tests/{names[id(result)]}">{escape(result.description)}</a>'
        rows += (
            f"<tr><td>{escape(result.suite)}<td>{link}<br><span class=quiet>{escape(result.file)}</span>"
            f"<td>{escape(result.reason[:400])}</tr>"
        )
    return f"<table class=listed><tr><th>suite<th>test<th>reason</tr>{rows}</table>"


def _suite_table(report: Report) -> str:
    heads = "".join(f"<th class=n>{outcome.value}" for outcome in Outcome)
    rows = ""
    for name in [*report.document()["suites"], None]:
        counts = report.counts(name)
        cells = "".join(f'<td class="n {o.value if counts[o.value] else "quiet"}">{counts[o.value]}' for o in Outcome)
        rows += f"<tr><td>{escape(name) if name is not None else '<b>all</b>'}{cells}</tr>"
    return f"<table><tr><th>suite{heads}</tr>{rows}</table>"


def _kinds(results: Sequence[TestResult], names: Mapping[int, str]) -> str:
    """A collapsible section for each kind, the most frequent first."""
    folds = ""
    for kind, reason, number in unsupported_kinds(results):
        detail = escape(reason.removeprefix(kind).lstrip(": "))
        tests = _tests([result for result in results if result.kind == kind], names)
        folds += (
            f"<details><summary><b>{number}</b> {escape(kind)} <span class=quiet>{detail}</span></summary>"
            f"{tests}</details>"
        )
    return folds


def _skipped(report: Report) -> str:
    reasons: dict[str, int] = {}
    for result in report.results:
        if result.outcome is Outcome.SKIPPED:
            reasons[result.reason] = reasons.get(result.reason, 0) + 1
    if not reasons:
        return ""
    items = "".join(
        f"<li><b>{number}</b> {escape(reason)}" for reason, number in sorted(reasons.items(), key=lambda item: -item[1])
    )
    by_suite = _by_suite(report, Outcome.SKIPPED)
    folds = "".join(_fold(suite, results, _with_reasons(results)) for suite, results in by_suite.items())
    return f"<h2 class=quiet id=skipped>Skipped ({sum(reasons.values())})</h2><ul>{items}</ul>{folds}"


def _passed(report: Report) -> str:
    by_suite = _by_suite(report, Outcome.PASSED)
    folds = "".join(_fold(suite, results, _by_file(results)) for suite, results in by_suite.items())
    number = sum(map(len, by_suite.values()))
    return f"<h2 class=passed id=passed>Passed ({number})</h2>{folds}" if number else ""


def _by_suite(report: Report, outcome: Outcome) -> Mapping[str, Sequence[TestResult]]:
    found: dict[str, list[TestResult]] = {}
    for result in report.results:
        if result.outcome is outcome:
            found.setdefault(result.suite, []).append(result)
    return found


def _fold(suite: str, results: Sequence[TestResult], body: str) -> str:
    return f"<details><summary><b>{len(results)}</b> {escape(suite)}</summary>{body}</details>"


def _with_reasons(results: Iterable[TestResult]) -> str:
    rows = "".join(
        f"<tr><td>{escape(result.description)}<br><span class=quiet>{escape(result.file)}</span>"
        f"<td>{escape(result.reason)}</tr>"
        for result in results
    )
    return f"<table class=listed><tr><th>test<th>reason</tr>{rows}</table>"


def _by_file(results: Iterable[TestResult]) -> str:
    files: dict[str, list[TestResult]] = {}
    for result in results:
        files.setdefault(result.file, []).append(result)
    return "".join(
        f"<p class=quiet>{escape(file)}</p><ul>{''.join(f'<li>{escape(test.description)}' for test in tests)}</ul>"
        for file, tests in files.items()
    )


def _test_page(result: TestResult) -> str:
    body = (
        f'<p><a href="../index.html">← all tests</a></p><h1>{escape(result.description)}</h1>'
        f"<p class=quiet>{escape(result.suite)} / {escape(result.file)}, {result.seconds:.2f} s</p>"
        f"<div class=box><b class={result.outcome.value}>{result.outcome.value}</b> {escape(result.reason)}</div>"
    )
    if result.outcome is Outcome.UNSUPPORTED:
        body += f"<p>Nothing was judged here: {_MEANING[Outcome.UNSUPPORTED]}. It counts as a debt, not as passed.</p>"
    if result.path:
        body += f"<p>key path: <code>{escape(result.path)}</code></p>"
    if result.outcome is Outcome.FAILED and (result.expected is not None or result.actual is not None):
        body += _pair("expected", _json(result.expected), "actual", _json(result.actual))
    for index, events in enumerate(result.events):
        body += _events(events, _guilty(result.path, index))
    if result.wire:
        body += f"<h2>On the wire</h2>{_timeline(result)}{_wire(result.wire)}"
    if result.traceback:
        body += f"<h2>Traceback</h2><div class=box><pre>{escape(result.traceback)}</pre></div>"
    return _page(f"{result.outcome.value}: {result.description}", body)


def _pair(left: str, one: str, right: str, other: str) -> str:
    return (
        f"<div class=pair><div><h2>{left}</h2><div class=box><pre>{escape(one)}</pre></div></div>"
        f"<div><h2>{right}</h2><div class=box><pre>{escape(other)}</pre></div></div></div>"
    )


def _guilty(path: str, group: int) -> int | None:
    """The event of a group that the key path of the mismatch points at."""
    found = re.match(rf"expectEvents\[{group}\]\.events\[(\d+)\]", path)
    return int(found.group(1)) if found is not None else None


def _events(events: EventsReport, guilty: int | None) -> str:
    rows = ""
    for index, (want, have) in enumerate(zip_longest(events.expected, events.actual)):
        differs = index == guilty or want is None or have is None or _differ(want, have)
        rows += (
            f'<tr class="{"differs" if differs else ""}"><td class=n>{index}'
            f"<td>{_event(want, differs)}<td>{_event(have, differs)}</tr>"
        )
    return (
        f"<h2>{escape(events.family)} events of {escape(events.client)}</h2>"
        f"<table class=events><tr><th><th>expected ({len(events.expected)})<th>actual ({len(events.actual)})</tr>"
        f"{rows}</table>"
    )


def _differ(want: Mapping[str, Any], have: Mapping[str, Any]) -> bool:
    """Whether two events clearly do not correspond: their kinds or their commands differ."""
    wanted, had = _command(want), _command(have)
    return list(want) != list(have) or (wanted != "" and had != "" and wanted != had)


def _command(event: Mapping[str, Any]) -> str:
    (body,) = event.values()
    return str(body.get("commandName") or next(iter(body.get("command") or {}), ""))


def _event(event: Mapping[str, Any] | None, unfolded: bool) -> str:
    if event is None:
        return "<span class=quiet>nothing</span>"
    ((name, body),) = event.items()
    command = _command(event)
    return (
        f"<details{' open' if unfolded else ''}><summary>{escape(name)} <b>{escape(command)}</b></summary>"
        f"<pre>{escape(_json(body))}</pre></details>"
    )


def _timeline(result: TestResult) -> str:
    """The timeline's own page in a frame: within this page, so that the file needs no other."""
    page = page_text(records_of(result.wire), title="The commands of this test")
    return f'<iframe title="Timeline of the commands" srcdoc="{escape(page)}"></iframe>'


def _wire(lines: Iterable[WireLine]) -> str:
    rows = ""
    for line in lines:
        kind = line.name.removeprefix("command").removesuffix("Event").lower()
        style = "failed" if kind == "failed" else ""
        body = {key: value for key, value in line.body.items() if key not in ("address", "connectionId")}
        shown = body.get("command", body.get("reply", body.get("failure")))
        rows += (
            f"<tr><td class=n>{line.seconds * 1000:.1f}<td>{escape(line.client)}"
            f"<td class='{style}'>{kind}<td><details><summary><b>{escape(str(body.get('commandName')))}</b> "
            f"{escape(str(body.get('databaseName')))}</summary><pre>{escape(_json(shown))}</pre></details>"
            f"<td>{escape(str(line.body.get('address')))} #{line.body.get('connectionId')}</tr>"
        )
    return f"<table class=listed><tr><th class=n>ms<th>client<th><th>command<th>connection</tr>{rows}</table>"


def _json(value: Any) -> str:
    try:
        return json_util.dumps(_plain(value), indent=2, json_options=RELAXED_JSON_OPTIONS, ensure_ascii=False)
    except TypeError:
        return repr(value)


def _plain(value: Any) -> Any:
    """A value that the JSON writer can write; errors and markers become strings."""
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    if isinstance(value, BaseException):
        return f"{type(value).__name__}: {value}"
    if type(value).__module__.partition(".")[0] in ("builtins", "bson", "datetime", "uuid", "re"):
        return value
    return repr(value)
