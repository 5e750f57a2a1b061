"""The executor of a client: one that makes spans, where tracing is enabled. Otherwise nothing of tracing is loaded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from wiredrv.errors import ConfigurationError, ConfigurationWarning
from wiredrv.execution.executor import Executor
from wiredrv.options.tracing import ENABLED_VARIABLE, TracingSettings, is_enabled, query_text_length
from wiredrv.origin import warn


def executor_class(settings: TracingSettings, environment: Mapping[str, str]) -> Callable[..., Executor]:
    """The class of the client's executor.

    :raises ConfigurationError: the client is to be traced, and opentelemetry-api is not installed. If only the
        environment asks for it, that is a warning: the variable may be meant for other programs.
    """
    if not is_enabled(settings, environment):
        return Executor
    try:
        from wiredrv.tracing.executor import TracedExecutor
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith("opentelemetry"):
            raise
        problem = "tracing needs the package opentelemetry-api: install it with `pip install 'wiredrv[otel]'`"
        if settings.enabled:
            raise ConfigurationError(problem) from error
        warn(f"{ENABLED_VARIABLE} is set, and {problem}; this client is not traced", ConfigurationWarning)
        return Executor
    return partial(TracedExecutor, (settings.tracer_provider, query_text_length(settings, environment)))
