"""What a lane in shadow writes down: the facts it would have sent, in a book of their own."""

from datetime import datetime

from isthmus.delivery.lane import Group, Lane
from isthmus.delivery.settle import FOLDED
from isthmus.store import dead_letters, deliveries, lanes, receipts, shadows
from isthmus.store.face import Tx

__all__ = ["shade"]


def shade(tx: Tx, lane: Lane, group: Group, position: int, now: datetime) -> None:
    """Settle a group for a lane in shadow.

    There is no receipt, since nobody has it. What waited from a time when the lane was live waits here too:
    whether an earlier try arrived is seen when it is compared. What has its receipt keeps that.

    Args:
        position: Where the lane stands after it.
    """
    name = lane.name
    decided = [item for item in group.items if not item.row or receipts.get(tx, name, item.seq) is None]
    shadows.add_many(tx, name, [item.seq for item in decided], now)
    for item in group.items:
        if item.row:
            deliveries.settle(tx, name, item.seq, hold_on_dead=lane.hold_on_dead)
            letter = dead_letters.unsolved(tx, name, item.seq)
            if letter is not None:
                note = "the lane is in shadow: decided, not sent"
                dead_letters.mark(tx, letter.id, "resolved", lane.instance, now, note)
    folded = [
        (older.seq, FOLDED, f"{item.event_id} goes instead")
        for item in group.items
        for older in group.folded.get(item.seq, ())
    ]
    receipts.add_many(tx, name, folded, now)
    lanes.advance(tx, name, position)
