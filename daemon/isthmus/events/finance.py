"""Money: charges our rules determine, invoices and payments the ERP tells, periods, deferrals."""

from datetime import date, timedelta
from typing import ClassVar, Literal

import msgspec

from isthmus.events.base import BusinessEvent
from isthmus.events.values import Amount, Currency, Key, check_money

Origin = Literal[
    "time",
    "expense",
    "milestone",
    "installment",
    "retainer",
    "retainer_overage",
    "subscription",
    "fixed_fee",
]
HeldOrigin = Literal[
    "time",
    "expense",
    "milestone",
    "installment",
    "retainer",
    "subscription",
    "contract",
]
"""What can wait: work, a scheduled amount, or a contract revision whose terms contradict the books."""
Ledger = Literal["ar", "ap", "all"]
LONGEST_PERIOD = timedelta(days=400)
"""The longest fiscal year there is, and some days; anything longer is a slip of the keyboard."""


class ChargeDetermined(BusinessEvent, frozen=True, kw_only=True, tag="charge.determined/1"):
    """Our rules decided that something is to be billed; negative where it reverses a charge."""

    KEY: ClassVar[str] = "charge"
    SUBJECT: ClassVar[str] = "origin_key"

    charge: Key
    contract: Key
    line: str
    project: Key
    origin: Origin
    origin_key: Key
    origin_revision: int
    quantity: Amount
    unit_price: Amount
    amount: Amount
    currency: Currency
    earned_on: date
    posting_on: date
    dimensions: dict[str, str]
    explanation: list[str]
    reverses: Key | None = None
    service: str | None = None
    customer: Key | None = None
    resource: Key | None = None

    def check(self) -> None:
        check_money(self.amount, self.currency, "amount")


class ChargeWaived(BusinessEvent, frozen=True, kw_only=True, tag="charge.waived/1"):
    """Work that is deliberately not billed, and why."""

    KEY: ClassVar[str] = "origin_key"

    origin: Origin
    origin_key: Key
    origin_revision: int
    reason: str
    quantity: Amount
    project: Key | None = None
    explanation: list[str] = msgspec.field(default_factory=list)


class _Hold(BusinessEvent, frozen=True, kw_only=True):
    """What holding and releasing both say."""

    KEY: ClassVar[str] = "origin_key"

    origin: HeldOrigin
    origin_key: Key
    origin_revision: int
    reason: str
    detail: str
    quantity: Amount | None = None
    amount: Amount | None = None
    project: Key | None = None


class ChargeHeld(_Hold, frozen=True, kw_only=True, tag="charge.held/1"):
    """Work that waits; it is looked at again whenever the answer could change."""


class ChargeReleased(_Hold, frozen=True, kw_only=True, tag="charge.released/1"):
    """A hold ended."""


class ChargePosted(BusinessEvent, frozen=True, kw_only=True, tag="charge.posted/1"):
    """An ERP has the charge in its books, under ``remote_id``."""

    KEY: ClassVar[str] = "charge"

    charge: Key
    system: str
    remote_id: str
    posted_on: date
    amount: Amount
    currency: Currency
    project: Key | None = None


class ScheduledInstallment(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a billing schedule; ``state`` is planned, held, billed, paused or cancelled."""

    key: str
    due_on: date
    amount: Amount
    state: str
    line: str | None = None
    """The contract line it belongs to."""


class ScheduleRevised(BusinessEvent, frozen=True, kw_only=True, tag="schedule.revised/1"):
    """The billing schedule of a contract; the newest revision is the whole truth."""

    KEY: ClassVar[str] = "contract"

    contract: Key
    revision: int
    installments: list[ScheduledInstallment]
    project: Key | None = None
    currency: Currency | None = None


class InvoiceReleased(BusinessEvent, frozen=True, kw_only=True, tag="invoice.released/1"):
    """The ERP released an invoice to the customer."""

    KEY: ClassVar[str] = "invoice"

    invoice: Key
    number: str
    customer: Key
    issued_on: date
    due_on: date
    total: Amount
    currency: Currency
    charges: list[Key]
    contract: Key | None = None
    project: Key | None = None
    revision: int = 1

    def check(self) -> None:
        check_money(self.total, self.currency, "total")


class _TakenBack(BusinessEvent, frozen=True, kw_only=True):
    """What voiding and crediting an invoice both say."""

    KEY: ClassVar[str] = "invoice"

    invoice: Key
    number: str
    on: date
    amount: Amount
    currency: Currency
    reason: str | None = None
    project: Key | None = None
    revision: int = 1


class InvoiceVoided(_TakenBack, frozen=True, kw_only=True, tag="invoice.voided/1"):
    """The ERP took an invoice back."""


class CreditIssued(_TakenBack, frozen=True, kw_only=True, tag="credit.issued/1"):
    """The ERP credited part or all of an invoice."""


class PaymentReceived(BusinessEvent, frozen=True, kw_only=True, tag="payment.received/1"):
    """A customer paid; ``open_amount`` is what the invoice still asks for."""

    KEY: ClassVar[str] = "payment"
    SUBJECT: ClassVar[str] = "invoice"

    payment: Key
    invoice: Key
    received_on: date
    amount: Amount
    currency: Currency
    open_amount: Amount
    project: Key | None = None
    revision: int = 1


class _Period(BusinessEvent, frozen=True, kw_only=True):
    """What closing and reopening a period both say."""

    KEY: ClassVar[str] = "period"

    period: str
    starts_on: date
    ends_on: date
    ledger: Ledger
    revision: int = 1

    def check(self) -> None:
        if not timedelta(0) <= self.ends_on - self.starts_on <= LONGEST_PERIOD or self.ends_on.year > 2999:
            raise ValueError(
                f"ends_on {self.ends_on} does not fit starts_on {self.starts_on}: a period has at most "
                f"{LONGEST_PERIOD.days} days, and ends before 3000"
            )


class PeriodClosed(_Period, frozen=True, kw_only=True, tag="period.closed/1"):
    """An accounting period takes no more postings."""


class PeriodReopened(_Period, frozen=True, kw_only=True, tag="period.reopened/1"):
    """A closed period takes postings again."""


class _Deferral(BusinessEvent, frozen=True, kw_only=True):
    """What deferring and releasing revenue both say."""

    KEY: ClassVar[str] = "origin_key"

    contract: Key
    line: str
    origin_key: Key
    on: date
    amount: Amount
    currency: Currency
    balance: Amount
    """What is billed and not earned yet, after this."""
    project: Key | None = None


class RevenueDeferred(_Deferral, frozen=True, kw_only=True, tag="revenue.deferred/1"):
    """An amount was billed in advance and is not earned yet."""


class RevenueReleased(_Deferral, frozen=True, kw_only=True, tag="revenue.released/1"):
    """Part of a deferred amount was earned."""
