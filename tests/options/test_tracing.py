"""Whether a client is traced: its option, over the environment."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from wiredrv.errors import ConfigurationError, ConfigurationWarning
from wiredrv.options.tracing import (
    ENABLED_VARIABLE,
    LENGTH_VARIABLE,
    TracingSettings,
    is_enabled,
    query_text_length,
)
from wiredrv.options.uri import parse_client_settings

PROVIDER = SimpleNamespace(get_tracer=print)


@pytest.mark.parametrize(
    "option, variable, enabled",
    [
        (None, None, False),
        (None, "", False),
        (None, "false", False),
        (None, "0", False),
        (None, "on", False),  # the specification has three spellings
        (None, "1", True),
        (None, "true", True),
        (None, " Yes ", True),
        (True, None, True),
        (True, "false", True),
        (False, "true", False),
    ],
)
def test_the_option_wins_over_the_environment(option: bool | None, variable: str | None, enabled: bool) -> None:
    environment = {} if variable is None else {ENABLED_VARIABLE: variable}
    assert is_enabled(TracingSettings(option), environment) is enabled


@pytest.mark.parametrize(
    "option, variable, length",
    [
        (None, None, 0),
        (None, "1024", 1024),
        (None, "-1", 0),
        (None, "many", 0),
        (None, "٣", 0),
        (0, "1024", 0),
        (7, None, 7),
    ],
)
def test_the_length_of_the_query_text(option: int | None, variable: str | None, length: int) -> None:
    environment = {} if variable is None else {LENGTH_VARIABLE: variable}
    assert query_text_length(TracingSettings(None, option), environment) == length


@pytest.mark.parametrize(
    "value, settings",
    [
        (None, TracingSettings()),
        ({}, TracingSettings()),
        ({"enabled": None}, TracingSettings()),
        ({"enabled": False}, TracingSettings(False)),
        ({"enabled": True, "query_text_max_length": 9}, TracingSettings(True, 9)),
        ({"tracer_provider": PROVIDER}, TracingSettings(None, None, PROVIDER)),
    ],
)
def test_the_option_is_a_dict(value: Any, settings: TracingSettings) -> None:
    assert parse_client_settings(None, {"tracing": value}).tracing == settings


@pytest.mark.parametrize(
    "value",
    [
        True,
        "enabled",
        ["enabled"],
        {"enable": True},
        {"enabled": "true"},
        {"enabled": 1},
        {"query_text_max_length": -1},
        {"query_text_max_length": True},
        {"query_text_max_length": "10"},
        {"tracer_provider": object()},
        {"tracer_provider": SimpleNamespace(get_tracer=1)},
    ],
)
def test_another_value_is_refused_with_what_is_taken(value: Any) -> None:
    with pytest.raises(ConfigurationError, match="tracing must be a dict with some of the keys enabled"):
        parse_client_settings(None, {"tracing": value})


def test_a_connection_string_cannot_enable_it() -> None:
    with pytest.warns(ConfigurationWarning, match="keyword argument only"):
        settings = parse_client_settings("mongodb://localhost/?tracing=true")
    assert settings.tracing == TracingSettings()
