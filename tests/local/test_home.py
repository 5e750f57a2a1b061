"""The directory of a deployment: temporary, or kept and reused."""

from __future__ import annotations

from pathlib import Path

import pytest

from wiredrv.errors import ConfigurationError
from wiredrv.local.home import Home, Record, fixed_ports

SET = Record("replica set", (27001, 27002, 27003))


@pytest.mark.parametrize(
    "record, port, ports",
    [
        (None, None, None),
        (None, 5000, (5000, 5001, 5002)),
        (None, 65533, (65533, 65534, 65535)),
        (SET, None, SET.ports),
        (SET, 27001, SET.ports),
    ],
)
def test_ports_are_those_of_the_directory_then_those_asked_for(
    record: Record | None, port: int | None, ports: tuple[int, ...] | None
) -> None:
    assert fixed_ports(record, "replica set", 3, port) == ports


@pytest.mark.parametrize(
    "record, kind, size, port, says",
    [
        (None, "replica set", 3, 0, "from 1 to 65535"),
        (None, "replica set", 3, 65534, "from 1 to 65535"),
        (SET, "replica set", 1, None, r"a replica set with 3 member\(s\), not a replica set with 1"),
        (SET, "standalone", 1, None, "not a standalone with 1"),
        (SET, "replica set", 3, 5000, "27001, 27002, 27003; leave the port out"),
    ],
)
def test_a_directory_of_another_deployment_is_refused(
    record: Record | None, kind: str, size: int, port: int | None, says: str
) -> None:
    with pytest.raises(ConfigurationError, match=says):
        fixed_ports(record, kind, size, port)


def test_a_temporary_directory_is_removed_with_all_it_holds() -> None:
    home = Home(None)
    (home.path / "member-1").mkdir()
    home.remember(SET)
    home.leave()
    assert not home.path.exists()


def test_a_given_directory_is_made_kept_and_remembers(tmp_path: Path) -> None:
    home = Home(tmp_path / "a" / "b")
    assert home.read_record() is None
    home.remember(SET)
    home.leave()
    assert Home(tmp_path / "a" / "b").read_record() == SET


def test_a_directory_with_other_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(ConfigurationError, match="holds other files"):
        Home(tmp_path).read_record()


@pytest.mark.parametrize("content", ["", "[]", '{"kind": "standalone"}', '{"kind": "standalone", "ports": ["x"]}'])
def test_a_damaged_record_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "deployment.json").write_text(content)
    with pytest.raises(ConfigurationError, match="damaged"):
        Home(tmp_path).read_record()


def test_a_file_in_the_directorys_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="cannot be used as a directory"):
        Home(tmp_path / "file")
