"""What a lane asks after an interruption: what must be looked up, what was settled beyond its position."""

from collections.abc import Sequence
from datetime import UTC, datetime

from isthmus.store.deliveries import Delivery, get, postpone
from isthmus.store.face import Tx
from isthmus.store.instants import maybe_from_text

NEVER = datetime(9999, 12, 31, tzinfo=UTC)
"""When a delivery is due that only a person may let go again."""


def look_ups_due(tx: Tx, lane: str, now: datetime, limit: int) -> list[Delivery]:
    """Deliveries in doubt whose peer has had its time to commit: ask it now. Oldest seq first."""
    rows = tx.all("doubts_due", lane=lane, now=now, limit=limit)
    found = [get(tx, lane, seq) for (seq,) in rows]
    return [each for each in found if each is not None]


def next_due_after(tx: Tx, lane: str, now: datetime) -> datetime | None:
    """When the next row, waiting or in doubt, falls due; None when none will by itself."""
    row = tx.one("deliveries_next_after", lane=lane, now=now, never=NEVER)
    return maybe_from_text(row[0]) if row else None


def interrupted(
    tx: Tx, lane: str, seq: int, subject: str, *, look_up_at: datetime | None, text: str, now: datetime
) -> None:
    """The daemon stopped while this was being sent.

    Args:
        look_up_at: When to ask the peer about it; None when sending again at once is safe.
    """
    held = get(tx, lane, seq)
    postpone(
        tx,
        lane,
        seq,
        subject,
        now if look_up_at is None else look_up_at,
        held.attempts if held else 0,
        "Interrupted",
        text,
        now,
        "waiting" if look_up_at is None else "in_doubt",
    )


def seqs_since(tx: Tx, lane: str, seq: int) -> set[int]:
    """Facts beyond a lane's position that have a row among the deliveries already."""
    return {row[0] for row in tx.all("deliveries_seqs_since", lane=lane, seq=seq)}


def wake_unmet(tx: Tx, lanes: Sequence[str], now: datetime) -> int:
    """A record arrived that others may wait for: what waits for one is due now; how many that are."""
    return sum(tx.run("deliveries_wake_unmet", lane=lane, now=now) for lane in lanes)


def wake_gated(tx: Tx, lanes: Sequence[str], now: datetime) -> int:
    """A gate of our own may be open: what waits for it is due now; how many that are."""
    return sum(tx.run("deliveries_wake_gated", lane=lane, now=now) for lane in lanes)
