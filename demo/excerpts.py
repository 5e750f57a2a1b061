"""Which of thousands of commands are worth showing. Pure: entries in, a few entries out.

Every function returns an empty excerpt when nothing of its kind happened, which is shown as such.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from demo.timeline import Entry
from wiredrv.server_facts import ErrorCode

_STALE_SHOWN = 2
_READS_SHOWN = 3
_LONGEST_LIFE = 24


class Excerpt(NamedTuple):
    """A few entries under a title. ``left_out`` says what of the same kind is not shown."""

    title: str
    entries: tuple[Entry, ...]
    left_out: str = ""


def causal_read(entries: Iterable[Entry]) -> Excerpt:
    """A write of a session, the reads that did not wait for it, and the one that waited longest."""
    title = "a write, reads without a session, and the session's read with afterClusterTime"
    ordered = sorted(entries, key=lambda entry: entry.at)
    waited = [entry for entry in ordered if entry.name == "find" and entry.after is not None]
    if not waited:
        return Excerpt(title, ())
    causal = max(waited, key=lambda entry: entry.duration)
    end = causal.at + causal.duration
    own = [e for e in ordered if e.session == causal.session and e.name in ("insert", "update") and e.at < causal.at]
    since = own[-1].at if own else causal.at
    plain = [e for e in ordered if e.name == "find" and e.after is None and since <= e.at and e.at + e.duration <= end]
    shown = sorted([*own[-1:], causal, *plain[:_STALE_SHOWN]], key=lambda entry: entry.at)
    more = len(plain) - _STALE_SHOWN
    return Excerpt(title, tuple(shown), f"{more} more reads without a session meanwhile" if more > 0 else "")


def lives(entries: Iterable[Entry]) -> list[list[Entry]]:
    """The commands of transactions, a list for each life: one session's attempts up to and including its commit."""
    found: list[list[Entry]] = []
    open_lives: dict[str, list[Entry]] = {}
    for entry in sorted((e for e in entries if e.in_transaction), key=lambda entry: entry.at):
        life = open_lives.setdefault(entry.session, [])
        life.append(entry)
        if entry.name == "commitTransaction" and entry.failure is None:
            found.append(open_lives.pop(entry.session))
    return found


def conflict_and_retry(entries: Iterable[Entry]) -> Excerpt:
    """The shortest life of a transaction that met a conflict, and was committed at another attempt."""
    title = "one transfer: a write conflict, and the attempt that was committed"
    with_conflict = [
        life
        for life in lives(entries)
        if any(e.code == ErrorCode.WriteConflict for e in life) and not any(e.unanswered for e in life)
    ]
    return Excerpt(title, tuple(_shortest(with_conflict)))


def unanswered_commits(entries: Iterable[Entry]) -> list[list[Entry]]:
    """For every commit that got no reply: that commit, and what was sent later with the same transaction number."""
    by_transaction: dict[tuple[str, int | None], list[Entry]] = {}
    for entry in sorted(entries, key=lambda entry: entry.at):
        if entry.name == "commitTransaction":
            by_transaction.setdefault((entry.session, entry.txn_number), []).append(entry)
    return [commits for commits in by_transaction.values() if any(commit.unanswered for commit in commits)]


def across_failover(entries: Iterable[Entry]) -> Excerpt:
    """A transfer that the failover hit: preferably one whose commit got no reply, else any that began again."""
    found = [life for life in lives(entries) if any(e.unanswered for e in life) and len(life) <= _LONGEST_LIFE]
    commits = [life for life in found if any(e.unanswered and e.name == "commitTransaction" for e in life)]
    chosen = _shortest(commits or found)
    what = "a commit that got no answer, and what became of it" if commits else "a transfer that began again"
    return Excerpt(f"failover: {what}", tuple(chosen))


def snapshot_reads(entries: Iterable[Entry]) -> Excerpt:
    """The first reads of one snapshot session: one takes the snapshot, the others name its time."""
    title = "one snapshot: the first read takes it, the others name its time"
    snapshots: list[list[Entry]] = []
    latest: dict[str, list[Entry]] = {}
    for entry in sorted(entries, key=lambda entry: entry.at):
        if entry.snapshot and not entry.in_transaction:
            if entry.snapshot_time is None:
                # A new snapshot; its server session may have served another one before.
                latest[entry.session] = []
                snapshots.append(latest[entry.session])
            latest.setdefault(entry.session, []).append(entry)
    reads = next((found for found in snapshots if len(found) >= _READS_SHOWN), [])
    more = len(reads) - _READS_SHOWN
    return Excerpt(title, tuple(reads[:_READS_SHOWN]), f"{more} more reads of it" if more > 0 else "")


def _shortest(found: list[list[Entry]]) -> list[Entry]:
    return min(found, key=len) if found else []
