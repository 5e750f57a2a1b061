"""What is public, and how much of it is described: for the tests, from the sources as the reference shows them.

The public names are those in ``wiredrv.__all__``, all classes of ``wiredrv.errors`` and ``wiredrv.events``, those in
``wiredrv.local.__all__`` and ``wiredrv.testing.__all__``, and every class of the package that those return or take: the
types of their results, properties and arguments, and so on from there. Names that begin with an underscore are not
public. A client's options have a table of their own, with tests of its own (``tests/options/test_meanings.py``).
"""

from __future__ import annotations

import ast
import functools
import importlib
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import griffe

from docs.extension import HANDED_OUT, LISTED_APART, Reference
from wiredrv.client.signatures import described_in

ROOT = Path(__file__).resolve().parents[1]

#: What appears in signatures, but is internal: the driver's seams, messages on the wire, the parts of local clusters,
#: the owner of a test run's servers, and an event that no listener gets.
INTERNAL = frozenset(
    {
        "wiredrv.client.core.ClientCore",
        "wiredrv.client.handle.HandleContext",
        "wiredrv.client.requests.WriteRequest",
        "wiredrv.connection.connection.Relogin",
        "wiredrv.connection.handshake.Handshake",
        "wiredrv.listeners.ListenerHub",
        "wiredrv.events.ServerSelectionEvent",
        "wiredrv.gridfs.store.Store",
        "wiredrv.local.server.Launch",
        "wiredrv.local.sharded.ConfigServer",
        "wiredrv.local.sharded.Router",
        "wiredrv.local.sharded.Shard",
        "wiredrv.operations.base.Operation",
        "wiredrv.options.settings.ClientSettings",
        "wiredrv.operations.base.Target",
        "wiredrv.operations.client_bulk.ClientWrite",
        "wiredrv.operations.write_batch.Statement",
        "wiredrv.timeline.buffer.Buffer",
        "wiredrv.testing.owner.Servers",
        "wiredrv.types.Limits",
        "wiredrv.wire.compression.Compressor",
        "wiredrv.wire.op_msg.DocumentSequence",
        "wiredrv.wire.op_msg.Message",
    }
)


@dataclass(frozen=True, slots=True)
class Gap:
    """Something public that is not described."""

    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


@dataclass(frozen=True, slots=True)
class Report:
    """How much is described.

    :param parameters: how many parameters there are, and how many of them are described.
    :param results: the same for methods and functions that return something.
    :param gaps: what is missing.
    """

    parameters: tuple[int, int]
    results: tuple[int, int]
    gaps: tuple[Gap, ...]


@functools.cache
def package() -> griffe.Module:
    """The sources, with the options of methods unpacked."""
    loaded = griffe.load(
        "wiredrv", search_paths=[ROOT], extensions=griffe.load_extensions(Reference), docstring_parser="sphinx"
    )
    assert isinstance(loaded, griffe.Module)
    return loaded


def public() -> list[griffe.Class | griffe.Function]:
    """The public classes and functions, each once, by the places where they are defined."""
    waiting = list(_seeds())
    found: dict[str, griffe.Class | griffe.Function] = {}
    while waiting:
        entry = waiting.pop()
        if entry.path in found or entry.path in INTERNAL | LISTED_APART or entry.name.startswith("_"):
            continue
        found[entry.path] = entry
        shown: list[griffe.Object] = [entry, *members_of(entry)] if isinstance(entry, griffe.Class) else [entry]
        waiting += [known for member in shown for path in _mentioned(member) for known in _at(path)]
    return [found[path] for path in sorted(found)]


def _seeds() -> Iterator[griffe.Class | griffe.Function]:
    wiredrv = package()
    for name in wiredrv.members:
        if name in public_names():
            yield from _at(wiredrv[name].canonical_path)
    for module in ("errors", "events"):
        for member in wiredrv[module].members.values():
            if isinstance(member, griffe.Class):
                yield member
    for member in wiredrv["local"].members.values():
        yield from _at(member.canonical_path)
    for name in importlib.import_module("wiredrv.testing").__all__:
        yield from _at(wiredrv["testing"][name].canonical_path)


def public_names() -> frozenset[str]:
    """``wiredrv.__all__``."""
    import wiredrv

    return frozenset(wiredrv.__all__)


def _at(path: str) -> Iterator[griffe.Class | griffe.Function]:
    if path.startswith("wiredrv."):
        try:
            thing = package().modules_collection[path]
        except KeyError:
            return
        if isinstance(thing, (griffe.Class, griffe.Function)):
            yield thing


def _mentioned(member: griffe.Object) -> Iterator[str]:
    """The paths of the types that a member's signature names."""
    annotations: list[str | griffe.Expr | None] = []
    if isinstance(member, griffe.Function):
        annotations = [member.returns, *(parameter.annotation for parameter in member.parameters)]
    elif isinstance(member, griffe.Attribute):
        annotations = [member.annotation]
    elif isinstance(member, griffe.Class) and member.path not in HANDED_OUT:
        annotations = [parameter.annotation for parameter in member.parameters]
    for annotation in annotations:
        if isinstance(annotation, griffe.Expr):
            yield from (part.canonical_path for part in annotation.iterate(flat=True) if isinstance(part, griffe.Expr))


def members_of(entry: griffe.Class) -> list[griffe.Function | griffe.Attribute]:
    """The public members of a class, those inherited within the package included, where they are defined."""
    found = []
    for name, member in entry.all_members.items():
        if (
            name.startswith("_")
            or not member.canonical_path.startswith("wiredrv.")
            or member.canonical_path in INTERNAL
        ):
            continue
        final = member.final_target if isinstance(member, griffe.Alias) else member
        if isinstance(final, (griffe.Function, griffe.Attribute)):
            found.append(final)
    return found


# --- what is described ----------------------------------------------------------------------------------------------


def report(entries: Sequence[griffe.Class | griffe.Function] | None = None) -> Report:
    """Look at everything public, or at ``entries``."""
    tally = _Tally()
    seen: set[str] = set()
    for entry in public() if entries is None else entries:
        if isinstance(entry, griffe.Function):
            tally.function(entry, _text(entry))
            continue
        tally.class_(entry)
        for member in members_of(entry):
            if member.path in seen:
                continue
            seen.add(member.path)
            if isinstance(member, griffe.Function):
                tally.function(member, _text(member, entry))
            else:
                tally.attribute(member, entry)
    return Report(
        (tally.parameters, tally.parameters_described), (tally.results, tally.results_described), tuple(tally.gaps)
    )


def _text(member: griffe.Object, owner: griffe.Class | None = None) -> str:
    """A docstring; without one, that of the overridden member."""
    if member.docstring is not None:
        return member.docstring.value
    for base in owner.mro() if owner is not None else ():
        inherited = base.members.get(member.name)
        if inherited is not None and inherited.docstring is not None:
            return inherited.docstring.value
    return ""


class _Tally:
    """Counts, and notes what is missing."""

    def __init__(self) -> None:
        self.parameters = self.parameters_described = self.results = self.results_described = 0
        self.gaps: list[Gap] = []

    def class_(self, entry: griffe.Class) -> None:
        text = _text(entry, entry)
        if not text:
            self.gaps.append(Gap(entry.path, "has no docstring"))
        if entry.path not in HANDED_OUT:
            maker = entry.all_members.get("__init__")
            own = maker.docstring.value if maker is not None and maker.docstring is not None else ""
            self._parameters(entry.path, entry.parameters, {**_described(text), **_described(own)})

    def function(self, entry: griffe.Function, text: str) -> None:
        if not text:
            self.gaps.append(Gap(entry.path, "has no docstring"))
        self._parameters(entry.path, entry.parameters, _described(text))
        if str(entry.returns) not in ("None", "NoReturn"):
            self.results += 1
            if _RETURNS.search(text):
                self.results_described += 1
            else:
                self.gaps.append(Gap(entry.path, "does not say what it returns"))
        self._errors(entry, text)

    def attribute(self, entry: griffe.Attribute, owner: griffe.Class) -> None:
        if not _text(entry, owner) and entry.name not in _described(_text(owner, owner)):
            described = [_described(_text(base, base)) for base in owner.mro() if isinstance(base, griffe.Class)]
            if not any(entry.name in names for names in described):
                self.gaps.append(Gap(f"{owner.path}.{entry.name}", "is not described"))
        if "property" in entry.labels:
            self._errors(entry, _text(entry, owner))

    def _parameters(self, where: str, parameters: griffe.Parameters, described: Mapping[str, str]) -> None:
        for parameter in parameters:
            if parameter.name in ("self", "cls"):
                continue
            self.parameters += 1
            text = described.get(parameter.name, "")
            if not text:
                self.gaps.append(Gap(where, f"does not describe {parameter.name}"))
                continue
            self.parameters_described += 1
            if _TIME.search(parameter.name) and not _UNIT.search(text):
                self.gaps.append(Gap(where, f"does not say the unit of {parameter.name}"))

    def _errors(self, entry: griffe.Function | griffe.Attribute, text: str) -> None:
        named = set(_RAISES.findall(text))
        errors = package()["errors"].members
        raised = {name for name in _raised(entry) if isinstance(errors.get(name), griffe.Class)}
        for name in sorted(raised - named):
            self.gaps.append(Gap(entry.path, f"does not say when it raises {name}"))
        told = named or _NONE_RAISED.search(text)
        if isinstance(entry, griffe.Function) and "async" in entry.labels and not told:
            self.gaps.append(Gap(entry.path, "waits, and does not say which errors it raises"))


def _described(text: str) -> Mapping[str, str]:
    fields = {name: field.partition(":")[2].partition(":")[2].strip() for name, field in described_in(text).items()}
    return {name: field for name, field in fields.items() if field}


_RETURNS = re.compile(r"^:returns?: *\S", re.MULTILINE)
_RAISES = re.compile(r"^:raises ([\w.]+): *\S", re.MULTILINE)
_NONE_RAISED = re.compile(r"[Ee]rrors (of the server )?are not raised")
#: Parameters that hold a time, and how a description states its unit.
_TIME = re.compile(r"(_ms|MS|[sS]econds|_timeout|^timeout|delay|duration)$")
_UNIT = re.compile(r"\b((milli)?seconds?|minutes?)\b")


def _raised(entry: griffe.Function | griffe.Attribute) -> Iterator[str]:
    """The errors that a function raises itself, and those of the argument checks that it calls."""
    try:
        tree = ast.parse(textwrap.dedent(entry.source))
    except SyntaxError:
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and isinstance(node.exc.func, ast.Name):
            yield node.exc.func.id
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            module, name = ast.unparse(node.func.value), node.func.attr
            if module == "check":
                yield "InvalidName" if name.endswith("_name") else "ConfigurationError"


if __name__ == "__main__":
    found = report()
    print(*found.gaps, sep="\n")
    print(
        f"{found.parameters[1]} of {found.parameters[0]} parameters, {found.results[1]} of {found.results[0]} results"
    )
