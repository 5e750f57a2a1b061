"""The options of sessions and transactions: immutable, and checked when they are created.

Specifications: sessions ("SessionOptions"), causal-consistency, snapshot-sessions, transactions ("TransactionOptions").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from bson.timestamp import Timestamp

from wiredrv.compat.objects import of_kind
from wiredrv.concerns import ReadConcern, ReadPreference, WriteConcern
from wiredrv.errors import ConfigurationError

if TYPE_CHECKING:
    from wiredrv.session.tokens import TokenKeys


@dataclass(frozen=True, slots=True)
class TransactionOptions:
    """The options of a transaction. Transactions specification.

    :param read_concern: of the first command; None inherits (the session's default, then the client's).
    :param write_concern: of commit and abort; None inherits. It must be acknowledged.
    :param read_preference: of every read; None inherits. Only primary is possible, which is checked when one reads.
    :param max_commit_time_ms: milliseconds that one commitTransaction may run on the server.
    :raises ConfigurationError: a value is of the wrong kind, or the write concern is unacknowledged.
    """

    read_concern: ReadConcern | None = None
    write_concern: WriteConcern | None = None
    read_preference: ReadPreference | None = None
    max_commit_time_ms: int | None = None

    def __post_init__(self) -> None:
        for name, value, kind in (
            ("read_concern", self.read_concern, ReadConcern),
            ("write_concern", self.write_concern, WriteConcern),
            ("read_preference", self.read_preference, ReadPreference),
        ):
            if value is not None:
                object.__setattr__(self, name, of_kind(name, value, kind))
        if self.write_concern is not None and not self.write_concern.acknowledged:
            raise ConfigurationError(
                f"transactions do not support unacknowledged write concerns: {self.write_concern!r}; use w=1 or more"
            )
        limit = self.max_commit_time_ms
        if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 0):
            raise ConfigurationError(f"max_commit_time_ms must be a number of milliseconds from 0 up, not {limit!r}")

    def over(self, default: TransactionOptions | None) -> TransactionOptions:
        """These options, with those that are None taken from ``default``.

        :param default: the options to fall back on; None for none.
        :returns: the combination.
        """
        if default is None:
            return self
        return TransactionOptions(
            default.read_concern if self.read_concern is None else self.read_concern,
            default.write_concern if self.write_concern is None else self.write_concern,
            default.read_preference if self.read_preference is None else self.read_preference,
            default.max_commit_time_ms if self.max_commit_time_ms is None else self.max_commit_time_ms,
        )


@dataclass(frozen=True, slots=True)
class SessionOptions:
    """The options of a session.

    Specifications: sessions, causal-consistency, snapshot-sessions. ``overlap`` is this driver's own.

    :param causal_consistency: every operation sees what the session did before; None means True, but for a snapshot.
    :param default_transaction_options: for the transactions of this session.
    :param snapshot: all reads see one point in time (server 5.0 and later).
    :param snapshot_time: which one; None takes that of the first read.
    :param overlap: what an operation does while another one runs with the session: ``"wait"`` for its turn, or
        ``"refuse"`` with InvalidOperation, to find the places in a program where that happens.
    :param default_timeout_ms: milliseconds for each commit_transaction, abort_transaction, with_transaction and
        end_session; 0 sets no limit, None takes the client's ``timeoutMS``.
    :param after: causal tokens, one or several: the session continues from the latest of them.
    :param token_keys: accept only tokens that were signed with one of these keys.
    :param invalid_token: what happens with a token that cannot be used: ``"ignore"`` treats it as absent and publishes
        an event, ``"refuse"`` raises InvalidToken.
    :raises ConfigurationError: the options contradict one another.
    """

    causal_consistency: bool | None = None
    default_transaction_options: TransactionOptions | None = None
    snapshot: bool = False
    snapshot_time: Timestamp | None = None
    overlap: Literal["wait", "refuse"] = "wait"
    default_timeout_ms: int | None = None
    after: str | Sequence[str | None] | None = field(default=None, repr=False)
    token_keys: TokenKeys | None = None
    invalid_token: Literal["ignore", "refuse"] = "ignore"

    def __post_init__(self) -> None:
        for name, flag in (("causal_consistency", self.causal_consistency), ("snapshot", self.snapshot)):
            if flag is not None and not isinstance(flag, bool):
                raise ConfigurationError(f"{name} must be True, False or None, not {flag!r}")
        if self.overlap not in ("wait", "refuse"):
            raise ConfigurationError(f"overlap must be 'wait' or 'refuse', not {self.overlap!r}")
        timeout = self.default_timeout_ms
        if timeout is not None and (isinstance(timeout, bool) or not isinstance(timeout, int) or timeout < 0):
            raise ConfigurationError(f"default_timeout_ms must be a number of milliseconds from 0 up, not {timeout!r}")
        if self.snapshot and self.causal_consistency:
            raise ConfigurationError(
                "snapshot reads and causal consistency exclude each other: set one of snapshot and causal_consistency"
            )
        if self.snapshot_time is not None:
            if not self.snapshot:
                raise ConfigurationError("snapshot_time needs snapshot=True")
            if not isinstance(self.snapshot_time, Timestamp):
                raise ConfigurationError(f"snapshot_time must be a bson Timestamp, not {self.snapshot_time!r}")
        defaults = self.default_transaction_options
        if defaults is not None:
            checked = of_kind("default_transaction_options", defaults, TransactionOptions)
            object.__setattr__(self, "default_transaction_options", checked)
        if self.causal_consistency is None:
            object.__setattr__(self, "causal_consistency", not self.snapshot)
        if self.after is not None or self.token_keys is not None or self.invalid_token != "ignore":
            self._check_tokens()

    def _check_tokens(self) -> None:
        # Not imported for sessions without tokens.
        from wiredrv.session.after import checked_after
        from wiredrv.session.tokens import TokenKeys

        if self.token_keys is not None and not isinstance(self.token_keys, TokenKeys):
            raise ConfigurationError(f"token_keys must be TokenKeys, not {type(self.token_keys).__name__}")
        if self.invalid_token not in ("ignore", "refuse"):
            raise ConfigurationError(f"invalid_token must be 'ignore' or 'refuse', not {self.invalid_token!r}")
        after = checked_after(self.after)
        object.__setattr__(self, "after", after)
        if after and self.snapshot:
            raise ConfigurationError(
                "after= continues from a causal token, and snapshot reads are not causally consistent: leave out one "
                "of after and snapshot"
            )
        if after and not self.causal_consistency:
            raise ConfigurationError("after= needs causal consistency: leave out causal_consistency=False")
