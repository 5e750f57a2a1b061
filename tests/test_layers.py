"""Rules that can be checked by reading the source: imports go in one direction, pure modules do no I/O, no cycles.

The rules are functions of a tree of sources, so that the last part of this file can try them on made-up trees that
break them: a rule that cannot fail protects nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import TypeAlias

import pytest

from tests.support.imports import Import, Tree, cycles, reachable, read_tree

Rule: TypeAlias = Callable[[Tree], Iterator[str]]

#: The packages, from the bottom up. Those in one layer do not import one another.
LAYERS: Sequence[Sequence[str]] = (
    ("_version", "origin", "server_facts", "types", "waits"),
    ("description",),
    ("errors",),
    ("collation", "concerns", "failures", "server_errors"),
    ("events",),
    ("compat",),
    ("listeners", "wire", "net"),
    ("connection", "logs", "operations", "session"),
    ("pool",),
    ("topology",),
    ("execution",),
    ("timeline", "tracing"),
    ("options",),
    ("client",),
    ("asgi", "gridfs", "local"),
    ("sync",),
    ("__init__", "_introspect"),  # the public API and the access for the specification tests
    ("cli", "testing"),  # use the driver like any other program
    ("__main__",),
)

#: Packages that only deal with values, although these packages are below them.
FORBIDDEN: Mapping[str, Sequence[str]] = {"session": ("net",), "operations": ("net",)}

#: Packages that only these may import, although others are above them too.
USED_BY: Mapping[str, Sequence[str]] = {"options": ("client", "sync")}

#: Modules that decide and do not act. Each pattern must match something, so that a renamed file is noticed.
PURE: Sequence[str] = (
    "origin",
    "server_facts",
    "errors",
    "failures",
    "server_errors",
    "types",
    "concerns",
    "description",
    "events",
    "compat.objects",
    "compat.listeners",
    "listeners",
    "logs.*",
    "wire.*",
    "connection.handshake",
    "connection.auth.*",
    "session.*",
    "operations.*",
    "execution.circumstances",
    "execution.decorate",
    "execution.retry",
    "execution.time_limit",
    "execution.labels",
    "execution.reading",
    "execution.run",
    "connection.metadata",
    "topology.update",
    "topology.selection",
    "topology.hello",
    "topology.changes",
    "topology.reactions",
    "topology.srv",
    "topology.rtt",
    "topology.selection_log",
    "pool.state",
    "options.*",
    "client.change_streams.failures",
    "client.snapshots.failures",
    "client.snapshots.layout",
    "client.snapshots.progress",
    "client.snapshots.projection",
    "client.snapshots.ranges",
    "client.effective",
    "client.known_topology",
    "client.positions",
    "client.change_streams.plan",
    "client.change_streams.position",
    "timeline.buffer",
    "timeline.page.pack",
    "timeline.records",
    "timeline.view",
    "testing.difference",
    "testing.expected",
    "testing.joined",
    "testing.permitted",
    "tracing.attributes",
    "tracing.failures",
    "tracing.transactions",
    "gridfs.chunks",
    "gridfs.files",
    "*.settings",
)
#: Modules that do I/O or scheduling. (``bson`` is a codec.)
IMPURE = frozenset({"anyio", "asyncio", "trio", "sniffio", "socket", "ssl", "select", "selectors", "subprocess", "dns"})

#: The only packages that touch the network. ``local`` queries its servers without an event loop.
NETWORK = frozenset({"socket", "ssl", "dns", "select", "selectors"})
NETWORK_PACKAGES = frozenset({"net", "waits", "local"})

#: Modules for waiting, time or random numbers: the rest of the driver gets all of it from ``waits``.
SCHEDULING = frozenset({"anyio", "asyncio", "trio", "sniffio", "time", "random"})
#: ``local``, ``cli`` and ``testing`` are programs that use the driver.
SCHEDULING_PACKAGES = frozenset({"waits", "local", "cli", "testing"})
#: Pure modules whose choices are random unless the caller decides otherwise.
RANDOM_BY_DEFAULT = frozenset({"wiredrv.topology.selection", "wiredrv.topology.srv"})


@cache
def driver() -> Tree:
    """The driver's own sources."""
    return read_tree(Path(__file__).resolve().parents[1] / "wiredrv")


def package_of(tree: Tree, module: str) -> str:
    """The package of a module: the first part of its name below ``wiredrv``."""
    return module.split(".")[1] if module != tree.package else "__init__"


def climbing(tree: Tree) -> Iterator[str]:
    """Imports of a package that is not below the importer's own."""
    layer_of = {name: layer for layer, names in enumerate(LAYERS) for name in names}
    for module in sorted(tree.modules):
        if package_of(tree, module) not in layer_of:
            yield f"{module} has no layer: give its package one in LAYERS"
    for entry in tree.inside():
        here, there = package_of(tree, entry.importer), package_of(tree, entry.imported)
        if here == there or here not in layer_of or there not in layer_of:
            continue
        if layer_of[there] >= layer_of[here]:
            yield f"{entry}: {there!r} is not below {here!r}"
        elif there in FORBIDDEN.get(here, ()):
            yield f"{entry}: {here!r} knows values only"
        elif here not in USED_BY.get(there, (here,)):
            yield f"{entry}: {there!r} is for {', '.join(USED_BY[there])} alone"


def impure(tree: Tree) -> Iterator[str]:
    """Pure modules that import what does I/O, themselves or through others of the package."""
    graph: dict[str, list[str]] = {}
    for entry in tree.inside():
        graph.setdefault(entry.importer, []).append(entry.imported)
    dirty: dict[str, Import] = {}
    for entry in tree.outside():
        if entry.imported.partition(".")[0] in IMPURE:
            dirty.setdefault(entry.importer, entry)
    for module in sorted(pure_modules(tree)):
        for reached, way in reachable(module, graph).items():
            if reached in dirty:
                yield f"{module} is pure, yet {dirty[reached]} (by way of {' -> '.join(way)})"


def pure_modules(tree: Tree) -> set[str]:
    """The modules that PURE names."""
    return {module for module in tree.modules for pattern in PURE if _matches(tree, module, pattern)}


def _matches(tree: Tree, module: str, pattern: str) -> bool:
    return fnmatchcase(module, f"{tree.package}.{pattern}")


def touching_the_network(tree: Tree) -> Iterator[str]:
    """Imports of sockets, TLS and DNS outside their packages."""
    for entry in tree.outside():
        if entry.imported.partition(".")[0] in NETWORK and package_of(tree, entry.importer) not in NETWORK_PACKAGES:
            yield f"{entry}: only {', '.join(sorted(NETWORK_PACKAGES))} may"


def scheduling(tree: Tree) -> Iterator[str]:
    """Imports of event loops, the clock and random numbers outside ``waits``; including those for the type checker."""
    for entry in tree.outside():
        package = entry.imported.partition(".")[0]
        if package not in SCHEDULING or package_of(tree, entry.importer) in SCHEDULING_PACKAGES:
            continue
        if package == "random" and entry.importer in RANDOM_BY_DEFAULT:
            continue
        yield f"{entry}: use wiredrv.waits"


def tied(tree: Tree) -> Iterator[str]:
    """Modules that import one another when the program runs, including imports in functions."""
    for group in cycles(entry for entry in tree.inside() if not entry.typing_only):
        yield "these import one another: " + ", ".join(sorted(group))


def tied_by_types(tree: Tree) -> Iterator[str]:
    """The same for imports that only type checkers follow: allowed in ``client`` and ``sync``, whose objects return one
    another.
    """
    for group in cycles(tree.inside()):
        if {package_of(tree, module) for module in group} not in ({"client"}, {"sync"}):
            yield "these name one another's types: " + ", ".join(sorted(group))


RULES = (climbing, impure, touching_the_network, scheduling, tied, tied_by_types)


@pytest.mark.parametrize("rule", RULES)
def test_wiredrv_keeps(rule: Rule) -> None:
    broken = list(rule(driver()))
    assert not broken, "\n".join(broken)


@pytest.mark.parametrize("package", ["spec_tests", "demo", "benchmarks"])
def test_modules_beside_the_driver_do_not_import_one_another_in_circles(package: str) -> None:
    """Imports for the type checker count."""
    inside = list(read_tree(Path(__file__).resolve().parents[1] / package).inside())
    assert inside
    assert list(cycles(inside)) == []


def test_every_layer_and_every_pattern_is_there() -> None:
    tree = driver()
    packages = {package_of(tree, module) for module in tree.modules}
    named = {name for names in LAYERS for name in names}
    assert named <= packages, f"LAYERS names packages that do not exist: {named - packages}"
    idle = [pattern for pattern in PURE if not any(_matches(tree, module, pattern) for module in tree.modules)]
    assert not idle, f"PURE has patterns that match nothing: {idle}"


# --- the rules on made-up trees ---


def _house(folder: Path, **sources: str) -> Tree:
    """A package ``wiredrv`` with these modules; a double underscore stands for a dot."""
    top = folder / "wiredrv"
    for name, source in sources.items():
        path = top.joinpath(*name.split("__")).with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source, encoding="utf-8")
        for parent in path.relative_to(folder).parents:
            if parent != Path():
                (folder / parent / "__init__.py").touch()
    return read_tree(top)


_LAZY = "def f():\n    {}\n"
_TYPING = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    {}\n"


@pytest.mark.parametrize("where", ["{}\n", _LAZY, _TYPING, "try:\n    {}\nexcept ImportError:\n    pass\n"])
@pytest.mark.parametrize(
    "statement",
    [
        "from wiredrv.execution.executor import Executor",
        "import wiredrv.execution.executor",
        "import wiredrv.execution.executor as e",
        "from wiredrv.execution import executor",
        "from wiredrv import execution",
        "from ..execution.executor import Executor",
        "from ..execution import executor",
        "__import__('wiredrv.execution.executor')",
    ],
)
def test_an_import_from_a_higher_layer_is_found(tmp_path: Path, statement: str, where: str) -> None:
    tree = _house(tmp_path, execution__executor="", session__state=where.format(statement))
    (broken,) = climbing(tree)
    assert "wiredrv.session.state" in broken
    assert "'execution' is not below 'session'" in broken


@pytest.mark.parametrize(
    "importer, imported, complaint",
    [
        ("wire__op_msg", "net.transport", "'net' is not below 'wire'"),
        ("operations__find", "session.state", "'session' is not below 'operations'"),
        ("session__state", "net.transport", "'session' knows values only"),
        ("operations__find", "net.transport", "'operations' knows values only"),
        ("client__core", "cli.main", "'cli' is not below 'client'"),
        ("net__transport", "topology.topology", "'topology' is not below 'net'"),
        ("cli__main", "options.uri", "'options' is for client, sync alone"),
    ],
)
def test_neighbours_and_forbidden_rooms_are_found(tmp_path: Path, importer: str, imported: str, complaint: str) -> None:
    tree = _house(tmp_path, **{importer: f"import wiredrv.{imported}\n", imported.replace(".", "__"): ""})
    (broken,) = climbing(tree)
    assert complaint in broken


def test_the_public_face_is_above_the_packages(tmp_path: Path) -> None:
    tree = _house(tmp_path, net__transport="from wiredrv import __version__\n", cli__main="import wiredrv\n")
    (broken,) = climbing(tree)
    assert "wiredrv.net.transport:1 imports wiredrv: '__init__' is not below 'net'" in broken


def test_a_package_without_a_layer_is_found(tmp_path: Path) -> None:
    broken = list(climbing(_house(tmp_path, attic__chest="", wire__op_msg="")))
    assert [text.partition(":")[0] for text in broken] == [
        "wiredrv.attic has no layer",
        "wiredrv.attic.chest has no layer",
    ]


def test_an_import_that_goes_down_is_allowed(tmp_path: Path) -> None:
    source = "from wiredrv.wire import op_msg\nfrom wiredrv.wire.op_msg import Message\nfrom . import other\n"
    tree = _house(tmp_path, wire__op_msg="", connection__other="", connection__connection=source)
    assert [list(rule(tree)) for rule in RULES] == [[]] * len(RULES)


@pytest.mark.parametrize("statement", ["import anyio.lowlevel", "from anyio import sleep", "import asyncio"])
@pytest.mark.parametrize("where", ["{}\n", _LAZY, _TYPING])
def test_a_pure_module_that_schedules_is_found(tmp_path: Path, statement: str, where: str) -> None:
    (broken,) = impure(_house(tmp_path, session__state=where.format(statement)))
    assert "wiredrv.session.state is pure" in broken


def test_a_pure_module_that_schedules_by_way_of_another_is_found(tmp_path: Path) -> None:
    tree = _house(
        tmp_path,
        execution__retry="from wiredrv.execution.waiting import pause\n",
        execution__waiting="from wiredrv.net.clock import pause\n",
        net__clock="from anyio import sleep as pause\n",
    )
    (broken,) = impure(tree)
    assert "wiredrv.execution.retry -> wiredrv.execution.waiting -> wiredrv.net.clock" in broken


@pytest.mark.parametrize(
    "statement", ["import anyio.lowlevel", "from asyncio import sleep", "from time import monotonic", "import random"]
)
@pytest.mark.parametrize("where", ["{}\n", _LAZY, _TYPING])
def test_a_shell_that_goes_past_the_waits_is_found(tmp_path: Path, statement: str, where: str) -> None:
    (broken,) = scheduling(_house(tmp_path, pool__pool=where.format(statement), waits__anyio="import anyio\n"))
    assert "wiredrv.pool.pool" in broken
    assert "use wiredrv.waits" in broken


def test_pure_modules_may_draw_by_default(tmp_path: Path) -> None:
    tree = _house(tmp_path, topology__srv="import random\n", session__state="import random\n")
    (broken,) = scheduling(tree)
    assert "wiredrv.session.state" in broken


@pytest.mark.parametrize("statement", ["import socket", "from ssl import SSLContext", "import dns.asyncresolver"])
def test_sockets_outside_their_room_are_found(tmp_path: Path, statement: str) -> None:
    tree = _house(tmp_path, pool__pool=f"{statement}\n", net__tls=f"{statement}\n")
    (broken,) = touching_the_network(tree)
    assert broken.startswith("wiredrv.pool.pool:1")


def test_modules_that_import_one_another_are_found(tmp_path: Path) -> None:
    tree = _house(
        tmp_path,
        pool__pool="from wiredrv.pool import upkeep\n",
        pool__upkeep=_LAZY.format("from wiredrv.pool.waiters import Waiters"),
        pool__waiters="from wiredrv.pool.pool import Pool\n",
    )
    (broken,) = tied(tree)
    assert broken.endswith("wiredrv.pool.pool, wiredrv.pool.upkeep, wiredrv.pool.waiters")


def test_a_cycle_of_types_is_allowed_among_what_users_hold_only(tmp_path: Path) -> None:
    def pair(one: str, other: str) -> dict[str, str]:
        back = _TYPING.format(f"from wiredrv.{one} import A")
        return {one.replace(".", "__"): f"from wiredrv.{other} import B\n", other.replace(".", "__"): back}

    tree = _house(tmp_path, **pair("client.database", "client.collection"), **pair("pool.pool", "pool.upkeep"))
    assert list(tied(tree)) == []
    (broken,) = tied_by_types(tree)
    assert broken.endswith("wiredrv.pool.pool, wiredrv.pool.upkeep")
