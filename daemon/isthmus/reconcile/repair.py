"""What would heal a difference: a fact that is told, a delivery that is made again, or somebody's hand. Pure.

Nothing is ever overwritten silently: a ledger's posted record is corrected by people, and what we send again
goes the way it went the first time, under the same key.
"""

from datetime import date, datetime
from typing import Any, Literal

import msgspec

from isthmus.events.base import BusinessEvent
from isthmus.events.finance import InvoiceReleased, InvoiceVoided
from isthmus.events.master import DealWon
from isthmus.events.work import (
    ExpenseValidated,
    ExpenseWithdrawn,
    TimeApproved,
    TimeUnapproved,
)
from isthmus.reconcile.compare import Difference
from isthmus.reconcile.facts import PairKind

__all__ = ["Act", "Proposal", "proposal"]

Act = Literal["tell", "send_again", "read_again", "by_hand"]
POSTED = ("time", "expense", "milestone")
"""Pairs whose right side is a ledger, which only people correct."""


class Proposal(msgspec.Struct, frozen=True, kw_only=True):
    """What would heal a difference."""

    act: Act
    words: str
    """What happens, or what somebody must do."""
    lane: str = ""
    seq: int = 0
    """For `send_again`: the event that is owed to the lane again."""
    event: BusinessEvent | None = None
    """For `tell`: the fact that is recorded."""


def proposal(
    difference: Difference,
    kind: PairKind,
    left: str,
    right: str,
    newest: BusinessEvent | None,
    *,
    now: datetime,
    today: date,
) -> Proposal:
    """What would heal it.

    Args:
        kind: Of the pair.
        left: The instance on the left.
        right: The instance on the right.
        newest: The fact of the log that the difference names; None where it names none.
    """
    found = difference
    if found.side == "left":
        return _left(found, left, newest, now=now, today=today)
    remote = (found.right.remote_id if found.right is not None else None) or found.key
    if found.cause in ("dead_letter", "in_doubt", "not_sent"):
        return _by_hand("see 'isthmus exception list', then retry or resolve it there")
    if found.cause == "in_flight":
        return _by_hand(f"it is on its way: 'isthmus status' shows lane {found.lane}")
    if found.cause == "undecided":
        return _by_hand(f"billing has not decided about it: isthmus event trace {found.key}")
    if found.kind in ("double", "extra"):
        return _by_hand(f"delete or void {remote} in {right}, if it is not meant to be there")
    if found.lane and (found.kind == "missing" or kind not in POSTED):
        words = f"send {newest.id if newest else found.key} to {right} again, under the same key"
        return Proposal(act="send_again", words=words, lane=found.lane, seq=found.seq)
    if found.kind == "status":
        return _by_hand(f"put {remote} in {right} right; we know it otherwise: {found.words}")
    return _by_hand(
        f"correct {remote} in {right}; or delete it there, and its repair writes it again as it was"
    )


def _left(
    found: Difference, left: str, newest: BusinessEvent | None, *, now: datetime, today: date
) -> Proposal:
    if found.kind == "missing":
        return Proposal(act="read_again", words=f"read {left} again from before it; what is known is dropped")
    event = None if newest is None else _told(found, newest, now, today)
    if event is None:
        return _by_hand(f"see what became of {found.key} in {left}, then read {left} again")
    return Proposal(act="tell", words=f"record {event.id}, which {left} did not tell", event=event)


def _told(found: Difference, newest: BusinessEvent, now: datetime, today: date) -> BusinessEvent | None:
    """The fact the left side owes us: that it is gone, or what it says now."""
    # Whoever traces it sees that it follows from what we knew, and not from the system's own word.
    again: dict[str, Any] = {
        "occurred_at": now,
        "revision": newest.fact_revision + 1,
        "id": "",
        "causation": newest.id,
    }
    gone: dict[str, Any] = {
        "source": newest.source,
        "entity": newest.entity,
        "correlation": newest.correlation,
        **again,
        "reason": f"reconciliation: {found.words}",
    }
    says = found.left
    match newest:
        case TimeApproved():
            if found.kind == "extra":
                return TimeUnapproved(entry=newest.entry, project=newest.project, **gone)
            if says is not None and says.quantity is not None:
                return msgspec.structs.replace(newest, hours=says.quantity, **again)
        case ExpenseValidated():
            if found.kind == "extra":
                return ExpenseWithdrawn(expense=newest.expense, project=newest.project, **gone)
            if says is not None and says.amount is not None:
                return msgspec.structs.replace(newest, amount=says.amount, **again)
        case InvoiceReleased():
            if found.kind == "extra":
                return InvoiceVoided(
                    invoice=newest.invoice,
                    number=newest.number,
                    on=today,
                    amount=newest.total,
                    currency=newest.currency,
                    project=newest.project,
                    **gone,
                )
            if found.kind == "stale" and says is not None and says.amount is not None:
                return msgspec.structs.replace(newest, total=says.amount, **again)
        case DealWon() if found.kind == "stale" and says is not None and says.amount is not None:
            return msgspec.structs.replace(newest, amount=says.amount, **again)
    return None


def _by_hand(words: str) -> Proposal:
    return Proposal(act="by_hand", words=words)
