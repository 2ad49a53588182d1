"""What lanes decided in shadow: sent by nobody, and settled only when the lane goes live."""

from collections.abc import Iterable
from datetime import datetime
from typing import Literal

import msgspec

from isthmus.store.face import Tx
from isthmus.store.instants import from_text, to_text

__all__ = ["Outcome", "Shadow", "add_many", "done_since", "end", "of_event", "open_count", "open_page"]

Outcome = Literal["open", "adopted", "exception", "owed"]
"""Open until the lane goes live; then a record stands for it, a person decides, or it is sent after all."""


class Shadow(msgspec.Struct, frozen=True):
    """What one lane decided about one event."""

    lane: str
    outcome: Outcome
    decided_at: datetime


def add_many(tx: Tx, lane: str, seqs: Iterable[int], now: datetime) -> int:
    """Keep that these would have been sent; how many were new."""
    return tx.many("shadow_add", [(lane, seq, to_text(now)) for seq in seqs])


def done_since(tx: Tx, lane: str, seq: int) -> set[int]:
    """What the lane decided in shadow beyond ``seq``, its position."""
    return {row[0] for row in tx.all("shadows_since", lane=lane, seq=seq)}


def open_count(tx: Tx, lane: str) -> int:
    """How many facts wait for the lane to go live."""
    row = tx.one("shadows_open_count", lane=lane)
    return int(row[0]) if row else 0


def open_page(tx: Tx, lane: str, after: int, limit: int) -> list[int]:
    """The next of them, as places in the log."""
    return [row[0] for row in tx.all("shadows_open_page", lane=lane, after=after, limit=limit)]


def of_event(tx: Tx, seq: int) -> list[Shadow]:
    """Which lanes decided an event in shadow."""
    return [Shadow(lane, outcome, from_text(at)) for lane, outcome, at in tx.all("shadows_of_event", seq=seq)]


def end(tx: Tx, lane: str, seq: int, outcome: Outcome) -> bool:
    """Say what became of a fact; False where it is no open one."""
    return tx.run("shadow_end", lane=lane, seq=seq, outcome=outcome) == 1
