"""The reference of a client's options agrees with the table of options and with what the driver does."""

from __future__ import annotations

import warnings

import pytest

from wiredrv.errors import ConfigurationError
from wiredrv.options.client_options import ClientOptions
from wiredrv.options.kinds import BadValue
from wiredrv.options.meanings import MEANINGS, REFUSED, Meaning
from wiredrv.options.table import OPTIONS, Option
from wiredrv.options.uri import parse_client_settings

_OF = {option.name: option for option in OPTIONS}
_ALL = pytest.mark.parametrize("name, meaning", MEANINGS.items(), ids=MEANINGS)
#: Options that only make sense for certain hosts.
_HOSTS = {
    "srvMaxHosts": "mongodb+srv://db.example.com",
    "srvServiceName": "mongodb+srv://db.example.com",
    "authMechanismProperties": "mongodb://localhost",
}
#: Spellings that are refused with any value.
_ALWAYS_REFUSED = set(REFUSED)


def test_every_option_of_the_table_has_a_meaning_and_nothing_else_has_one() -> None:
    assert sorted(MEANINGS) == sorted(_OF)


@_ALL
def test_a_meaning_is_a_sentence_with_a_specification(name: str, meaning: Meaning) -> None:
    assert meaning.text[0].isupper()
    assert meaning.text.endswith(".")
    assert meaning.spec


@_ALL
def test_a_number_has_a_unit(name: str, meaning: Meaning) -> None:
    if name.endswith("MS"):
        assert meaning.unit == "milliseconds"
    elif name.endswith("Seconds"):
        assert meaning.unit == "seconds"
    elif _OF[name].kind.accepts.startswith("a whole number from") and name not in ("w", "zlibCompressionLevel"):
        assert meaning.unit or name in REFUSED


@_ALL
def test_the_default_is_what_the_driver_does_without_the_option(name: str, meaning: Meaning) -> None:
    if meaning.default is None:
        return
    host = _HOSTS.get(name, "mongodb://localhost")
    with_it, without = parse_client_settings(host, {name: meaning.default}), parse_client_settings(host, {})
    assert with_it == without


@_ALL
def test_a_spelling_is_accepted_in_a_connection_string_and_names_the_option(name: str, meaning: Meaning) -> None:
    if not meaning.spelling:
        assert _is_keyword_only(_OF[name])
        return
    assert f"{name}=" in meaning.spelling
    uri = f"{_HOSTS.get(name, 'mongodb://user:password@localhost')}/?{meaning.spelling}"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        if name in _ALWAYS_REFUSED:
            with pytest.raises(ConfigurationError, match="proxy"):
                parse_client_settings(uri, {})
        else:
            parse_client_settings(uri, {})


@_ALL
def test_help_describes_the_option(name: str, meaning: Meaning) -> None:
    (line,) = [line for line in (ClientOptions.__doc__ or "").splitlines() if line.startswith(f":param {name}: ")]
    assert meaning.text.split("`")[0] in line
    assert meaning.unit in line or meaning.unit not in ("milliseconds", "seconds")
    for odd in ("() by default", "<class", "In hosts", "In connections", "In retries"):
        assert odd not in line


def _is_keyword_only(option: Option) -> bool:
    try:
        option.kind.from_text("anything")
    except BadValue as problem:
        return "keyword argument only" in str(problem)
    return False
