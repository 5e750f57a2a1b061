"""Types in the sources, and at run time. How type checkers see them is in ``tests/types`` (``make lint``)."""

from __future__ import annotations

import tokenize
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypedDict

import bson
import pytest
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument

import wiredrv
from tools.synchronous.plan import MODULES
from wiredrv.client.client import Client
from wiredrv.errors import ConfigurationError

ROOT = Path(__file__).resolve().parents[1]


class Order(TypedDict):
    sku: str


def _written(path: Path, word: str) -> int:
    """How often a name appears in a module, besides its imports; comments, docstrings and strings do not count."""
    found, importing, beginning = 0, False, True
    with tokenize.open(path) as source:
        for token in tokenize.generate_tokens(source.readline):
            if token.type in (tokenize.NL, tokenize.COMMENT, tokenize.INDENT, tokenize.DEDENT):
                continue
            if token.type == tokenize.NEWLINE:
                beginning = True
                continue
            if beginning:
                importing, beginning = token.string in ("from", "import"), False
            found += token.type == tokenize.NAME and token.string == word and not importing
    return found


def test_any_is_written_where_a_value_really_is_anything() -> None:
    """Values of documents are; arguments that are only checked or passed on are objects. There were 748 uses."""
    # These repeat the signatures of the asynchronous classes.
    generated = {ROOT / "wiredrv" / "sync" / f"{name}.py" for name in MODULES.values()}
    paths = [path for path in (ROOT / "wiredrv").rglob("*.py") if path not in generated]
    counts = Counter({str(path.relative_to(ROOT)): _written(path, "Any") for path in paths})
    assert sum(counts.values()) < 300, counts.most_common(10)


def test_words_are_counted_outside_of_imports_comments_and_strings(tmp_path: Path) -> None:
    source = tmp_path / "module.py"
    source.write_text(
        '"""Any."""\nfrom typing import (\n    Any,\n)\n# Any\nx: Any = "Any"\ndef f(a: dict[str, Any]) -> Any: ...\n'
    )
    assert _written(source, "Any") == 3


# --- the same at run time ---


def test_what_is_generic_can_be_subscripted_at_run_time() -> None:
    generic = [wiredrv.Client, wiredrv.Database, wiredrv.Collection, wiredrv.Cursor, wiredrv.CommandCursor]
    for kind in [*generic, wiredrv.InsertOne, wiredrv.ReplaceOne]:
        assert kind[Order].__origin__ is kind  # type: ignore[index]  # a list of classes
    assert repr(wiredrv.InsertOne[Order]({"sku": "abc"})) == "InsertOne(document={'sku': 'abc'})"
    client = Client[Order]("mongodb://localhost")
    assert client.shop.orders == Client.get_database(client, "shop").orders


@pytest.mark.parametrize("document_class", [dict, RawBSONDocument, Order])
def test_the_class_of_the_documents_is_handed_down(document_class: type) -> None:
    client = Client("mongodb://localhost", document_class=document_class)
    plain = Client("mongodb://localhost")
    for handle in (
        client,
        client.shop,
        client.shop.orders,
        client.get_database("shop"),
        plain.get_database("shop", document_class=document_class),
        plain.shop.with_options(document_class=document_class),
        plain.shop.get_collection("orders", document_class=document_class).of_today,
        plain.shop.orders.with_options(document_class=document_class),
        plain.shop.orders.with_options(CodecOptions(document_class=document_class)),
        plain.shop.orders.with_options(CodecOptions(document_class=dict), document_class=document_class),
    ):
        assert handle.codec_options.document_class is document_class
    # An object of a TypedDict is a dict: nothing has to be decoded differently.
    assert client.shop.orders._target.plain is (document_class is not RawBSONDocument)


def test_other_codec_options_stay_when_the_class_of_the_documents_is_chosen() -> None:
    options: CodecOptions[Any] = CodecOptions(tz_aware=True)
    chosen = Client("mongodb://localhost").shop.orders.with_options(options, document_class=Order)
    assert (chosen.codec_options.tz_aware, chosen.codec_options.document_class) == (True, Order)
    assert not chosen._target.plain


def test_a_class_that_cannot_hold_documents_is_refused() -> None:
    client = Client("mongodb://localhost")
    with pytest.raises(ConfigurationError, match="document_class must be a class of mutable mappings"):
        client.shop.get_collection("orders", document_class=int)  # type: ignore[type-var]  # bad input is the point


@pytest.mark.parametrize("wrong", [5, int, list[int], Mapping])
def test_clients_and_databases_refuse_the_same_classes(wrong: Any) -> None:
    client = Client("mongodb://localhost")
    with pytest.raises(ConfigurationError, match=r"document_class.* a class of mutable mappings"):
        Client(document_class=wrong)
    with pytest.raises(ConfigurationError, match=r"document_class.* a class of mutable mappings"):
        client.get_database("shop", document_class=wrong)


def test_a_subscripted_class_is_taken_by_clients_and_collections_alike() -> None:
    client = Client("mongodb://localhost", document_class=dict[str, int])
    collection = Client("mongodb://localhost").shop.get_collection("orders", document_class=dict[str, int])
    for options in (client.codec_options, client.shop.orders.codec_options, collection.codec_options):
        assert options.document_class == dict[str, int]
        assert bson.decode(bson.encode({"a": 1}), options) == {"a": 1}
