"""Error codes and wire versions agree with the specifications and a real server, and are numbers in one module only."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from wiredrv import server_facts
from wiredrv.errors import DriverError
from wiredrv.local import ReplicaSet
from wiredrv.local.server import Server
from wiredrv.server_facts import (
    CURSOR_GONE_CODES,
    NOT_PRIMARY_CODES,
    RECOVERING_CODES,
    RESUMABLE_CODES,
    RETRYABLE_READ_CODES,
    RETRYABLE_WRITE_CODES,
    SHUTDOWN_CODES,
    ErrorCode,
)

PACKAGE = Path(server_facts.__file__).parent


def test_the_lists_are_those_of_the_specifications() -> None:
    assert {262, 11600, 11602, 10107, 13435, 13436, 189, 91, 7, 6, 89, 9001} == RETRYABLE_WRITE_CODES
    assert {262, 11600, 11602, 10107, 13435, 13436, 189, 134, 91, 7, 6, 89, 9001} == RETRYABLE_READ_CODES
    assert {10107, 13435, 10058} == NOT_PRIMARY_CODES
    assert {11600, 11602, 13436, 189, 91} == RECOVERING_CODES
    assert {11600, 91} == SHUTDOWN_CODES
    assert {43, 136, 175, 237} == CURSOR_GONE_CODES
    old = {6, 7, 89, 91, 189, 262, 9001, 10107, 11600, 11602, 13435, 13436, 63, 150, 13388, 234, 133}
    assert old == RESUMABLE_CODES


def test_reads_are_retried_for_one_code_more_than_writes() -> None:
    """Retryable-reads specification, "Retryable Error"; retryable-writes, "RetryableWriteError Labels"."""
    assert {ErrorCode.ReadConcernMajorityNotAvailableYet} == RETRYABLE_READ_CODES - RETRYABLE_WRITE_CODES
    assert not RETRYABLE_WRITE_CODES - RETRYABLE_READ_CODES


#: The driver's own names for codes without one; and names that older servers use for a code.
_UNNAMED = {ErrorCode.DuplicateKeyOnUpdate, ErrorCode.DuplicateKeyOnCappedInsert}
_FORMER_NAMES = {"WriteConcernFailed": "WriteConcernTimeout", "OBSOLETE_StaleShardVersion": "StaleShardVersion"}
#: Codes that came after the oldest servers that the tests run on.
_NEWER = {ErrorCode.ReauthenticationRequired}


def _name_at(server: Server, code: int) -> str:
    """What a server calls an error code: a fail point makes it fail with the code."""
    data = {"failCommands": ["ping"], "errorCode": code}
    server.ask({"configureFailPoint": "failCommand", "mode": {"times": 1}, "data": data})
    with pytest.raises(DriverError) as caught:
        server.ask({"ping": 1})
    details = getattr(caught.value, "details", {})
    # A few codes need more than a fail point can provide; the error message names them.
    refused = re.search(r"Missing required extra info for error code (\w+)", details["errmsg"])
    if refused is not None:
        return refused[1]
    assert details["code"] == code
    return str(details["codeName"])


def test_a_server_gives_the_codes_the_same_names(replica_set: ReplicaSet) -> None:
    server = replica_set.primary()
    names = {code: _name_at(server, code.value) for code in ErrorCode}
    others = {code for code, name in names.items() if _FORMER_NAMES.get(name, name) != code.name}
    unknown = {code for code in others if names[code] == f"Location{code.value}"}
    assert others - unknown == _UNNAMED - unknown
    assert unknown <= _UNNAMED | _NEWER


def test_the_wire_version_of_a_release_is_what_its_servers_report(replica_set: ReplicaSet) -> None:
    server = replica_set.primary()
    major, minor = server.ask({"buildInfo": 1})["versionArray"][:2]
    known = getattr(server_facts, f"SERVER_{major}_{minor}", None)
    if known is None:
        pytest.skip(f"wiredrv has no name for the wire version of servers {major}.{minor}")
    assert server.ask({"hello": 1})["maxWireVersion"] == known


# --- nowhere else ---


def bare_numbers(source: str) -> Iterator[int]:
    """The lines that compare a code or a wire version with a number, or list codes as numbers."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Compare(left=left, comparators=others):
                sides = (left, *others)
                found = any(map(_names_a_fact, sides)) and any(map(_is_number, sides))
            case ast.Set(elts=elements):
                found = len(elements) > 1 and all(map(_is_code, elements))
            case ast.Dict(keys=keys):
                found = any(_is_code(key) for key in keys if key is not None)
            case _:
                continue
        if found:
            yield node.lineno


def _names_a_fact(node: ast.expr) -> bool:
    name = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
    return name == "code" or name.endswith("wire_version")


def _is_number(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and type(node.value) is int and node.value != 0


def _is_code(node: ast.expr) -> bool:
    # Small numbers have other meanings.
    return isinstance(node, ast.Constant) and isinstance(node.value, int) and node.value > 19 and node.value in _CODES


_CODES = {code.value for code in ErrorCode}


def test_no_other_module_writes_a_code_or_a_wire_version_as_a_number() -> None:
    found = [
        f"{path.relative_to(PACKAGE)}:{line}"
        for path in sorted(PACKAGE.rglob("*.py"))
        if path != PACKAGE / "server_facts.py"
        for line in bare_numbers(path.read_text(encoding="utf-8"))
    ]
    assert not found


@pytest.mark.parametrize(
    "source, is_found",
    [
        ("error.code == 26", True),
        ("if limits.max_wire_version >= 9: pass", True),
        ("0 < where.wire_version < 9", True),
        ("GONE = frozenset({43, 237})", True),
        ("CLASSES = {11000: Duplicate}", True),
        ("error.code == ErrorCode.NamespaceNotFound", False),
        ("limits.max_wire_version < SERVER_4_4", False),
        ("0 < where.wire_version < SERVER_4_4", False),
        ("SIZES = {0x07: 12}", False),
        ("code is None", False),
    ],
)
def test_the_search_finds_bare_numbers(source: str, is_found: bool) -> None:
    assert bool(list(bare_numbers(source))) == is_found
