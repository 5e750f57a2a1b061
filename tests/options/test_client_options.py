"""The keyword options of a client as type checkers see them: the same as in the table."""

from __future__ import annotations

from typing import get_type_hints

import pytest

from wiredrv import Client
from wiredrv.errors import ConfigurationError
from wiredrv.options.client_options import ClientOptions
from wiredrv.options.table import OPTIONS


def test_the_keys_are_the_names_and_aliases_of_the_table() -> None:
    known = {name for option in OPTIONS for name in (option.name, *option.aliases)}
    assert set(ClientOptions.__annotations__) == known - {"document_class", "tz_aware", "type_registry"}
    assert not ClientOptions.__required_keys__


def test_every_option_can_be_left_open_with_none() -> None:
    for name, annotation in get_type_hints(ClientOptions).items():
        assert type(None) in annotation.__args__, name


def test_a_client_takes_every_key_as_a_keyword() -> None:
    Client("mongodb://localhost", **dict.fromkeys(ClientOptions.__annotations__))  # type: ignore[arg-type]  # all None


def test_a_key_that_is_unknown_is_still_refused() -> None:
    with pytest.raises(ConfigurationError, match="did you mean maxPoolSize"):
        Client(maxPoolSise=1)  # type: ignore[call-arg]  # bad input is the point
