"""What the reference needs beyond mkdocstrings: a griffe extension, loaded by ``mkdocs.yml`` and by the tests.

* ``**options: Unpack[SomeOptions]`` is shown as the options themselves, including inherited ones, each with the
  description that its TypedDict gives.
* A class whose constructor takes the parameters of its bases inherits their descriptions.
* Comments that begin with ``#:`` document the attribute below them.
* The roles (``:meth:`find```) and literal blocks (``::``) of docstrings become Markdown links and code blocks.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import griffe

from wiredrv.client.signatures import described_in, in_place_of_options

_ROLE = re.compile(r":(?:class|meth|func|attr|data|mod|exc):`(~?)([\w.]+)`")
_LITERAL = re.compile(r"^(?P<lead>.*?)::\n\n(?P<code>(?:[ ]{4}.*\n|\n)+)", re.MULTILINE)
_UNPACK = frozenset({"typing.Unpack", "typing_extensions.Unpack"})
_TYPED_DICT = frozenset({"typing.TypedDict", "typing_extensions.TypedDict", "wiredrv.client.signatures.TypedDict"})


#: Only the driver creates these: their constructors are not shown.
HANDED_OUT = frozenset(
    {
        "wiredrv.client.sessions.client_session.ClientSession",
        "wiredrv.client.sessions.client_transaction.ClientTransaction",
        "wiredrv.client.change_streams.stream.ChangeStream",
        "wiredrv.client.cursors.command_cursor.CommandCursor",
        "wiredrv.client.cursors.cursor.Cursor",
        "wiredrv.client.cursors.base.CursorBase",
        "wiredrv.client.cursors.closing.ClosableCursor",
        "wiredrv.client.cursors.fetching.FetchingCursor",
        "wiredrv.client.cursors.raw.RawBatchCommandCursor",
        "wiredrv.client.cursors.raw.RawBatchCursor",
        "wiredrv.client.database.Database",
        "wiredrv.client.snapshots.scan.Scan",
        "wiredrv.client.snapshots.snapshot.Snapshot",
        "wiredrv.client.sessions.blocks.SessionBinding",
        "wiredrv.client.sessions.blocks.TransactionContext",
        "wiredrv.connection.connection.Connection",
        "wiredrv.local.server.Server",
        "wiredrv.timeline.timeline.Timeline",
    }
)


#: The options of a client: there are so many that they have their own page, and are left out of its signature.
LISTED_APART = frozenset({"wiredrv.options.client_options.ClientOptions"})


class Reference(griffe.Extension):
    """Prepares a package once it is completely loaded."""

    def on_package(self, *, pkg: griffe.Module, loader: griffe.GriffeLoader, **kwargs: Any) -> None:
        """Change signatures and docstrings in place."""
        objects = list(_objects(pkg))
        fields = {
            found.path: _fields(found) for found in objects if isinstance(found, griffe.Class) and is_typed_dict(found)
        }
        for found in objects:
            if isinstance(found, griffe.Function):
                _unpack(found, fields)
            elif isinstance(found, griffe.Class) and found.path in fields:
                _give_constructor(found, fields[found.path])
            elif isinstance(found, griffe.Attribute) and found.docstring is None:
                _take_comment(found)
        for found in objects:
            if found.path in HANDED_OUT:
                assert isinstance(found, griffe.Class)
                found.members.pop("__init__", None)
            if isinstance(found, griffe.Class) and found.docstring is not None and found.path not in fields:
                found.docstring.value = with_inherited(found)
        for found in objects:
            if found.docstring is not None:
                found.docstring.value = markdown(found.docstring.value, found)


def _objects(parent: griffe.Module | griffe.Class) -> Iterator[griffe.Object]:
    """Everything that is defined in a module or class, not what is only imported there."""
    yield parent
    for member in list(parent.members.values()):
        if isinstance(member, (griffe.Module, griffe.Class)):
            yield from _objects(member)
        elif isinstance(member, griffe.Object):
            yield member


# --- options --------------------------------------------------------------------------------------------------------


def is_typed_dict(found: griffe.Class) -> bool:
    """Whether the class is a TypedDict, or derived from one."""
    return any(_path(base) in _TYPED_DICT for base in found.bases) or any(map(is_typed_dict, _bases(found)))


def _path(expression: str | griffe.Expr) -> str:
    return expression if isinstance(expression, str) else expression.canonical_path


def _bases(found: griffe.Class) -> list[griffe.Class]:
    paths = (base.canonical_path for base in found.resolved_bases)
    resolved = [found.modules_collection[path] for path in paths]
    return [base for base in resolved if isinstance(base, griffe.Class)]


def _fields(found: griffe.Class) -> dict[str, tuple[str | griffe.Expr | None, str]]:
    """For each key of a TypedDict, inherited ones first, its type and its ``:param`` field."""
    fields = {name: field for base in _bases(found) for name, field in _fields(base).items()}
    texts = described_in(found.docstring.value) if found.docstring is not None else {}
    for name, member in found.members.items():
        if isinstance(member, griffe.Attribute) and member.annotation is not None:
            fields[name] = (member.annotation, texts.get(name, ""))
    for name, text in texts.items():
        if name in fields:
            fields[name] = (fields[name][0], text)
    return fields


Fields = Mapping[str, tuple[str | griffe.Expr | None, str]]


def _unpack(function: griffe.Function, typed_dicts: Mapping[str, Fields]) -> None:
    for parameter in function.parameters:
        annotation = parameter.annotation
        if isinstance(annotation, griffe.ExprSubscript) and annotation.canonical_path in _UNPACK:
            break
    else:
        return
    path = _path(annotation.slice)
    if path in LISTED_APART:
        return
    target = function.modules_collection[path]
    fields = typed_dicts[target.canonical_path]
    own = [known for known in function.parameters if known is not parameter]
    added = {name: field for name, field in fields.items() if name not in {known.name for known in own}}
    function.parameters = griffe.Parameters(*own, *_parameters(added))
    # A constructor is described by its class.
    described = function.parent if function.name == "__init__" and function.docstring is None else function
    if described is not None and described.docstring is not None:
        texts = "".join(text for _, text in added.values())
        described.docstring.value = in_place_of_options(described.docstring.value, texts)


def _parameters(fields: Fields) -> Iterator[griffe.Parameter]:
    for name, (annotation, _) in fields.items():
        yield griffe.Parameter(name, annotation=annotation, kind=griffe.ParameterKind.keyword_only, default="None")


def _give_constructor(found: griffe.Class, fields: Fields) -> None:
    """Show the keys of a TypedDict, including inherited ones, as the parameters of its constructor."""
    own = griffe.Parameter("self", kind=griffe.ParameterKind.positional_or_keyword)
    maker = griffe.Function("__init__", parameters=griffe.Parameters(own, *_parameters(fields)))
    for name in fields:
        found.members.pop(name, None)
    found.set_member("__init__", maker)
    if found.docstring is not None:
        said = described_in(found.docstring.value)
        inherited = "".join(text for name, (_, text) in fields.items() if name not in said)
        found.docstring.value = in_place_of_options(found.docstring.value, inherited)


def with_inherited(found: griffe.Class) -> str:
    """A class's docstring with the parameters of its constructor that only a base describes, in the base's order."""
    assert found.docstring is not None
    own = described_in(found.docstring.value)
    is_dataclass = any("dataclass" in str(decorator.value) for decorator in found.decorators)
    taken = {parameter.name for parameter in found.parameters}
    inherited: dict[str, str] = {}
    for base in reversed(found.mro()):
        if base.docstring is not None:
            inherited.update(described_in(base.docstring.value))
    missing = {name: text for name, text in inherited.items() if name not in own and (is_dataclass or name in taken)}
    if not missing:
        return found.docstring.value
    body, mark, fields = found.docstring.value.partition("\n:")
    return f"{body.rstrip()}\n\n{''.join(missing.values())}{mark.strip()}{fields}".rstrip()


# --- docstrings -----------------------------------------------------------------------------------------------------


def _take_comment(attribute: griffe.Attribute) -> None:
    """Use the ``#:`` comment above an attribute, or behind it, as its docstring."""
    if attribute.lineno is None or isinstance(attribute.filepath, list):
        return
    lines = attribute.lines_collection[attribute.filepath]
    behind = lines[attribute.lineno - 1].partition("#: ")[2]
    above: list[str] = []
    number = attribute.lineno - 2
    while number >= 0 and lines[number].lstrip().startswith("#:"):
        above.insert(0, lines[number].strip().removeprefix("#:").strip())
        number -= 1
    if behind or above:
        attribute.docstring = griffe.Docstring(behind or " ".join(above), parent=attribute)


def markdown(text: str, context: griffe.Object) -> str:
    """A docstring with its links and code blocks in Markdown syntax."""
    text = _LITERAL.sub(_fenced, text + "\n")
    return _ROLE.sub(lambda role: _link(role[2], bool(role[1]), context), text).replace("``", "`").rstrip()


def _fenced(block: re.Match[str]) -> str:
    lead = f"{block['lead']}:\n\n" if block["lead"] else ""
    code = "\n".join(line[4:] for line in block["code"].strip("\n").splitlines())
    return f"{lead}~~~python\n{code}\n~~~\n\n"


def _link(target: str, short: bool, context: griffe.Object) -> str:
    shown = target.rpartition(".")[2] if short else target
    path = _resolved(target, context)
    return f'<autoref identifier="{path}" optional><code>{shown}</code></autoref>' if path else f"`{shown}`"


def _resolved(target: str, context: griffe.Object) -> str | None:
    """The path of what a role names: a member of the class, a name of the module, or one of the package's own."""
    package = context.package
    first, _, rest = target.partition(".")
    scope: griffe.Object | griffe.Alias | None = context
    while scope is not None:
        if isinstance(scope, griffe.Class) and first in scope.all_members:
            return f"{scope.all_members[first].canonical_path}{'.' * bool(rest)}{rest}"
        scope = scope.parent
    for path in (target, f"{package.path}.{target}", f"{context.module.path}.{target}"):
        try:
            return str(context.modules_collection[path].canonical_path)
        except (KeyError, griffe.GriffeError):
            continue
    return None
