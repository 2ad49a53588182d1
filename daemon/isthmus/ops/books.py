"""How the store stands: the figures of `status`, quotas and gauges, from small tables only."""

from datetime import datetime

import msgspec

from isthmus.store import cursors, dead_letters, deliveries, lanes
from isthmus.store import log as event_log
from isthmus.store.face import Tx

__all__ = ["Books", "books"]


class Books(msgspec.Struct, frozen=True, kw_only=True):
    """How the store stands."""

    head: int
    positions: dict[str, int]
    deliveries: dict[str, dict[str, int]]
    """By lane, by state."""
    blocked_subjects: dict[str, int]
    """By lane: keys whose newer facts wait behind an older one."""
    oldest_due: dict[str, datetime]
    dead_letters: dict[str, int]
    """Open work items by lane or source."""
    cursors: dict[str, datetime]
    """When each ``source.stream`` last moved."""


def books(tx: Tx) -> Books:
    """One look at everything."""
    by_lane: dict[str, dict[str, int]] = {}
    for (lane, state), number in deliveries.counts(tx).items():
        by_lane.setdefault(lane, {})[state] = number
    oldest = {lane: at for lane in by_lane if (at := deliveries.oldest_due(tx, lane)) is not None}
    letters: dict[str, int] = {}
    for (_, place, _), number in dead_letters.counts(tx).items():
        letters[place] = letters.get(place, 0) + number
    return Books(
        head=event_log.head(tx),
        positions=lanes.positions(tx),
        deliveries=by_lane,
        blocked_subjects=deliveries.blocked_subjects(tx),
        oldest_due=oldest,
        dead_letters=letters,
        cursors={f"{each.source}.{each.entity}": each.updated_at for each in cursors.listing(tx)},
    )
