"""The proof of each delivery: the other side's own reference. Kept for good."""

from collections.abc import Iterable
from datetime import datetime

import msgspec

from isthmus.store import seals
from isthmus.store.face import Row, Tx
from isthmus.store.instants import from_text, to_text


class Receipt(msgspec.Struct, frozen=True):
    """What the other side gave for one fact in one lane."""

    lane: str
    seq: int
    remote_id: str
    detail: str
    delivered_at: datetime


def add_many(tx: Tx, lane: str, done: Iterable[tuple[int, str, str]], now: datetime) -> int:
    """Keep receipts; the first one of a delivery stays.

    Args:
        done: For each delivery its seq, the remote record's id, and a detail (may be empty).

    Returns:
        How many were new.
    """
    at = to_text(now)
    rows = [(lane, seq, remote_id, detail, at) for seq, remote_id, detail in done]
    sealed = seals.upto(tx, lane)
    late = [seq for _, seq, *_ in rows if seq <= sealed and get(tx, lane, seq) is None]
    for seq in late:
        tx.run("late_receipt_add", lane=lane, seq=seq)
    return tx.many("receipt_add", rows)


def add(tx: Tx, lane: str, seq: int, remote_id: str, now: datetime, detail: str = "") -> bool:
    """Keep one receipt; False when the delivery has one already."""
    return add_many(tx, lane, [(seq, remote_id, detail)], now) == 1


def done_since(tx: Tx, lane: str, seq: int) -> set[int]:
    """What the lane has delivered beyond ``seq``, its position, in this or an earlier run."""
    return {row[0] for row in tx.all("receipts_done_since", lane=lane, seq=seq)}


def after(tx: Tx, lane: str, seq: int, limit: int) -> list[tuple[int, str, str]]:
    """The next receipts of a lane behind ``seq``: seq, remote id, detail."""
    return [(row[0], row[1], row[2]) for row in tx.all("receipts_after", lane=lane, after=seq, limit=limit)]


def get(tx: Tx, lane: str, seq: int) -> Receipt | None:
    row = tx.one("receipt_get", lane=lane, seq=seq)
    return None if row is None else _receipt(row)


def of_event(tx: Tx, seq: int) -> list[Receipt]:
    """Where an event has arrived, over all lanes."""
    return [_receipt(row) for row in tx.all("receipts_of_event", seq=seq)]


def newest_for_subject(tx: Tx, lane: str, subject: str, noun: str | None = None) -> int | None:
    """The highest revision of a business key the lane has delivered; an older one must not follow it.

    Args:
        noun: Only of facts of this noun (``contract`` of ``contract.signed``).
    """
    dotted = None if noun is None else noun + "."
    row = tx.one("receipts_newest_revision", lane=lane, subject=subject, noun=dotted)
    return row[0] if row else None


def _receipt(row: Row) -> Receipt:
    lane, seq, remote_id, detail, delivered_at = row
    return Receipt(lane, seq, remote_id, detail, from_text(delivered_at))
