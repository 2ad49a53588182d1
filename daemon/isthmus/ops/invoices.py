"""Where invoices stand, from what the ERP told of each: released, credited, voided, paid."""

from collections.abc import Callable, Iterable, Mapping
from datetime import date
from decimal import Decimal
from typing import Literal, TypeVar

import msgspec

from isthmus.events.base import BusinessEvent
from isthmus.events.finance import CreditIssued, InvoiceReleased, InvoiceVoided, PaymentReceived
from isthmus.events.values import Amount, Currency, Key
from isthmus.store import crosswalk
from isthmus.store import log as event_log
from isthmus.store.face import Tx

__all__ = ["KINDS", "InvoiceState", "InvoiceStatus", "Payment", "invoice", "standing"]

KINDS = frozenset({"invoice.released", "invoice.voided", "credit.issued", "payment.received"})

InvoiceState = Literal["released", "part_paid", "paid", "credited", "voided"]
E = TypeVar("E", bound=BusinessEvent)
Told = tuple[int, BusinessEvent]
"""An event and its seq."""
ZERO = Decimal(0)


class Payment(msgspec.Struct, frozen=True, kw_only=True):
    """One payment of an invoice."""

    payment: Key
    received_on: date
    amount: Amount


class InvoiceStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One invoice as the ERP told it."""

    invoice: Key
    number: str
    state: InvoiceState
    currency: Currency
    total: Amount
    credited: Amount
    paid: Amount
    open_amount: Amount
    """What it still asks for: the ERP's own word, less credits that came after it; 0 when voided."""
    issued_on: date
    due_on: date
    customer: Key
    contract: Key | None
    project: Key | None
    charges: list[Key]
    """What it bills of ours."""
    payments: list[Payment]


def standing(told: Iterable[Told]) -> dict[Key, InvoiceStatus]:
    """Where each invoice stands after some events, by its key. One that was never released is none.

    Args:
        told: Of `KINDS`, stale ones left out, in the order of the log; others are passed over.
    """
    groups: dict[str, list[Told]] = {}
    for seq, event in told:
        if event.kind in KINDS:
            groups.setdefault(str(getattr(event, "invoice", "")), []).append((seq, event))
    found = {key: _standing(group) for key, group in groups.items()}
    return {key: status for key, status in found.items() if status is not None}


def invoice(tx: Tx, asked: str) -> InvoiceStatus | None:
    """The invoice of one of our keys, or of any system's record id; None when there is none."""
    for key in dict.fromkeys([asked, *crosswalk.keys_of_record(tx, asked)]):
        rows = event_log.by_subject(tx, key)
        found = standing((row.seq, row.event()) for row in rows if not row.stale and row.kind in KINDS)
        if key in found:
            return found[key]
    return None


def _standing(told: list[Told]) -> InvoiceStatus | None:
    released = _newest(told, InvoiceReleased, lambda event: "").get("")
    if released is None:
        return None
    bill = released[1]
    voided = _newest(told, InvoiceVoided, lambda event: "").get("")
    credits = _newest(told, CreditIssued, lambda event: event.number)
    payments = _newest(told, PaymentReceived, lambda event: event.payment)
    credited = sum((credit.amount for _, credit in credits.values()), ZERO)
    paid = sum((payment.amount for _, payment in payments.values()), ZERO)
    is_void = voided is not None and _rank(voided) > _rank(released)
    asks = ZERO if is_void else _open(bill, credits, payments)
    return InvoiceStatus(
        invoice=bill.invoice,
        number=bill.number,
        state="voided" if is_void else _state(asks, credited, paid),
        currency=bill.currency,
        total=bill.total,
        credited=credited,
        paid=paid,
        open_amount=asks,
        issued_on=bill.issued_on,
        due_on=bill.due_on,
        customer=bill.customer,
        contract=bill.contract,
        project=bill.project,
        charges=bill.charges,
        payments=[
            Payment(payment=payment.payment, received_on=payment.received_on, amount=payment.amount)
            for _, payment in payments.values()
        ],
    )


def _open(
    bill: InvoiceReleased,
    credits: Mapping[str, tuple[int, CreditIssued]],
    payments: Mapping[str, tuple[int, PaymentReceived]],
) -> Decimal:
    """The newest payment says what is open; credits since then take from it."""
    since, asks = 0, bill.total
    for seq, payment in payments.values():
        if seq > since:
            since, asks = seq, payment.open_amount
    return asks - sum((credit.amount for seq, credit in credits.values() if seq > since), ZERO)


def _state(asks: Decimal, credited: Decimal, paid: Decimal) -> InvoiceState:
    if asks <= 0:
        return "paid" if paid or not credited else "credited"
    return "part_paid" if paid else "released"


def _newest(told: Iterable[Told], kind: type[E], name: Callable[[E], str]) -> dict[str, tuple[int, E]]:
    """Of each thing the word with the highest revision, the later of two equal ones."""
    found: dict[str, tuple[int, E]] = {}
    for seq, event in told:
        if isinstance(event, kind):
            key, known = name(event), found.get(name(event))
            if known is None or _rank((seq, event)) > _rank(known):
                found[key] = seq, event
    return found


def _rank(told: Told) -> tuple[int, int]:
    return told[1].fact_revision, told[0]
