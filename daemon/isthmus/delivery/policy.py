"""What becomes of a delivery that failed. Pure: no clock, no I/O."""

import random
from collections.abc import Callable
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Literal

import msgspec

from isthmus.runtime.backoff import delay_s
from isthmus.sdk.connector import DeliveryClass
from isthmus.sdk.errors import ConnectorError, Fatal, Rejected, Throttled, Unmet, Unsure

__all__ = [
    "Breaker",
    "DeadLetter",
    "Fate",
    "HoldBack",
    "InDoubt",
    "NotYet",
    "Park",
    "Rest",
    "RetryAt",
    "RetryPolicy",
    "decide",
    "delivery_key",
]

CRASHES_MAX = 3
"""A delivery in hand when the connector's code broke this often is a dead letter, not a fourth crash."""
REST_MIN_S, REST_MAX_S = 1.0, 86400.0
"""Bounds of a pause a peer may ask for: 0 would be a hot loop, a year a typing error."""


class NotYet(Unmet):
    """It waits for our own side, however long that takes; the peer was not asked."""


class RetryPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """A lane's patience."""

    first_s: float = 5.0
    max_s: float = 900.0
    max_age_s: float = 3 * 86400.0


class RetryAt(msgspec.Struct, frozen=True):
    """Try again then; ``counts`` says whether the try was the peer's failure."""

    due_at: datetime
    counts: bool = True


class InDoubt(msgspec.Struct, frozen=True):
    """It may have happened. Look it up then; None: a person decides."""

    look_up_at: datetime | None


class DeadLetter(msgspec.Struct, frozen=True):
    """Waiting cannot help; ``reason`` is one word of the closed set."""

    reason: str
    text: str


class HoldBack(msgspec.Struct, frozen=True):
    """It waits for our own books: no try is counted, and what failed before is forgiven."""

    due_at: datetime


class Rest(msgspec.Struct, frozen=True):
    """The whole connector pauses until then; no try is counted."""

    until: datetime


class Park(msgspec.Struct, frozen=True):
    """Every delivery of this lane would fail the same way."""

    reason: str


Fate = RetryAt | InDoubt | DeadLetter | HoldBack | Rest | Park


def decide(
    error: ConnectorError,
    *,
    delivery_class: DeliveryClass,
    attempts: int,
    age: timedelta,
    now: datetime,
    retry: RetryPolicy,
    worst_commit_s: float = 60.0,
    jitter: Callable[[], float] = random.random,
) -> Fate:
    """Choose the fate of a delivery whose last attempt raised ``error``.

    Args:
        attempts: Tries so far, the failed one included; for `Throttled` without a word of the peer's, how
            often in a row it throttled. At least 1.
        age: Time since it failed first.
        worst_commit_s: How long after a lost answer the peer may still commit (class B).
    """
    if isinstance(error, NotYet):
        # What ends the wait wakes it; looking again is only for what was missed.
        return HoldBack(now + timedelta(seconds=retry.max_s))
    too_old = age.total_seconds() > retry.max_age_s
    pause = delay_s(attempts, retry.first_s, retry.max_s, jitter)
    match error:
        case Fatal():
            return Park(str(error))
        case Throttled():
            asked = error.retry_after_s
            rest_s = max(pause, REST_MIN_S) if asked is None else min(max(asked, REST_MIN_S), REST_MAX_S)
            return Rest(now + timedelta(seconds=rest_s))
        case Rejected():
            return DeadLetter(error.reason, str(error))
        case Unsure() if delivery_class is DeliveryClass.C:
            return InDoubt(None)
        case Unsure() if delivery_class is DeliveryClass.B:
            return InDoubt(None if too_old else now + timedelta(seconds=max(worst_commit_s, pause)))
    if too_old:
        return DeadLetter("missing" if isinstance(error, Unmet) else "other", str(error))
    if isinstance(error, Unmet):
        # A link that arrives ends the wait; looking for it is only for what arrives unseen.
        waited_s = min(max(age.total_seconds(), retry.first_s), retry.max_s)
        return RetryAt(now + timedelta(seconds=waited_s * (0.5 + 0.5 * jitter())), counts=False)
    return RetryAt(now + timedelta(seconds=pause))


def delivery_key(event_id: str, lane: str, target: str) -> str:
    """The idempotency key of one fact owed to one lane: the same after a restart or a restored backup."""
    return sha256(f"{event_id}\n{lane}\n{target}".encode()).digest()[:20].hex()


class Breaker(msgspec.Struct, frozen=True, kw_only=True):
    """A circuit breaker per connector: after ``limit`` failures in a row nobody calls for a while.

    Then one call tries; its success closes the breaker, its failure opens it for twice as long.
    """

    failures: int = 0
    open_until: datetime | None = None
    opened: int = 0
    limit: int = 5
    first_s: float = 5.0
    max_s: float = 300.0

    def state(self, now: datetime) -> Literal["closed", "open", "half-open"]:
        if self.open_until is None:
            return "closed"
        return "open" if now < self.open_until else "half-open"

    def succeeded(self) -> "Breaker":
        """The breaker after an answer, whatever it said: the peer is there."""
        if self.failures == 0 and self.open_until is None:
            return self
        return msgspec.structs.replace(self, failures=0, open_until=None, opened=0)

    def failed(self, now: datetime) -> "Breaker":
        """The breaker after a call without an answer, or with a 5xx.

        A call that began before the breaker opened says nothing new: only the one that tried counts again.
        """
        failures = self.failures + 1
        if failures < self.limit or self.state(now) == "open":
            return msgspec.structs.replace(self, failures=failures)
        pause = min(self.max_s, self.first_s * 2.0 ** min(self.opened, 20))
        return msgspec.structs.replace(
            self, failures=failures, open_until=now + timedelta(seconds=pause), opened=self.opened + 1
        )
