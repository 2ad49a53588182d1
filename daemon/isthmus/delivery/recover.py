"""Finds where a lane stood: what is settled beyond its position, and what was in hand at the end."""

from datetime import datetime, timedelta

import msgspec

from isthmus.delivery.attempt import class_of
from isthmus.delivery.lane import Item
from isthmus.delivery.settle import DOUBTS, open_work_item
from isthmus.sdk.connector import DeliveryClass, Sink
from isthmus.store import deliveries, edits, intents, lanes, receipts, recovery, shadows
from isthmus.store import log as event_log
from isthmus.store.face import Tx

__all__ = ["Stood", "item_of", "recover"]


class Stood(msgspec.Struct, frozen=True, kw_only=True):
    """Where a lane goes on; ``settled`` are facts beyond its position it must not take from the log again."""

    position: int
    settled: set[int]


def item_of(
    row: event_log.Fact | event_log.LogRow,
    held: deliveries.Delivery | None = None,
    edit: edits.Edit | None = None,
) -> Item:
    """A fact of the log as an item.

    Args:
        held: Its row among the deliveries, if it has one.
        edit: What a person wants to be sent in its place.
    """
    item = Item(
        seq=row.seq,
        event_id=row.id,
        subject=row.subject,
        recorded_at=row.recorded_at,
        payload=row.payload if edit is None else bytes(edit.payload),
    )
    if held is not None:
        item.row = True
        item.in_doubt = held.state == "in_doubt"
        item.crashes = held.crashes
        item.attempts = held.attempts
        item.first_failed_at = held.first_failed_at
        item.doubtful = held.error_class in DOUBTS
    return item


def recover(tx: Tx, lane: str, sink: Sink, now: datetime) -> Stood:
    """Read where the lane stood; every call that was begun and not ended is now in doubt."""
    position = lanes.position(tx, lane)
    for call in intents.unfinished(tx, lane):
        # A replay has a receipt already; its row says that it was owed again.
        unproven = [
            seq
            for seq in call.seqs
            if receipts.get(tx, lane, seq) is None or deliveries.get(tx, lane, seq) is not None
        ]
        for row in event_log.by_seqs(tx, unproven):
            _interrupted(tx, lane, row, sink, now)
        intents.close_call(tx, call.call)
    settled = receipts.done_since(tx, lane, position) | recovery.seqs_since(tx, lane, position)
    settled |= shadows.done_since(tx, lane, position)
    return Stood(position=position, settled=settled)


def _interrupted(tx: Tx, lane: str, row: event_log.LogRow, sink: Sink, now: datetime) -> None:
    """Class A is sent again, B is looked up when the peer has had its time, C waits for a person."""
    text = "the daemon stopped while this was being sent"
    item = item_of(row)
    match class_of(sink, item):
        case DeliveryClass.A:
            look_up_at = None
        case DeliveryClass.B:
            look_up_at = now + timedelta(seconds=sink.worst_commit_s)
        case DeliveryClass.C:
            look_up_at = recovery.NEVER
            open_work_item(tx, lane, item, reason_class="in_doubt", reason=text, peer_words="", now=now)
    recovery.interrupted(tx, lane, row.seq, row.subject, look_up_at=look_up_at, text=text, now=now)
