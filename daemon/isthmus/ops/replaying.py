"""Replay: events are owed to a lane again, never older over newer, and twice is once."""

from datetime import datetime

import msgspec

from isthmus.store import audit, deliveries, log, receipts
from isthmus.store.face import Tx

__all__ = ["Replay", "Wanted", "replay_page"]

PAGE = 2000
"""Events one transaction looks at."""


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which events, for which lane, on whose word."""

    lane: str
    kind: str | None
    key: str | None
    kinds: frozenset[str] | None
    """What the lane takes; None: everything."""
    by: str
    why: str
    dry_run: bool


class Replay(msgspec.Struct, frozen=True, kw_only=True):
    """What a replay found: how many were scheduled, and what was refused and why."""

    matched: int
    scheduled: int
    refused: list[str]
    dry_run: bool

    def and_then(self, more: "Replay") -> "Replay":
        """Both together."""
        return Replay(
            matched=self.matched + more.matched,
            scheduled=self.scheduled + more.scheduled,
            refused=[*self.refused, *more.refused],
            dry_run=self.dry_run,
        )


def replay_page(tx: Tx, wanted: Wanted, after: int, last: int, now: datetime) -> tuple[int, Replay]:
    """Look at the next events of ``after < seq <= last``; where to go on, and what was done.

    What is under way in the lane already, or was replayed a moment ago, is not scheduled twice.
    """
    lane = wanted.lane
    matched, scheduled = 0, 0
    refused: list[str] = []
    rows = log.search(tx, kind=wanted.kind, key=wanted.key, after=after, limit=PAGE)
    for row in rows:
        if row.seq > last or (wanted.kinds is not None and row.kind not in wanted.kinds):
            continue
        matched += 1
        newest = receipts.newest_for_subject(tx, lane, row.subject, row.kind.partition(".")[0])
        if row.stale or (newest is not None and newest > row.revision):
            refused.append(f"{row.id}: revision {newest or 'newer'} was delivered")
        elif not wanted.dry_run:
            scheduled += deliveries.schedule(tx, lane, row.seq, row.subject, now)
    if scheduled:
        detail = {"lane": lane, "events": scheduled, "reason": wanted.why}
        audit.append(tx, wanted.by, "event.replay", detail, now)
    onward = rows[-1].seq if len(rows) == PAGE else last
    return onward, Replay(matched=matched, scheduled=scheduled, refused=refused, dry_run=wanted.dry_run)
