"""The same measurements of synchronous clients: threads that repeat one operation, each blocked by its own.

Rules kept here:

* The workload is that of the event loops, text for text. Its steps are coroutines; those of a synchronous client wait
  for nothing, so a thread runs each to its end at once. Both clients pay the same for that.
"""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from benchmarks.contenders import GIVE, TAKE, PyMongoAsync, Target, Wiredrv
from benchmarks.measurement import Job, Sample, warm_up_seconds
from benchmarks.workload import DATABASE, Document, OpenClient, Step, step_for


class _Collection:
    """The calls of a synchronous client, which wiredrv.sync and PyMongo spell alike."""

    def __init__(self, client: Any, collection: str) -> None:
        self.client = client
        self.collection = client[DATABASE][collection]

    async def find_one(self, key: int) -> Document | None:
        found: Document | None = self.collection.find_one({"_id": key})
        return found

    async def insert_one(self, document: Document) -> object:
        inserted: object = self.collection.insert_one(document).inserted_id
        return inserted

    async def transfer(self, giver: int, taker: int) -> int:
        with self.client.start_session() as session, session.start_transaction():
            taken = self.collection.update_one({"_id": giver}, TAKE, session=session)
            given = self.collection.update_one({"_id": taker}, GIVE, session=session)
        modified: int = taken.modified_count + given.modified_count
        return modified


@contextmanager
def _wiredrv(target: Target) -> Iterator[OpenClient]:
    from wiredrv.sync import Client

    with Client(target.uri) as client:
        yield _Collection(client, target.collection)


@contextmanager
def _pymongo(target: Target) -> Iterator[OpenClient]:
    import pymongo

    with pymongo.MongoClient[Document](target.uri) as client:
        yield _Collection(client, target.collection)


SYNCHRONOUS: dict[str, Callable[[Target], AbstractContextManager[OpenClient]]] = {
    Wiredrv.name: _wiredrv,
    PyMongoAsync.name: _pymongo,
}


def measure_on_threads(job: Job, target: Target, seconds: float) -> Sample:
    """Open the job's contender at `target`, warm it up, measure it for `seconds`, close it."""
    with SYNCHRONOUS[job.contender](target) as client:
        workers = ThreadWorkers(step_for(job.cell.operation, client), job.cell.concurrency)
        workers.run(warm_up_seconds(job.cell.concurrency))
        warm_up = sum(workers.performed)
        gc.collect()
        wall, cpu = time.perf_counter(), time.process_time()
        workers.run(seconds)
        elapsed, cpu = time.perf_counter() - wall, time.process_time() - cpu
    performed = tuple(workers.performed)
    return Sample(job, sum(performed) - warm_up, elapsed, cpu, performed)


class ThreadWorkers:
    """`concurrency` threads that repeat `step`, and how often each has done so."""

    def __init__(self, step: Step, concurrency: int) -> None:
        self.step = step
        self.performed = [0] * concurrency
        self.failures: list[BaseException] = []

    def run(self, seconds: float) -> None:
        """Let every worker go on for `seconds`, and at least once.

        :raises BaseException: what the first worker that failed raised.
        """
        stop = time.perf_counter() + seconds
        threads = [threading.Thread(target=self._work, args=(number, stop)) for number in range(len(self.performed))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if self.failures:
            raise self.failures[0]

    def _work(self, worker: int, stop: float) -> None:
        try:
            while not self.failures:
                finish(self.step, worker, self.performed[worker])
                self.performed[worker] += 1
                if time.perf_counter() >= stop:
                    return
        except BaseException as error:
            self.failures.append(error)


def finish(step: Step, worker: int, sequence: int) -> None:
    """Run a step of a synchronous client, which waits for nothing, to its end."""
    coroutine = step(worker, sequence)
    try:
        # A step's type is only that it can be awaited; each is an `async def` function.
        next(coroutine.__await__())
    except StopIteration:
        return
    raise RuntimeError("a step of a synchronous client waited")
