"""The last look before a call: our own books may have changed since a fact was decided."""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from isthmus.delivery.attempt import Outcome
from isthmus.delivery.lane import Item
from isthmus.delivery.policy import NotYet
from isthmus.events.base import BusinessEvent
from isthmus.events.codec import EventRefused, decode
from isthmus.sdk.connector import Receipt
from isthmus.sdk.errors import Rejected
from isthmus.store.face import Tx

__all__ = ["NOT_SENT", "Gate", "NotSent", "ask", "ask_again"]

NOT_SENT = "not-sent"
"""What stands in a receipt in place of the peer's id when nothing was sent and nothing will be."""


class NotSent(msgspec.Struct, frozen=True, kw_only=True):
    """It is settled without the peer; ``facts`` tell whoever decided it."""

    detail: str
    facts: Sequence[BusinessEvent] = ()


class Gate(Protocol):
    """Says of one fact whether it may go now; asked inside a transaction, so it only reads."""

    def __call__(self, tx: Tx, event: BusinessEvent, seq: int) -> NotSent | NotYet | None:
        """None lets it go."""


def ask(gate: Gate | None, tx: Tx, items: Sequence[Item]) -> dict[int, Outcome]:
    """What is not to be sent, by seq, with what becomes of it instead.

    A fact that may have reached the peer is not asked about: it is sent again under its key. What failed in
    a way that shows it did not arrive is asked about like a new one.
    """
    kept: dict[int, Outcome] = {}
    for item in items if gate is not None else ():
        if item.doubtful:
            continue
        answer = _answer(gate, tx, item)
        if answer is not None:
            kept[item.seq] = answer
    return kept


def ask_again(gate: Gate | None, tx: Tx, items: Sequence[Item], outcomes: Sequence[Outcome]) -> list[Outcome]:
    """The outcomes, with the gate's answer in place of a refusal: what the peer refused it does not have.

    Unless an earlier answer was lost: then it may refuse to touch what it has.
    """
    return [
        (_answer(gate, tx, item) or outcome)
        if isinstance(outcome, Rejected) and not item.doubtful
        else outcome
        for item, outcome in zip(items, outcomes, strict=True)
    ]


def _answer(gate: Gate | None, tx: Tx, item: Item) -> Outcome | None:
    if gate is None:
        return None
    try:
        event = decode(item.payload)
    except EventRefused:
        return None  # the attempt makes a dead letter of it
    answer = gate(tx, event, item.seq)
    if isinstance(answer, NotSent):
        return Receipt(remote_id=NOT_SENT, detail=answer.detail, facts=answer.facts)
    return answer
