"""Finding the specifications and their suites, the plan of a run, and the command line's refusals."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from spec_tests import suites
from spec_tests.__main__ import main
from spec_tests.data.case import DataCase
from spec_tests.errors import SpecFailure, Unsupported
from spec_tests.suites import SpecsMissing, discover, find_specs

TEST = {"description": "one", "operations": []}
FILE = {"description": "d", "schemaVersion": "1.0", "tests": [TEST]}


@pytest.fixture
def specs(tmp_path: Path) -> Path:
    """A repository with the format's own suite, one of unified files, and one of data."""
    for folder in (
        "unified-test-format/tests/valid-pass",
        "unified-test-format/tests/valid-fail",
        "crud/tests/unified",
    ):
        (tmp_path / "source" / folder).mkdir(parents=True)
        (tmp_path / "source" / folder / "file.json").write_text(json.dumps(FILE))
    (tmp_path / "source/benchmarking/tests").mkdir(parents=True)
    (tmp_path / "source/benchmarking/tests/data.json").write_text('{"tests": []}')
    return tmp_path


def test_the_repository_and_its_source_are_both_taken(specs: Path) -> None:
    assert find_specs(specs) == find_specs(specs / "source") == (specs / "source").resolve()


def test_the_environment_names_the_specifications(specs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WIREDRV_SPECS", str(specs))
    assert find_specs() == (specs / "source").resolve()


def test_a_place_that_was_named_is_the_only_one_looked_at(
    specs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(suites, "PLACES", (specs,))
    (tmp_path / "empty").mkdir()
    with pytest.raises(SpecsMissing):
        find_specs(tmp_path / "empty")
    monkeypatch.setenv("WIREDRV_SPECS", str(tmp_path / "empty"))
    with pytest.raises(SpecsMissing):
        find_specs()
    assert find_specs(specs) == (specs / "source").resolve(), "--specs comes before the environment"


def test_where_nothing_is_named_the_first_place_that_has_them_is_taken(
    specs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WIREDRV_SPECS", raising=False)
    fetched, beside = tmp_path / ".specifications", tmp_path / "shared" / "specifications"
    monkeypatch.setattr(suites, "PLACES", (fetched, beside))
    with pytest.raises(SpecsMissing) as caught:
        find_specs()
    assert str(caught.value).startswith(f"MongoDB's specifications are not at {fetched} or {beside}: ")
    (beside / "unified-test-format").mkdir(parents=True)
    assert find_specs() == beside.resolve()
    (fetched / "source" / "unified-test-format").mkdir(parents=True)
    assert find_specs() == (fetched / "source").resolve()


def test_what_make_specs_fetched_comes_before_a_folder_beside_the_repository() -> None:
    project = Path(__file__).resolve().parents[2]
    places = [project / ".specifications", project.parent / "shared" / "specifications"]
    assert list(suites.PLACES) == places


def test_without_specifications_one_is_told_how_to_get_them(tmp_path: Path) -> None:
    with pytest.raises(SpecsMissing, match="get them with `make specs`, or name a clone with --specs DIR or"):
        find_specs(tmp_path)


def test_suites_bear_the_names_of_their_folders(specs: Path) -> None:
    found = {suite.name: [path.parent.name for path in suite.files] for suite in discover(specs / "source")}
    assert found == {"crud": ["unified"], "unified-test-format": ["valid-pass"]}


@pytest.mark.parametrize("name", ["nothing", "benchmarking", "crud:data", "crud:other"])
def test_a_suite_that_does_not_exist_is_refused(specs: Path, name: str) -> None:
    with pytest.raises(SpecsMissing, match=name):
        discover(specs / "source", [name])


def test_the_command_line_says_what_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--specs", str(tmp_path)]) == 2
    assert "make specs" in capsys.readouterr().err


def test_a_text_that_no_test_contains_is_an_error(specs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--specs", str(specs), "--suite", "crud", "-k", "zzz"]) == 2
    assert "zzz" in capsys.readouterr().err


async def _passes() -> None: ...


async def _fails() -> None:
    raise SpecFailure("wrong", "a.b", 1, 2)


async def _lacks() -> None:
    raise Unsupported("option x", "refused by design")


async def _breaks() -> None:
    raise ZeroDivisionError


def _read(tests: Path) -> Iterator[DataCase]:
    for name, run in (("passes", _passes), ("fails", _fails), ("lacks", _lacks), ("breaks", _breaks)):
        yield DataCase("data.json", name, run)


@pytest.fixture
def data(specs: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The repository, with a reader for its data."""
    monkeypatch.setattr(suites, "DATA_SUITES", {"benchmarking": _read})
    return specs


def test_data_suites_run_without_a_server(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    assert main(["--specs", str(data), "--suite", "benchmarking", "--json", str(out), "--backend", "trio"]) == 1
    document: Any = json.loads(out.read_text())
    assert document["server_version"] is None
    assert document["suites"] == {"benchmarking:data": {"passed": 1, "failed": 2, "skipped": 0, "unsupported": 1}}
    assert [test["reason"] for test in document["tests"]] == [
        "",
        "a.b: wrong",
        "option x: refused by design",
        "ZeroDivisionError: ",
    ]


def test_a_run_without_failures_exits_with_zero(data: Path) -> None:
    assert main(["--specs", str(data), "--suite", "benchmarking:data", "-k", "passes"]) == 0


def test_a_run_can_stop_at_its_first_failure(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    assert main(["--specs", str(data), "--suite", "benchmarking", "-x", "--json", str(out)]) == 1
    assert [test["outcome"] for test in json.loads(out.read_text())["tests"]] == ["passed", "failed"]
