"""What a session was started after: which of its tokens count, and how far. Pure: the executor asks the servers.

A token is written by somebody else, so its time is a claim. It becomes ``afterClusterTime`` only when the deployment
itself is known to have reached it. For each token, with ``known`` the latest cluster time that servers sent:

==========================================  ===========================================================
it is of another deployment                 refused
``known`` is later than it by 30 days       refused: too old to mean anything
it is not later than ``known``              accepted
it is later, and nobody was asked yet       open: the primary is asked, and the token judged again
it is still later                           refused: forged, or foreign, or rolled back
==========================================  ===========================================================

A refused token is treated as absent, or makes each operation of the session fail (``invalid_token="refuse"``).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bson.timestamp import Timestamp

from wiredrv.errors import ConfigurationError, InvalidToken
from wiredrv.session.cluster_time import ClusterTime, later
from wiredrv.session.tokens import CausalToken, TokenKeys, read_causal_token, same_deployment

#: Seconds by which a token may be older than the deployment's cluster time: 30 days.
OLDEST_SECONDS = 30 * 24 * 3600


@dataclass(frozen=True, slots=True)
class Judgement:
    """What becomes of tokens.

    :param accepted: the latest time of those that are accepted; None if there is none.
    :param open: those that are later than what is known.
    :param refused: the others, each with the reason.
    """

    accepted: Timestamp | None
    open: tuple[CausalToken, ...]
    refused: tuple[tuple[CausalToken, InvalidToken], ...]

    @property
    def gossip(self) -> ClusterTime | None:
        """The latest cluster time of the open tokens that may be sent to a server."""
        found: ClusterTime | None = None
        for token in self.open:
            found = later(found, token.gossip)
        return found

    def closed(self, known: Timestamp | None, trouble: InvalidToken | None = None) -> Judgement:
        """The same when nobody is asked any more: what is open is refused.

        :param trouble: why it could not be found out; None if it was.
        """
        refused = tuple((token, trouble or _unconfirmed(token, known)) for token in self.open)
        return Judgement(self.accepted, (), self.refused + refused)


def judge(tokens: Iterable[CausalToken], own: bytes, known: Timestamp | None) -> Judgement:
    """Judge tokens by the table above.

    :param own: the label of the client's deployment.
    :param known: the latest cluster time that the deployment's servers sent; None before they sent any.
    """
    accepted: Timestamp | None = None
    still_open: list[CausalToken] = []
    refused: list[tuple[CausalToken, InvalidToken]] = []
    for token in tokens:
        time = token.operation_time
        if not same_deployment(token.deployment, own):
            refused.append((token, InvalidToken("this causal token is of another deployment", "foreign")))
        elif known is None or time > known:
            still_open.append(token)
        elif known.time - time.time > OLDEST_SECONDS:
            text = f"this causal token is of {time.as_datetime():%Y-%m-%d}, and more than 30 days old"
            refused.append((token, InvalidToken(text, "old")))
        elif accepted is None or time > accepted:
            accepted = time
    return Judgement(accepted, tuple(still_open), tuple(refused))


def _unconfirmed(token: CausalToken, known: Timestamp | None) -> InvalidToken:
    if known is None:
        text = "the time of this causal token cannot be confirmed: standalone servers have no cluster time"
        return InvalidToken(text, "unconfirmed")
    text = (
        f"the time of this causal token, {token.operation_time}, is later than that of the deployment, {known}: the "
        "token is forged, or of another deployment, or what it stands for was rolled back"
    )
    return InvalidToken(text, "unconfirmed")


class After:
    """The tokens that a session was started after, until its first operation has succeeded.

    :param tokens: those that could be read; at least one.
    :param refuse: whether a token that cannot be used makes operations fail.
    :param unanswered: whether the primary was asked and did not answer: the session's operations are done without these
        tokens, and only its own token still says their times, for the next session.
    """

    __slots__ = ("confirmed", "refusal", "refuse", "tokens", "unanswered")

    def __init__(self, tokens: tuple[CausalToken, ...], refuse: bool, unanswered: bool = False) -> None:
        self.tokens = tokens
        self.refuse = refuse
        self.unanswered = unanswered
        #: The time that the deployment has confirmed: an operation of the session now waits for it.
        self.confirmed: Timestamp | None = None
        #: Why the tokens were refused, if operations fail for it.
        self.refusal: InvalidToken | None = None

    def latest(self, own: bytes) -> CausalToken | None:
        """The token with the latest operation time; None if each of them is of another deployment.

        :param own: the label of the client's deployment.
        """
        same = [token for token in self.tokens if same_deployment(token.deployment, own)]
        return max(same, key=lambda token: token.operation_time, default=None)


def checked_after(value: object) -> tuple[str, ...]:
    """The texts of ``start_session(after=...)``: one, or several, of which those that are None do not count.

    :raises ConfigurationError: it is neither a text nor several.
    """
    several: object = () if value is None else (value,) if isinstance(value, str) else value
    if isinstance(several, Sequence) and not isinstance(several, (str, bytes, bytearray, memoryview)):
        found = tuple(several)
        if all(text is None or isinstance(text, str) for text in found):
            return tuple(text for text in found if text is not None)
    raise ConfigurationError(
        f"after takes a causal token, which is a text, or a list of them, not {type(value).__name__}"
    )


def read_tokens(
    texts: Iterable[str | None], keys: TokenKeys | None
) -> tuple[tuple[CausalToken, ...], tuple[InvalidToken, ...]]:
    """Read causal tokens.

    :returns: those that can be used so far, and the reasons of the others.
    """
    found: list[CausalToken] = []
    problems: list[InvalidToken] = []
    for text in texts:
        try:
            if text is not None:
                found.append(read_causal_token(text, keys))
        except InvalidToken as problem:
            problems.append(problem.with_traceback(None))
    return tuple(found), tuple(problems)
