"""What gives access tokens: one call at a time, in time, from functions, threads, files and metadata services."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from tests.support.metadata_service import FakeMetadataService, fake_metadata_service
from tests.support.waiting import until
from wiredrv.connection import token_source
from wiredrv.connection.auth.callbacks import OIDCCallbackContext, OIDCCallbackResult
from wiredrv.connection.auth.conversation import Token, TokenRequest
from wiredrv.connection.settings import Credentials
from wiredrv.connection.token_source import LEAST_DISTANCE, TokenSource
from wiredrv.errors import AutoReconnect, CredentialsError
from wiredrv.waits import monotonic

pytestmark = pytest.mark.anyio


def source_of(callback: object, name: str = "OIDC_CALLBACK") -> TokenSource:
    return TokenSource(Credentials("MONGODB-OIDC", "$external", None, None, {name: callback}))


def from_environment(environment: str, username: str | None = None, resource: str = "the audience") -> TokenSource:
    properties = {"ENVIRONMENT": environment, "TOKEN_RESOURCE": resource}
    return TokenSource(Credentials("MONGODB-OIDC", "$external", username, None, properties))


async def test_many_requests_are_answered_by_one_call() -> None:
    calls = 0

    async def callback(context: OIDCCallbackContext) -> OIDCCallbackResult:
        nonlocal calls
        calls += 1
        await anyio.sleep(0.02)
        return OIDCCallbackResult("a")

    source, answers = source_of(callback), []

    async def ask() -> None:
        answers.append(await source.answer(TokenRequest()))

    async with anyio.create_task_group() as group:
        for _ in range(20):
            group.start_soon(ask)
    assert calls == 1
    assert answers == [Token("a", False)] + [Token("a", True)] * 19


async def test_two_calls_are_a_tenth_of_a_second_apart() -> None:
    starts: list[float] = []

    async def callback(context: OIDCCallbackContext) -> OIDCCallbackResult:
        starts.append(monotonic())
        return OIDCCallbackResult("a")

    source = source_of(callback)
    for _ in range(3):
        await source.answer(TokenRequest())
        source.cache.invalidate("a")
    assert all(later - earlier >= LEAST_DISTANCE * 0.99 for earlier, later in itertools.pairwise(starts))


@pytest.mark.parametrize("fails", [True, False])
async def test_a_call_that_fails_or_is_cancelled_is_followed_by_another(fails: bool) -> None:
    calls = 0

    async def callback(context: OIDCCallbackContext) -> OIDCCallbackResult:
        nonlocal calls
        calls += 1
        if calls == 1:
            if fails:
                raise KeyError("hush-hush")
            await anyio.sleep_forever()
        return OIDCCallbackResult("a")

    source, answers = source_of(callback), []

    async def ask() -> None:
        answers.append(await source.answer(TokenRequest()))

    async with anyio.create_task_group() as group:
        if fails:
            with pytest.raises(CredentialsError, match=r"OIDC_CALLBACK raised KeyError$") as failure:
                await source.answer(TokenRequest())
            assert "hush" not in repr(failure.value)
            assert isinstance(failure.value.__cause__, KeyError)
        else:
            with anyio.move_on_after(0.05):
                group.start_soon(ask)  # waits behind the call that is cancelled
                await source.answer(TokenRequest())
        await ask()
    assert calls == 2


async def test_a_callback_that_takes_too_long_is_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token_source, "MACHINE_SECONDS", 0.02)
    ended: list[str] = []

    async def callback(context: OIDCCallbackContext) -> OIDCCallbackResult:
        try:
            await anyio.sleep_forever()
        finally:
            ended.append("cancelled")
        raise AssertionError

    with pytest.raises(CredentialsError, match=r"OIDC_CALLBACK gave nothing within 0\.02 s"):
        await source_of(callback).answer(TokenRequest())
    assert ended == ["cancelled"]


async def test_an_error_of_the_drivers_own_says_nothing_about_the_server() -> None:
    """A callback may use another client; a broken connection there is not one here."""

    def callback(context: OIDCCallbackContext) -> OIDCCallbackResult:
        raise AutoReconnect("another server")

    with pytest.raises(CredentialsError, match="raised AutoReconnect"):
        await source_of(callback).answer(TokenRequest())


async def test_a_synchronous_callback_runs_in_a_thread_and_in_one_only() -> None:
    go_on, running, most = threading.Event(), 0, 0

    class Callback:
        def fetch(self, context: OIDCCallbackContext) -> OIDCCallbackResult:
            nonlocal running, most
            assert threading.current_thread() is not threading.main_thread()
            running += 1
            most = max(most, running)
            go_on.wait(10)
            running -= 1
            return OIDCCallbackResult("a")

    source = source_of(Callback())
    with anyio.move_on_after(0.05):
        await source.answer(TokenRequest())
    answers: list[Token] = []

    async def ask() -> None:
        answers.append(await source.answer(TokenRequest()))

    async with anyio.create_task_group() as group:
        group.start_soon(ask)
        await until(lambda: source._busy is not None, "the second call")
        await anyio.sleep(0.15)
        go_on.set()
    assert most == 1
    assert answers == [Token("a", False)]


async def test_a_human_has_five_minutes() -> None:
    given: list[OIDCCallbackContext] = []

    async def callback(context: OIDCCallbackContext) -> OIDCCallbackResult:
        given.append(context)
        return OIDCCallbackResult("a", None, "r")

    source = source_of(callback, "OIDC_HUMAN_CALLBACK")
    await source.answer(TokenRequest("before"))
    assert [(context.timeout_seconds, context.refresh_token) for context in given] == [(300.0, "before")]
    assert source.cache.refresh_token == "r"


# --- environments ---


@pytest.mark.parametrize("environment, variable", [("test", "OIDC_TOKEN_FILE"), ("k8s", "AZURE_FEDERATED_TOKEN_FILE")])
async def test_the_token_in_a_file_is_read_anew_each_time(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, environment: str, variable: str
) -> None:
    file = tmp_path / "token"
    monkeypatch.setenv(variable, str(file))
    source = from_environment(environment)
    with pytest.raises(CredentialsError, match=f"ENVIRONMENT:{environment} raised FileNotFoundError"):
        await source.answer(TokenRequest())
    for token in ("one", "two"):
        file.write_text(f"{token}\n")
        assert await source.answer(TokenRequest()) == Token(token, False)
        source.cache.invalidate(token)


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[FakeMetadataService]]:
    with fake_metadata_service(monkeypatch) as service:
        yield service


async def test_azure_is_asked_for_a_token_of_the_identity(service: type[FakeMetadataService]) -> None:
    service.answers.append((200, b'{"access_token": "abc", "expires_in": "3599"}'))
    assert await from_environment("azure", "an-id").answer(TokenRequest()) == Token("abc", False)
    path, headers = service.asked[0]
    assert path.endswith("?api-version=2018-02-01&resource=the%20audience&client_id=an-id")
    assert (headers["metadata"], headers["accept"]) == ("true", "application/json")


async def test_google_is_asked_for_a_token_for_the_audience(service: type[FakeMetadataService]) -> None:
    service.answers.append((200, b"abc"))
    assert await from_environment("gcp").answer(TokenRequest()) == Token("abc", False)
    path, headers = service.asked[0]
    assert path.endswith("/default/identity?audience=the%20audience")
    assert headers["metadata-flavor"] == "Google"


@pytest.mark.parametrize("status", [302, 400])
async def test_a_service_that_refuses_is_quoted_and_no_redirect_followed(
    service: type[FakeMetadataService], status: int
) -> None:
    service.answers.append((status, b"no such identity"))
    with pytest.raises(CredentialsError, match=f"status {status}: no such identity"):
        await from_environment("azure").answer(TokenRequest())
    assert len(service.asked) == 1
