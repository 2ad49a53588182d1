"""Shapes no source emits any more, and how each is read today.

A log is kept for years, so what was written once stays readable: a retired struct keeps its tag, and an
upcast turns it into the next shape when it is read. The stored bytes never change.
"""

from datetime import date
from decimal import Decimal
from typing import ClassVar

from isthmus.events import upcast
from isthmus.events.base import BusinessEvent
from isthmus.events.values import Currency, Key, minor_digits
from isthmus.events.work import ExpenseValidated


class ExpenseValidatedV0(BusinessEvent, frozen=True, kw_only=True, tag="expense.validated/0"):
    """The shape of the pilot: the amount in integer minor units, as one PSA sends it."""

    KEY: ClassVar[str] = "expense"

    expense: Key
    revision: int
    project: Key
    resource: Key
    category: str
    spent_on: date
    amount_in_cents: int
    currency: Currency
    billable: bool


@upcast.register
def _(old: ExpenseValidatedV0) -> ExpenseValidated:
    """Minor units become a decimal; pilots knew no mark-up."""
    kept = upcast.fields_of(old)
    cents = kept.pop("amount_in_cents")
    amount = Decimal(cents).scaleb(-minor_digits(old.currency))
    return ExpenseValidated(**kept, amount=amount)
