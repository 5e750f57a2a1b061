"""Whether the tracing spans of a client are those that a test expects. Pure.

Unified test format specification, "expectTracingMessages".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from spec_tests.matching import MISSING, Matcher, Mismatch, join
from spec_tests.schema import ExpectedSpan, ExpectedSpans


def check_spans(expected: ExpectedSpans, observed: Sequence[Any], matcher: Matcher, path: str) -> Mismatch | None:
    """Compare the outermost spans; with ``ignoreExtraSpans`` others may be between them."""
    return _check(expected.spans, observed, matcher, f"{path}.spans", expected.ignore_extra_spans)


def _check(
    expected: Sequence[ExpectedSpan], observed: Sequence[Any], matcher: Matcher, path: str, extra: bool
) -> Mismatch | None:
    left = list(observed)
    for index, span in enumerate(expected):
        where = f"{path}[{index}]"
        found: Mismatch | None = Mismatch(where, f"there is no span {span.name!r}", span.name, MISSING)
        while left:
            found = _check_span(span, left.pop(0), matcher, where, extra)
            if found is None or not extra:
                break
        if found is not None:
            return found
    if left and not extra:
        return Mismatch(path, f"{len(left)} unexpected span(s)", len(expected), [span.name for span in left])
    return None


def _check_span(expected: ExpectedSpan, actual: Any, matcher: Matcher, path: str, extra: bool) -> Mismatch | None:
    if expected.name != actual.name:
        return Mismatch(path, f"expected the span {expected.name!r}, not {actual.name!r}", expected.name, actual.name)
    found = matcher.match(expected.attributes, actual.attributes, join(path, "attributes"), root=True)
    return found or _check(expected.nested, actual.nested, matcher, f"{path}.nested", extra)
