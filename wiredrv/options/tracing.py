"""Whether a client is traced, and how: its option ``tracing``, over the environment. Pure.

OpenTelemetry specification, "Enabling, Disabling, and Configuring OpenTelemetry".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypedDict

from wiredrv.options.kinds import BadValue, OptionKind

ENABLED_VARIABLE = "OTEL_PYTHON_INSTRUMENTATION_MONGODB_ENABLED"
LENGTH_VARIABLE = "OTEL_PYTHON_INSTRUMENTATION_MONGODB_QUERY_TEXT_MAX_LENGTH"

_YES = frozenset({"1", "true", "yes"})


class TracingOptions(TypedDict, total=False):
    """The option ``tracing`` of a :class:`~wiredrv.Client`. OpenTelemetry specification, "MongoClient Options".

    :param enabled: whether the client is traced; it wins over the environment variable
        ``OTEL_PYTHON_INSTRUMENTATION_MONGODB_ENABLED``.
    :param query_text_max_length: how many characters of a command the attribute ``db.query.text`` of its span shows; 0
        leaves it out. It wins over ``OTEL_PYTHON_INSTRUMENTATION_MONGODB_QUERY_TEXT_MAX_LENGTH``.
    :param tracer_provider: an ``opentelemetry.trace.TracerProvider``; without it, the one that the program has set.
    """

    enabled: bool
    query_text_max_length: int
    tracer_provider: Any


@dataclass(frozen=True, slots=True)
class TracingSettings:
    """What the client's option says; None: the environment decides.

    :param enabled: whether the client is traced.
    :param query_text_max_length: characters of ``db.query.text``; 0 leaves it out.
    :param tracer_provider: makes the tracer; None takes the one that the program has set.
    """

    enabled: bool | None = None
    query_text_max_length: int | None = None
    tracer_provider: Any = None


def is_enabled(settings: TracingSettings, environment: Mapping[str, str]) -> bool:
    """Whether the client is traced."""
    if settings.enabled is not None:
        return settings.enabled
    return environment.get(ENABLED_VARIABLE, "").strip().lower() in _YES


def query_text_length(settings: TracingSettings, environment: Mapping[str, str]) -> int:
    """The characters of ``db.query.text``, 0 for none. A value of the environment that is no such number is ignored."""
    if settings.query_text_max_length is not None:
        return settings.query_text_max_length
    text = environment.get(LENGTH_VARIABLE, "").strip()
    return int(text) if text.isascii() and text.isdigit() else 0


def _refuse_text(text: str) -> object:
    raise BadValue("it can be given as a keyword argument only, so that a copied connection string traces nothing")


def _check(value: object) -> TracingSettings:
    if not isinstance(value, Mapping) or not TracingOptions.__annotations__.keys() >= value.keys():
        raise BadValue
    given = {name: setting for name, setting in value.items() if setting is not None}
    enabled, length = given.get("enabled", False), given.get("query_text_max_length", 0)
    if not isinstance(enabled, bool) or isinstance(length, bool) or not isinstance(length, int) or length < 0:
        raise BadValue
    if "tracer_provider" in given and not callable(getattr(given["tracer_provider"], "get_tracer", None)):
        raise BadValue
    return TracingSettings(**given)


TRACING = OptionKind(
    "a dict with some of the keys enabled (true or false), query_text_max_length (a whole number from 0 up) and "
    "tracer_provider (of opentelemetry)",
    _refuse_text,
    _check,
)
