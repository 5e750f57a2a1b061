"""Finished spans become trees, as the runner compares them."""

from __future__ import annotations

from bson.int64 import Int64
from opentelemetry import trace

from spec_tests.spans import SpanLog


def test_spans_are_joined_to_trees_in_the_order_in_which_they_started() -> None:
    log = SpanLog()
    tracer = log.option(True)["tracer_provider"].get_tracer("test")
    with tracer.start_as_current_span("a", attributes={"n": 1, "flag": True, "text": "x"}):
        with tracer.start_as_current_span("b"):
            tracer.start_span("c").end()
        tracer.start_span("d").end()
    tracer.start_span("e").end()
    first, second = log.trees
    assert [tree.name for tree in (first, second)] == ["a", "e"]
    assert [tree.name for tree in first.nested] == ["b", "d"]
    assert [tree.name for tree in first.nested[0].nested] == ["c"]
    assert first.attributes == {"n": 1, "flag": True, "text": "x"}
    assert [type(value) for value in first.attributes.values()] == [Int64, bool, str]


def test_a_span_whose_parent_is_not_known_is_an_outermost_one() -> None:
    log = SpanLog()
    tracer = log.option(False)["tracer_provider"].get_tracer("test")
    above = tracer.start_span("never ended")
    tracer.start_span("a", trace.set_span_in_context(above)).end()
    assert [tree.name for tree in log.trees] == ["a"]


def test_the_payload_of_commands_is_an_option() -> None:
    assert SpanLog().option(False)["query_text_max_length"] == 0
    assert SpanLog().option(True)["query_text_max_length"] > 10_000
