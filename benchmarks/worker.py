"""The process in which one contender is measured: jobs come in on standard input, samples go out, a line each.

Run as ``python -m benchmarks.worker CONTENDER BACKEND``. The first line that it writes says whether the contender can
run here. Every measurement has an event loop of its own; between two of them the process sleeps in a read, with no
client open, so that it does not affect the others.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import traceback
from dataclasses import asdict
from functools import partial
from typing import Any

import anyio

from benchmarks.contenders import CONTENDERS, Target
from benchmarks.measurement import Cell, Job, measure
from benchmarks.threads import measure_on_threads


def backend_arguments(backend: str) -> dict[str, Any]:
    """What anyio.run needs for one of our backend names."""
    if backend == "trio":
        return {"backend": "trio"}
    return {"backend": "asyncio", "backend_options": {"use_uvloop": backend == "uvloop"}}


def why_unavailable(contender: str, backend: str) -> str | None:
    """Why this contender cannot run on this backend in this environment, or None where it can."""
    for module in (CONTENDERS[contender].module, "threading" if backend == "threads" else backend):
        try:
            importlib.import_module(module)
        except ImportError as exc:
            return str(exc)
    return None


def answer(line: str, backend: str) -> dict[str, Any]:
    """Make the measurement that `line` asks for; a failure is an answer too."""
    request = json.loads(line)
    job = Job(**request["job"] | {"cell": Cell(**request["job"]["cell"])})
    target = Target(**request["target"] | {"primary": tuple(request["target"]["primary"])})
    try:
        if backend == "threads":
            sample = measure_on_threads(job, target, request["seconds"])
        else:
            run = partial(anyio.run, measure, job, target, request["seconds"])
            sample = run(**backend_arguments(backend))
    except Exception as exc:
        return {"failure": "".join(traceback.format_exception(first_cause(exc)))}
    return {key: value for key, value in asdict(sample).items() if key != "job"}


def first_cause(exc: BaseException) -> BaseException:
    """The first error that is not a group: the task group raises the workers' errors in groups."""
    while isinstance(exc, BaseExceptionGroup):
        exc = exc.exceptions[0]
    return exc


def main(contender: str, backend: str) -> None:
    # Whatever a library prints must not mix with the answers: standard output becomes standard error.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    answers.write(json.dumps({"unavailable": why_unavailable(contender, backend)}) + "\n")
    for line in sys.stdin:
        answers.write(json.dumps(answer(line, backend)) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
