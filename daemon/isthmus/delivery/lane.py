"""What a lane is, and what it holds in its hands."""

from datetime import datetime
from typing import Literal

import msgspec

from isthmus.delivery.policy import RetryPolicy

__all__ = ["Group", "Item", "Lane", "LaneWatch"]


class Lane(msgspec.Struct, frozen=True, kw_only=True):
    """The deliveries of one sink, as configured.

    ``window`` bounds how many facts are held in memory; the rest stay on disk. Where that would be few
    batches of the sink, a few batches are held.
    """

    name: str
    instance: str
    kinds: frozenset[str]
    entities: frozenset[str] | None = None
    mode: Literal["transactional", "analytical"] = "transactional"
    lag_window_s: float = 0.0
    stage: Literal["off", "shadow", "live"] = "live"
    timeout_s: float = 30.0
    concurrency: int | None = None
    retry: RetryPolicy = RetryPolicy()
    hold_on_dead: bool = False
    window: int = 1000


class Item(msgspec.Struct, kw_only=True):
    """One fact owed to the lane.

    ``row`` says that it has a row of its own: it failed before, stands behind one that did, or is replayed.
    """

    seq: int
    event_id: str
    subject: str
    recorded_at: datetime
    payload: bytes
    row: bool = False
    in_doubt: bool = False
    crashes: int = 0
    attempts: int = 0
    first_failed_at: datetime | None = None
    doubtful: bool = False
    """An earlier try got no answer, and nothing since has shown that it did not arrive."""


class Group(msgspec.Struct, kw_only=True):
    """The items of one call, each of another subject."""

    items: list[Item]
    folded: dict[int, list[Item]] = {}
    """By the seq of an item: older facts of its subject that it makes moot."""


class LaneWatch:
    """What a lane tells whoever looks on; the default looks away."""

    def attempted(self, lane: str, outcome: str, n: int) -> None:
        """A call ended: ok, retryable, throttled, rejected, fatal, unsure or crash, for ``n`` items."""

    def delivered(self, lane: str, *lags_s: float) -> None:
        """Receipts were written, each so many seconds after its fact was recorded."""

    def dead(self, lane: str, reason: str) -> None:
        """A delivery became a dead letter."""
