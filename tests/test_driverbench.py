"""MongoDB's driver benchmark: its arithmetic as tables, its checks on wrong results, and one small real run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import anyio
import pytest

from benchmarks.driverbench import memory, report
from benchmarks.driverbench.__main__ import main
from benchmarks.driverbench.data import DataSets
from benchmarks.driverbench.drivers import DRIVERS, OpenDriver
from benchmarks.driverbench.memory import Footprint
from benchmarks.driverbench.referee import Referee
from benchmarks.driverbench.rounds import Outcome, Selection
from benchmarks.driverbench.scores import TARGETS, Contender, Sample, Target, composites, judge, percentile, scores
from benchmarks.driverbench.tasks import TASKS, WrongResult
from spec_tests.suites import SpecsMissing, find_specs
from wiredrv.local import ReplicaSet

WIREDRV, PYMONGO = Contender("wiredrv", "asyncio"), Contender("pymongo", "asyncio")


def sample(contender: Contender, seconds: float, *, round_number: int = 1, task: str = "find many") -> Sample:
    return Sample(task, contender, round_number, 10.0, seconds, seconds / 2)


@pytest.mark.parametrize(
    ("seconds", "number", "expected"),
    [
        ([3.0, 1.0, 2.0, 4.0], 50, 2.0),
        ([3.0, 1.0, 2.0, 4.0], 99, 3.0),
        ([3.0, 1.0, 2.0, 4.0], 10, 1.0),
        ([5.0], 50, 5.0),
        ([float(number) for number in range(1, 101)], 98, 98.0),
    ],
)
def test_percentiles_are_the_specifications_nearest_rank(
    seconds: Sequence[float], number: int, expected: float
) -> None:
    assert percentile(seconds, number) == expected


def test_a_score_is_megabytes_over_the_median_and_ratios_are_taken_within_rounds() -> None:
    mine = [sample(WIREDRV, seconds, round_number=number) for number, seconds in enumerate((1.0, 2.0, 8.0))]
    # The machine was four times slower in the last round, for both.
    theirs = [sample(PYMONGO, seconds, round_number=number) for number, seconds in enumerate((2.0, 4.0, 16.0))]
    first, second = scores([*mine, *theirs])
    assert (first.contender, first.rounds, first.megabytes_per_second) == (WIREDRV, 3, 10.0)
    assert (first.ratio, first.cpu_ratio, second.ratio) == (2.0, 0.5, 1.0)
    assert first.cpu_ms == 1000.0


def test_without_the_baseline_there_is_no_ratio() -> None:
    (score,) = scores([sample(WIREDRV, 1.0)])
    assert (score.ratio, score.cpu_ratio) == (None, None)


def test_composites_are_averages_over_the_tasks_that_were_measured() -> None:
    reads = [sample(WIREDRV, 1.0, task="find one by id"), sample(WIREDRV, 2.0, task="find many")]
    writes = [sample(WIREDRV, 5.0, task="small insert one")]
    found = composites(scores([*reads, *writes]))["wiredrv"]
    assert found["ReadBench"] == (10.0 + 5.0) / 2
    assert found["WriteBench"] == 2.0
    assert found["DriverBench"] == (7.5 + 2.0) / 2
    assert found["SingleBench"] == (10.0 + 2.0) / 2


def test_who_lacks_a_task_of_a_composite_lacks_the_composite() -> None:
    samples = [sample(WIREDRV, 1.0), sample(PYMONGO, 1.0), sample(WIREDRV, 1.0, task="find one by id")]
    found = composites(scores(samples))
    assert "ReadBench" in found["wiredrv"]
    assert "ReadBench" not in found["pymongo"]


@pytest.mark.parametrize(
    ("seconds", "met"),
    [((1.0, 2.0), (True, True)), ((2.0, 2.0), (False, False)), ((1.0, 1.4), (False, True))],
)
def test_a_target_has_a_verdict_for_speed_and_one_for_processor_time(
    seconds: tuple[float, float], met: tuple[bool, bool]
) -> None:
    found = scores([sample(WIREDRV, seconds[0]), sample(PYMONGO, seconds[1])])
    verdicts = judge(found, [Target("find many", WIREDRV, 1.5, 0.9)])
    assert tuple(verdict.met for verdict in verdicts) == met


def test_what_was_not_measured_is_not_met() -> None:
    verdicts = judge([])
    assert len(verdicts) >= len(TARGETS)
    assert not any(verdict.met for verdict in verdicts)


def test_every_target_names_a_task_and_a_driver() -> None:
    for target in TARGETS:
        assert DRIVERS[target.contender.driver].able(TASKS[target.task].name)


@pytest.mark.parametrize(
    ("task", "contenders"),
    [
        ("find many", ["wiredrv", "wiredrv, prefetch", "pymongo", "motor", "mongojet"]),
        ("small collection bulk", ["wiredrv", "pymongo", "motor"]),
        ("small client bulk", ["wiredrv", "pymongo"]),
        ("GridFS upload", ["wiredrv", "pymongo", "motor", "mongojet"]),
    ],
)
def test_a_task_is_given_to_those_that_can_do_it(task: str, contenders: list[str]) -> None:
    selection = Selection([task], list(DRIVERS), ["asyncio"], 1, False)
    assert [str(contender) for contender in selection.contenders(task)] == contenders


def test_on_trio_only_wiredrv_runs() -> None:
    selection = Selection(["find many"], list(DRIVERS), ["trio"], 1, False)
    assert [str(one) for one in selection.contenders("find many")] == ["wiredrv on trio", "wiredrv, prefetch on trio"]


class _Losing:
    """A driver that loses documents and bytes."""

    async def find_one(self, key: int) -> None:
        return None

    async def count_found(self, query: dict[str, Any]) -> int:
        return 9_999

    async def download(self, name: str) -> bytes:
        return b"short"


@pytest.mark.parametrize("task", ["find one by id", "find many", "GridFS download"])
def test_a_driver_that_loses_something_is_noticed(task: str, tmp_path: Path) -> None:
    folder = tmp_path / "single_and_multi_document"
    folder.mkdir()
    (folder / "gridfs_large.bin").write_bytes(bytes(1_000))
    operations = TASKS[task].operations(full=False)
    iteration = TASKS[task].prepare(cast(OpenDriver, _Losing()), DataSets(tmp_path), operations)

    async def run() -> None:
        await iteration()

    with pytest.raises(WrongResult):
        anyio.run(run)


def test_the_referee_notices_documents_that_were_not_inserted(replica_set: ReplicaSet, tmp_path: Path) -> None:
    task = TASKS["small bulk insert"]
    with Referee(replica_set.uri, DataSets(tmp_path)) as referee:
        referee.prepare(task, 3)
        referee.corpus.insert_many([{}, {}])
        with pytest.raises(WrongResult, match="holds 2 documents, not 3"):
            referee.verify(task, 3)
        referee.corpus.insert_one({})
        referee.verify(task, 3)


class SlowPool:
    """A client whose pool makes so many connections while a command takes a second; other commands wait for those."""

    def __init__(self, per_second: int) -> None:
        self.open = 1
        self.waited: list[int] = []
        self._per_second = per_second

    async def run_command(self, command: dict[str, Any]) -> Any:
        milliseconds = command.get("maxAwaitTimeMS", 0)
        if milliseconds and milliseconds not in self.waited:
            self.waited.append(milliseconds)
            self.open = min(200, self.open + self._per_second * milliseconds // 1000)
        return {"connections": {"current": 10 + self.open}, "topologyVersion": {}}


@pytest.mark.parametrize(("per_second", "rounds"), [(1000, 1), (180, 2), (60, 3)])
def test_memory_is_divided_by_the_connections_that_there_really_are(per_second: int, rounds: int) -> None:
    pool = SlowPool(per_second)
    added = anyio.run(memory.fill_pool, pool)
    assert added == pool.open - 1 >= 190
    assert len(pool.waited) == rounds


def test_memory_of_a_pool_that_does_not_grow_is_not_measured() -> None:
    with pytest.raises(RuntimeError, match="200 were wanted"):
        anyio.run(memory.fill_pool, SlowPool(10))


class TestThePage:
    found = scores([sample(WIREDRV, 1.0), sample(PYMONGO, 2.0)])
    outcome = Outcome(unavailable={"small client bulk": "needs server 8.0"}, server_version="6.0.5")
    memory = (Footprint("wiredrv", 50_000, 11_000, 60e6),)

    def test_has_the_table_between_its_marks_and_a_chart_beside_it(self, tmp_path: Path) -> None:
        page = tmp_path / "speed.md"
        page.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n")
        (tmp_path / "images").mkdir()
        report.write_docs(page, self.outcome, self.found, self.memory)
        text = page.read_text()
        assert text.startswith("before\n")
        assert text.endswith("after\n")
        assert "old" not in text
        assert "| find many | 10.0 (2.00; CPU 0.50) | 5.0 (1.00; CPU 1.00) |" in text
        assert "| wiredrv | 50 | 11.0 | 60.0 |" in text
        assert "Not measured on server 6.0.5: small client bulk needs server 8.0." in text
        assert ">2.00</text>" in (tmp_path / report.CHART).read_text()

    def test_without_marks_is_left_alone(self, tmp_path: Path) -> None:
        page = tmp_path / "speed.md"
        page.write_text("nothing\n")
        with pytest.raises(ValueError, match="does not contain"):
            report.write_docs(page, self.outcome, self.found, self.memory)
        assert page.read_text() == "nothing\n"


def test_a_small_real_run(replica_set: ReplicaSet, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        find_specs()
    except SpecsMissing as error:
        pytest.skip(str(error))
    file = tmp_path / "run.json"
    selection = ["--task", "large bulk insert", "--task", "small client bulk", "--rounds", "1", "--no-memory"]
    drivers = ["--driver", "wiredrv", "--driver", "pymongo", "--backend", "asyncio", "--backend", "trio"]
    assert main([*selection, *drivers, "--uri", replica_set.uri, "--json", str(file)]) == 0
    written = json.loads(file.read_text())
    assert [score["contender"] for score in written["scores"]] == ["pymongo", "wiredrv on trio", "wiredrv"]
    assert all(score["megabytes_per_second"] > 0 for score in written["scores"])
    assert written["unavailable"] == {"small client bulk": "needs server 8.0"}
    assert "large bulk insert" in capsys.readouterr().out


def test_without_the_data_the_message_says_how_to_get_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--specs", str(tmp_path)]) == 2
    assert "make specs" in capsys.readouterr().err
