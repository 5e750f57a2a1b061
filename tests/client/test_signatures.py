"""``help()`` of a method whose options are a TypedDict: readable types, and a description of each option."""

from __future__ import annotations

import inspect
import pydoc
from typing import Any, Unpack

import pytest

import wiredrv
from wiredrv.client.signatures import TypedDict, descriptions, expanded

#: Without the overstriking that pagers show as bold.
_PLAIN = pydoc._PlainTextDoc()  # type: ignore[attr-defined]  # of Python, and missing in typeshed


class Sizes(TypedDict, total=False):
    """Sizes.

    :param width: in metres, and this goes
        on for a line.
    :param depth: in metres.
    """

    width: int | None
    depth: int | None


class Boxes(Sizes, total=False):
    """Boxes.

    :param depth: in centimetres.
    :param label: what is on it.
    """

    label: str


@expanded(Boxes)
def pack(what: str, **options: Unpack[Boxes]) -> list[Any]:
    """Pack something.

    :param what: the thing.
    :param options: the others.
    :returns: the boxes.
    """
    return [what, options]


@expanded(Sizes)
def measure(**options: Unpack[Sizes]) -> None:
    """Measure something."""


def test_a_signature_shows_the_options_with_types_as_they_are_written() -> None:
    shown = "(what: str, *, width: int | None = None, depth: int | None = None, label: str = ...) -> list[Any]"
    assert str(inspect.signature(pack)) == shown


def test_no_option_of_a_method_has_a_default_that_its_type_does_not_allow() -> None:
    for handle in (wiredrv.Client, wiredrv.Database, wiredrv.Collection):
        for name, method in inspect.getmembers(handle, inspect.isfunction):
            if not name.startswith("_"):
                for parameter in inspect.signature(method).parameters.values():
                    allowed = "None" in str(parameter.annotation) or str(parameter.annotation) in ("object", "Any")
                    assert parameter.default is not None or allowed, f"{name}: {parameter}"


def test_an_option_that_cannot_be_none_is_shown_without_its_default() -> None:
    assert "cursor_type: int = ...," in str(inspect.signature(wiredrv.Collection.find))
    assert "upsert: bool = ...," in str(inspect.signature(wiredrv.Collection.find_one_and_update))


def test_help_shows_no_objects_by_their_addresses() -> None:
    for handle in (wiredrv.Client, wiredrv.ClientSession, wiredrv.Database, wiredrv.Collection, wiredrv.RetryPolicy):
        assert " at 0x" not in pydoc.render_doc(handle, renderer=_PLAIN)


def test_the_options_are_described_in_the_place_of_the_keyword_arguments() -> None:
    assert (pack.__doc__ or "").splitlines() == [
        "Pack something.",
        "",
        ":param what: the thing.",
        ":param width: in metres, and this goes",
        "    on for a line.",
        ":param depth: in centimetres.",
        ":param label: what is on it.",
        ":returns: the boxes.",
    ]


def test_a_docstring_without_parameters_gets_those_of_the_options_at_its_end() -> None:
    assert (measure.__doc__ or "").startswith("Measure something.\n\n:param width: in metres")


def test_a_typed_dict_inherits_descriptions_and_may_give_its_own() -> None:
    assert list(descriptions(Boxes)) == ["width", "depth", "label"]
    assert descriptions(Boxes)["depth"] == ":param depth: in centimetres.\n"


@pytest.mark.parametrize(
    "handle", [wiredrv.Client, wiredrv.Database, wiredrv.Collection], ids=lambda kind: kind.__name__
)
def test_help_lists_the_options_of_every_method_that_has_some(handle: type[Any]) -> None:
    for name, method in inspect.getmembers(handle, inspect.isfunction):
        typed = any(str(annotation).startswith("Unpack[") for annotation in inspect.get_annotations(method).values())
        if typed and not name.startswith("__"):
            kinds = {parameter.kind for parameter in inspect.signature(method).parameters.values()}
            assert inspect.Parameter.VAR_KEYWORD not in kinds, f"{name}: decorate it with expanded()"


def test_a_class_shows_the_options_of_its_constructor() -> None:
    assert "unique: bool | None = None" in str(inspect.signature(wiredrv.IndexModel))
    assert ":param expireAfterSeconds: seconds" in pydoc.render_doc(wiredrv.IndexModel, renderer=_PLAIN)
    assert wiredrv.IndexModel("a", unique=True).document["unique"] is True


def test_a_function_without_a_docstring_is_left_without() -> None:
    def bare(**options: Unpack[Sizes]) -> None: ...

    assert expanded(Sizes)(bare).__doc__ is None


@pytest.mark.parametrize(
    "method",
    [
        wiredrv.Collection.find,
        wiredrv.Collection.find_one,
        wiredrv.Collection.aggregate,
        wiredrv.Collection.update_one,
        wiredrv.Collection.find_one_and_update,
        wiredrv.Database.aggregate,
        wiredrv.Database.create_collection,
        wiredrv.Database.list_collections,
        wiredrv.Database.list_collection_names,
        wiredrv.Client.list_databases,
        wiredrv.Collection.create_index,
        wiredrv.Collection.create_indexes,
        wiredrv.Collection.map_reduce,
    ],
    ids=lambda method: method.__qualname__,
)
def test_help_shows_no_machinery_and_describes_every_option(method: Any) -> None:
    text = pydoc.render_doc(method, renderer=_PLAIN)
    assert "ForwardRef" not in text
    assert "'" not in str(inspect.signature(method))
    assert ":param options:" not in text
    options = set(inspect.signature(method).parameters) - set(method.__code__.co_varnames)
    assert len(options) > 3
    for name in options:
        assert f":param {name}: " in text, name
