"""Causal tokens of sessions: the one that a session gives, and those that it was started after."""

from __future__ import annotations

from wiredrv.client.core import ClientCore
from wiredrv.execution.confirmation import report_ignored
from wiredrv.session.after import After, read_tokens
from wiredrv.session.options import SessionOptions
from wiredrv.session.state import SessionState
from wiredrv.session.tokens import UNKNOWN_DEPLOYMENT, deployment_label, write_causal_token


def refuse_unreadable(options: SessionOptions) -> None:
    """Refuse to start a session after a token that cannot be read, or whose signature is wrong, if that is asked for.

    :raises InvalidToken: there is such a token, and the options say ``invalid_token="refuse"``.
    """
    if options.invalid_token == "refuse":
        for problem in read_tokens(options.after or (), options.token_keys)[1]:
            raise problem


def start_after(core: ClientCore, state: SessionState, options: SessionOptions) -> None:
    """Note the tokens that a session is started after, and report those that cannot be read. Nothing is sent."""
    tokens, problems = read_tokens(options.after or (), options.token_keys)
    for problem in problems:
        report_ignored(core.hub, state.lsid, problem)
    if tokens:
        state.after = After(tokens, options.invalid_token == "refuse")


def causal_token(core: ClientCore, state: SessionState) -> str | None:
    """The token of what a session has done and seen; None if that is nothing.

    Before its first operation, a session that was started after tokens gives the latest of their times: the token goes
    on from there, and who gets it has it confirmed as well. A cluster time is only added if it came from a server. What
    is of another deployment does not get the name of this one.
    """
    own = deployment_label(core.topology.description)
    time = state.operation_time
    if state.after is not None and state.after.refusal is None:
        latest = state.after.latest(own)
        if latest is not None and (time is None or latest.operation_time > time):
            own = latest.deployment if own == UNKNOWN_DEPLOYMENT else own
            time = latest.operation_time
    # A time of 0 is no time, and no server would take it.
    return None if time is None or not time.time else write_causal_token(time, state.cluster_time, own)
