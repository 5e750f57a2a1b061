"""Where the data of a run's servers are, and what its owner does when it ends."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from wiredrv.errors import InvalidOperation
from wiredrv.testing import owner
from wiredrv.testing.owner import Owner, called, in_memory
from wiredrv.testing.users_servers import for_one_host
from wiredrv.types import Address


def test_data_are_in_memory_where_there_is_room(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(owner, "_MEMORY", tmp_path)
    monkeypatch.delenv("TMPDIR", raising=False)
    room = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: room._replace(free=8 * 2**30))
    monkeypatch.setattr("os.sysconf", lambda name: 2**33 if name == "SC_AVPHYS_PAGES" else 1)
    assert in_memory() == tmp_path
    monkeypatch.setenv("TMPDIR", "/somewhere")
    assert in_memory() is None
    monkeypatch.delenv("TMPDIR")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: room._replace(free=2**30))
    assert in_memory() is None


def test_there_is_no_memory_to_use_where_there_is_no_such_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(owner, "_MEMORY", tmp_path / "absent")
    monkeypatch.delenv("TMPDIR", raising=False)
    assert in_memory() is None


def test_nothing_is_started_after_the_end_of_a_run() -> None:
    ended = Owner()
    ended.stop()
    with pytest.raises(InvalidOperation, match="the test run has ended"):
        ended.describe()


def test_only_what_servers_do_can_be_asked_for() -> None:
    with pytest.raises(InvalidOperation, match="servers have no 'stop'"):
        called(Owner(), "stop", ())


@pytest.mark.parametrize(
    "uri, one",
    [
        ("mongodb://a,b:2/?replicaSet=rs", "mongodb://c:3/?replicaSet=rs"),
        ("mongodb://a", "mongodb://c:3"),
        ("mongodb://ann:s%40cret@a,b/admin?tls=true", "mongodb://ann:s%40cret@c:3/admin?tls=true"),
    ],
)
def test_a_member_is_reached_with_the_options_of_the_connection_string(uri: str, one: str) -> None:
    assert for_one_host(uri, Address("c", 3)) == one


def test_a_member_cannot_be_reached_where_hosts_are_looked_up() -> None:
    with pytest.raises(InvalidOperation, match="name the members, as in mongodb://host1,host2/"):
        for_one_host("mongodb+srv://example.com", Address("c", 3))
