"""The benchmark's harness: its plan and arithmetic as tables, its checks on wrong answers, and one small real run."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio.lowlevel
import bson
import pytest
from bson import ObjectId

from benchmarks.__main__ import main, parse
from benchmarks.contenders import CONTENDERS
from benchmarks.measurement import Cell, Job, Sample, Workers
from benchmarks.raw import decode_first, encode_find
from benchmarks.referee import check_balances, check_inserts
from benchmarks.report import failure_counts, plain_table
from benchmarks.rounds import Outcome, Selection, WorkerFailed, WorkerProcess, plan, rotated
from benchmarks.summary import Results, cpu_us_per_op, ops_per_second
from benchmarks.targets import TARGETS, Verdict, judge
from benchmarks.threads import SYNCHRONOUS, ThreadWorkers
from benchmarks.workload import (
    OPERATIONS,
    Document,
    Operation,
    WrongResult,
    order_document,
    step_for,
    stock_document,
)
from wiredrv.local import ReplicaSet

FIND_16 = Cell("asyncio", "find_one", 16)


def sample(contender: str, ops: int, *, cpu: float = 1.0, cell: Cell = FIND_16, round_number: int = 0) -> Sample:
    """`ops` operations in one second."""
    return Sample(Job(cell, contender, round_number, 0), ops, 1.0, cpu, (ops,))


class TestPlan:
    @pytest.mark.parametrize(
        "names, by, expected", [("abc", 0, "abc"), ("abc", 1, "bca"), ("abc", 5, "cab"), ("a", 3, "a"), ("", 2, "")]
    )
    def test_rotation(self, names: str, by: int, expected: str) -> None:
        assert rotated(list(names), by) == list(expected)

    def test_every_contender_once_in_each_cell_of_each_round_and_each_begins_once(self) -> None:
        names = ["wiredrv", "pymongo", "motor"]
        jobs = list(plan(Selection(names, ["asyncio"], ["find_one", "insert_one"], [1, 16], [], rounds=3, seconds=1)))
        assert len(jobs) == 3 * 2 * 2 * 3
        for cell in {job.cell for job in jobs}:
            orders = [
                [job.contender for job in jobs if job.cell == cell and job.round_number == turn] for turn in range(3)
            ]
            assert all(sorted(order) == sorted(names) for order in orders)
            assert {order[0] for order in orders} == set(names)

    def test_nobody_is_asked_for_what_it_cannot_do(self) -> None:
        names = list(CONTENDERS)
        jobs = list(plan(Selection(names, ["trio"], ["find_one", "transaction"], [1], [], rounds=1, seconds=1)))
        assert [(job.cell.operation, job.contender) for job in jobs] == [
            ("find_one", "wiredrv"),
            ("find_one", "raw-socket"),
            ("transaction", "wiredrv"),
        ]

    def test_threads_have_counts_of_their_own(self) -> None:
        selection = Selection(["wiredrv"], ["asyncio", "threads"], ["find_one"], [16], [8, 64], rounds=1, seconds=1)
        cells = [(job.cell.backend, job.cell.concurrency) for job in plan(selection)]
        assert cells == [("asyncio", 16), ("threads", 8), ("threads", 64)]

    def test_synchronous_clients_are_those_that_run_on_threads(self) -> None:
        assert set(SYNCHRONOUS) == {name for name, contender in CONTENDERS.items() if "threads" in contender.backends}


class TestSummary:
    def test_rates(self) -> None:
        one = Sample(Job(FIND_16, "wiredrv", 0, 0), operations=500, elapsed=2.0, cpu=0.1, performed=(600,))
        assert one.ops_per_second == 250
        assert one.cpu_us_per_op == pytest.approx(200)

    def test_medians_and_extremes_over_rounds(self) -> None:
        results = Results([sample("pymongo", ops, round_number=turn) for turn, ops in enumerate([100, 400, 200])])
        (line,) = results.lines()
        assert (line.ops_per_second, line.slowest, line.fastest, line.rounds) == (200, 100, 400, 3)
        assert (line.ops_ratio, line.cpu_ratio) == (1.0, 1.0)

    def test_a_ratio_is_taken_within_the_round(self) -> None:
        # The machine was ten times slower in the second round, for both.
        mine = [sample("wiredrv", ops, round_number=turn) for turn, ops in enumerate([2000, 220, 2100])]
        theirs = [sample("pymongo", ops, round_number=turn) for turn, ops in enumerate([1000, 100, 1000])]
        ratio = Results([*mine, *theirs]).ratio(ops_per_second, FIND_16, "wiredrv", (FIND_16, "pymongo"))
        assert ratio == pytest.approx(2.1)

    def test_rounds_that_only_one_has_are_left_out(self) -> None:
        results = Results([sample("wiredrv", 300), sample("wiredrv", 900, round_number=1), sample("pymongo", 100)])
        assert results.ratio(ops_per_second, FIND_16, "wiredrv", (FIND_16, "pymongo")) == 3
        assert results.ratio(ops_per_second, FIND_16, "wiredrv", (FIND_16, "motor")) is None

    def test_trio_is_compared_with_pymongo_on_asyncio(self) -> None:
        on_trio = replace(FIND_16, backend="trio")
        lines = Results([sample("pymongo", 100), sample("wiredrv", 250, cell=on_trio)]).lines()
        assert [line.ops_ratio for line in lines] == [1.0, 2.5]


class TestTargets:
    @pytest.mark.parametrize(
        "relation, measured, met",
        [
            (">=", 2.0, True),
            (">=", 1.99, False),
            (">", 2.0, False),
            (">", 2.01, True),
            ("<=", 2.0, True),
            ("<=", 2.01, False),
            (">=", None, False),
            ("<=", None, False),
        ],
    )
    def test_relations(self, relation: str, measured: float | None, met: bool) -> None:
        assert Verdict("anything", relation, 2.0, measured).met is met

    def test_nothing_measured_means_nothing_met(self) -> None:
        verdicts = judge(Results([]), import_ms=None)
        assert len(verdicts) == len(TARGETS) + 1
        assert not any(verdict.met for verdict in verdicts)

    def test_each_target_is_judged_on_its_own_cell_and_metric(self) -> None:
        target = next(target for target in TARGETS if target.reference == "raw-protocol")
        samples = [sample("wiredrv", 100, cpu=0.3, cell=target.cell), sample("raw-protocol", 100, cpu=0.2)]
        verdicts = judge(Results(samples), import_ms=199.0)
        assert [(verdict.measured, verdict.met) for verdict in verdicts if verdict.measured is not None] == [
            (pytest.approx(1.5), True),
            (199.0, True),
        ]
        assert target.metric is cpu_us_per_op


class Answers:
    """An open client that gives prepared answers."""

    def __init__(self, found: Document | None = None, inserted: object = None, modified: int = 0) -> None:
        self.found, self.inserted, self.modified = found, inserted, modified

    async def find_one(self, key: int) -> Document | None:
        return self.found

    async def insert_one(self, document: Document) -> object:
        return self.inserted

    async def transfer(self, giver: int, taker: int) -> int:
        return self.modified


class TestWorkload:
    @pytest.mark.parametrize(
        "operation, answers",
        [
            ("find_one", Answers(found=stock_document(0))),
            ("insert_one", Answers(inserted=ObjectId())),
            ("transaction", Answers(modified=2)),
        ],
    )
    def test_right_answers_pass(self, operation: Operation, answers: Answers) -> None:
        anyio.run(step_for(operation, answers), 0, 0)

    @pytest.mark.parametrize(
        "operation, answers",
        [
            ("find_one", Answers(found=stock_document(1))),
            ("find_one", Answers(found=None)),
            ("insert_one", Answers(inserted=None)),
            ("transaction", Answers(modified=1)),
        ],
    )
    def test_wrong_answers_are_refused(self, operation: Operation, answers: Answers) -> None:
        with pytest.raises(WrongResult):
            anyio.run(step_for(operation, answers), 0, 0)

    def test_an_order_has_no_id_and_names_its_place(self) -> None:
        order = order_document(3, 1005)
        assert "_id" not in order
        assert (order["worker"], order["sequence"], order["sku"]) == (3, 1005, "sku-000005")


class TestReferee:
    def test_complete_sequences_pass(self) -> None:
        check_inserts({0: (3, 3, 2), 1: (1, 0, 0)}, performed=[3, 1])

    @pytest.mark.parametrize("found", [{0: (2, 3, 2)}, {0: (3, 4, 2)}, {0: (3, 3, 2), 1: (1, 0, 0)}, {}])
    def test_lost_doubled_and_foreign_inserts_are_found(self, found: dict[int, tuple[int, int, int]]) -> None:
        with pytest.raises(WrongResult, match="inserted"):
            check_inserts(found, performed=[3])

    def test_right_balances_pass(self) -> None:
        check_balances({0: -3, 1: 3, 2: -1, 3: 1}, performed=[3, 1])

    @pytest.mark.parametrize("found", [{0: -3, 1: 2}, {0: -2, 1: 2}, {0: -3}, {0: -3, 1: 3, 2: 0}])
    def test_half_lost_and_foreign_transactions_are_found(self, found: dict[int, int]) -> None:
        with pytest.raises(WrongResult, match="balances"):
            check_balances(found, performed=[3])


class TestWorkers:
    def test_every_worker_goes_on_and_is_counted(self) -> None:
        calls: list[tuple[int, int]] = []

        async def step(worker: int, sequence: int) -> None:
            calls.append((worker, sequence))
            await anyio.lowlevel.checkpoint()

        workers = Workers(step, concurrency=3)
        anyio.run(workers.run, 0.01)
        first = list(workers.performed)
        anyio.run(workers.run, 0.0)
        assert workers.performed == [count + 1 for count in first]
        assert sorted(calls) == [(worker, n) for worker, count in enumerate(workers.performed) for n in range(count)]

    def test_a_wrong_result_ends_the_measurement(self) -> None:
        async def step(worker: int, sequence: int) -> None:
            raise WrongResult("seen")

        with pytest.raises(ExceptionGroup) as caught:
            anyio.run(Workers(step, concurrency=2).run, 60.0)
        assert caught.group_contains(WrongResult, match="seen")


class TestThreadWorkers:
    def test_every_worker_goes_on_and_is_counted(self) -> None:
        calls: list[tuple[int, int]] = []

        async def step(worker: int, sequence: int) -> None:
            calls.append((worker, sequence))

        workers = ThreadWorkers(step, concurrency=3)
        workers.run(0.01)
        first = list(workers.performed)
        workers.run(0.0)
        assert workers.performed == [count + 1 for count in first]
        assert sorted(calls) == [(worker, n) for worker, count in enumerate(workers.performed) for n in range(count)]

    def test_a_wrong_result_ends_the_measurement(self) -> None:
        async def step(worker: int, sequence: int) -> None:
            raise WrongResult("seen")

        with pytest.raises(WrongResult, match="seen"):
            ThreadWorkers(step, concurrency=2).run(60.0)

    def test_a_step_that_waits_is_no_step_of_a_synchronous_client(self) -> None:
        async def step(worker: int, sequence: int) -> None:
            await asyncio.sleep(0)

        with pytest.raises(RuntimeError, match="waited"):
            ThreadWorkers(step, concurrency=1).run(60.0)


class TestWorkerProcess:
    def test_a_process_that_fails_is_named(self) -> None:
        with WorkerProcess("benchmarks.worker", "pymongo", "no_such_backend") as process:
            assert "no_such_backend" in process.answer()["unavailable"]
            process.ask({"job": "nonsense"})
            with pytest.raises(WorkerFailed, match="status 1"):
                process.answer()


def reply_body(batch: list[Document]) -> bytes:
    return bson.encode({"cursor": {"firstBatch": batch}, "ok": 1.0})


def test_raw_find_is_a_whole_message() -> None:
    message = encode_find("stock", 7)
    assert int.from_bytes(message[:4], "little") == len(message)
    assert int.from_bytes(message[12:16], "little") == 2013
    assert b"wiredrv_bench" in message


def test_raw_reply_without_a_document() -> None:
    reply = bytes(21) + reply_body([])
    assert decode_first(reply) is None
    assert decode_first(bytes(21) + reply_body([{"_id": 1}])) == {"_id": 1}


def test_equal_failures_are_counted_once() -> None:
    lost = (Job(FIND_16, "motor", 0, 0), "Traceback:\n  somewhere\nOSError: lost\n")
    assert failure_counts(Outcome(failures=[lost, lost])) == {"motor, find_one on asyncio: OSError: lost": 2}


def test_plain_table_is_aligned() -> None:
    table = plain_table("Title", ("a", "b"), [("long cell", "1"), ("x", "22")])
    assert table.splitlines() == ["", "Title", "a          b", "long cell  1", "x          22"]


@pytest.mark.parametrize("arguments", ["--rounds 0", "--concurrency 0", "--seconds 0", "--seconds nan", "--backend x"])
def test_bad_arguments_are_refused(arguments: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(arguments.split())
    assert arguments.split()[0] in capsys.readouterr().err


class TestRealRun:
    """The whole command, with short settings throughout."""

    @staticmethod
    def run(replica_set: ReplicaSet, file: Path, arguments: str) -> tuple[int, dict[str, Any]]:
        short = ["--uri", replica_set.uri, "--json", str(file), "--concurrency", "2", "--rounds", "1"]
        status = main([*short, "--seconds", "0.05", *arguments.split()])
        return status, json.loads(file.read_text(encoding="utf-8"))

    @pytest.mark.parametrize(
        "arguments, expected",
        [
            ("--contender pymongo", {("pymongo", operation) for operation in OPERATIONS}),
            (
                "--contender raw-protocol --contender raw-socket",
                {("raw-protocol", "find_one"), ("raw-socket", "find_one")},
            ),
        ],
    )
    def test_peers_on_asyncio(
        self, replica_set: ReplicaSet, tmp_path: Path, arguments: str, expected: set[tuple[str, str]]
    ) -> None:
        status, report = self.run(replica_set, tmp_path / "rounds.json", f"--backend asyncio {arguments}")
        assert (status, report["failures"], report["unavailable"]) == (0, [], {})
        assert {(sample["contender"], sample["operation"]) for sample in report["rounds"]} == expected
        assert all(sample["operations"] >= 2 and sample["cpu"] > 0 for sample in report["rounds"])

    def test_threads(self, replica_set: ReplicaSet, tmp_path: Path) -> None:
        status, report = self.run(replica_set, tmp_path / "rounds.json", "--backend threads")
        assert (status, report["failures"], report["unavailable"]) == (0, [], {})
        measured = [(sample["operation"], sample["contender"]) for sample in report["rounds"]]
        assert measured == [(operation, name) for operation in OPERATIONS for name in ("wiredrv", "pymongo")]

    @pytest.mark.parametrize("backend", ["asyncio", "trio"])
    def test_wiredrv(self, replica_set: ReplicaSet, tmp_path: Path, backend: str) -> None:
        status, report = self.run(replica_set, tmp_path / "rounds.json", f"--backend {backend} --contender wiredrv")
        assert (status, report["failures"], report["unavailable"]) == (0, [], {})
        assert [sample["operation"] for sample in report["rounds"]] == list(OPERATIONS)

    def test_a_target_that_was_not_measured_fails_the_check(
        self, replica_set: ReplicaSet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        arguments = "--check --backend trio --contender raw-socket --operation find_one"
        status, report = self.run(replica_set, tmp_path / "rounds.json", arguments)
        assert (status, report["failures"]) == (1, [])
        assert "not measured" in capsys.readouterr().out
