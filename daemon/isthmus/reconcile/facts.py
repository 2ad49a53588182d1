"""What a comparison makes of the log: facts go in, and what must stand on both sides comes out."""

from collections.abc import Callable, Set
from datetime import datetime
from typing import Literal, Protocol

import msgspec

from isthmus.events.base import BusinessEvent
from isthmus.reconcile.compare import Difference, Expected, Standing

__all__ = ["Known", "Landed", "PairKind", "Reader", "Road", "Told"]

PairKind = Literal["time", "expense", "milestone", "invoice", "hours", "contract"]


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """A fact of the log, stale ones left out."""

    seq: int
    recorded_at: datetime
    event: BusinessEvent


class Landed(msgspec.Struct, frozen=True, kw_only=True):
    """Where a fact stands in the lane that was to carry it to the right side."""

    lane: str
    standing: Standing
    words: str
    remote_id: str | None = None


Road = Callable[[Told], Landed | None]
"""Says where a fact stands on its way to the right side; None: no lane of that side takes it."""


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """What must stand on either side, by key; what is dated outside the window only where it was shown."""

    left: dict[str, Expected]
    right: dict[str, Expected]
    undecided: list[Difference] = []
    """What no rule has decided about."""
    held: int = 0
    """Left records that wait for a person or the calendar: known, and no difference."""


class Reader(Protocol):
    """What a kind of pair makes of the log."""

    kinds: frozenset[str]

    def take(self, told: Told) -> None:
        """Hear the next fact."""

    def known(self, road: Road, shown: Set[str] = frozenset()) -> Known:
        """What must stand where.

        Args:
            shown: Keys the left side shows in the window, whatever day we know them by.
        """
