"""Runs the specification tests on every deployment of ``docs/conformance.md``, and writes its figures again.

``python -m spec_tests.renew`` runs all of them, one after the other. With the names of some, the others' results are
those of the last time, which are kept in ``.conformance/``.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from spec_tests.conformance import write_page

_PROJECT = Path(__file__).resolve().parents[1]
#: The runs, in the order of the page's tables: the arguments of ``python -m spec_tests``.
RUNS: Mapping[str, Sequence[str]] = {
    "replicaset": (),
    "trio": ("--backend", "trio"),
    "standalone": ("--deployment", "standalone"),
    "sharded": ("--deployment", "sharded"),
    "balanced": ("--deployment", "load-balanced", "--suite", "load-balancers"),
    "balanced-trio": ("--deployment", "load-balanced", "--suite", "load-balancers", "--backend", "trio"),
    "pymongo": ("--driver", "pymongo"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line of this module; the status is 1 if a run could not be made, or left no results."""
    line = argparse.ArgumentParser("python -m spec_tests.renew", description=__doc__)
    line.add_argument("runs", nargs="*", metavar="RUN", help=f"{', '.join(RUNS)}; all by default")
    line.add_argument("--page", type=Path, default=_PROJECT / "docs" / "conformance.md")
    line.add_argument("--results", type=Path, default=_PROJECT / ".conformance", metavar="DIR")
    chosen = line.parse_args(arguments)
    unknown = [name for name in chosen.runs if name not in RUNS]
    if unknown:
        line.error(f"there is no run {unknown[0]!r}: the runs are {', '.join(RUNS)}")
    chosen.results.mkdir(parents=True, exist_ok=True)
    for name in chosen.runs or RUNS:
        file = chosen.results / f"{name}.json"
        file.unlink(missing_ok=True)
        print(f"=== {name}: python -m spec_tests {' '.join(RUNS[name])}", flush=True)
        # Its status says whether tests failed, which the page tells as well.
        subprocess.run([sys.executable, "-m", "spec_tests", *RUNS[name], "--json", str(file)], check=False)
    missing = [name for name in RUNS if not (chosen.results / f"{name}.json").exists()]
    if missing:
        print(f"{chosen.page} stays as it is: there are no results of {', '.join(missing)}", file=sys.stderr)
        return 1
    write_page(chosen.page, [json.loads((chosen.results / f"{name}.json").read_text("utf-8")) for name in RUNS])
    print(f"{chosen.page} has the figures of these runs")
    return 0


if __name__ == "__main__":
    sys.exit(main())
