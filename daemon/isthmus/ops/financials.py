"""Where the money of a project stands: charged, held, unbilled, invoiced, paid, and still to be earned.

Pure but for reading. Sums are over the same facts as elsewhere: charges and holds as `isthmus.ops.explain`
has them, unbilled time as `isthmus.ops.unbilled` counts it for `status` and the gauges, backlog as the
forecast said it last.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from functools import partial

import msgspec

from isthmus.events.base import BusinessEvent
from isthmus.events.contract import ContractAmended, ContractSigned
from isthmus.events.finance import (
    ChargeDetermined,
    ChargeHeld,
    ChargePosted,
    ChargeReleased,
    InvoiceReleased,
)
from isthmus.events.master import ProjectCreated
from isthmus.events.planning import ForecastRevised
from isthmus.events.values import Amount, Currency, Instant, Key
from isthmus.ops import invoices, unbilled
from isthmus.ops.invoices import InvoiceStatus
from isthmus.ops.metrics import Unbilled
from isthmus.store import log as event_log
from isthmus.store.face import Store, Tx

__all__ = [
    "Amounts",
    "Backlog",
    "Held",
    "ProjectFinancials",
    "ProjectInvoice",
    "financials",
    "project_financials",
]

PAGE = 1000
ZERO = Decimal(0)
Told = tuple[int, BusinessEvent]
"""An event and its seq."""


class Amounts(msgspec.Struct, frozen=True, kw_only=True):
    """Sums in one currency, without tax where they are of charges."""

    currency: Currency
    charged: Amount
    """Net of what our rules determined, reversals included."""
    posted: Amount
    """As much of it as an ERP has in its books."""
    invoiced: Amount
    """As much of it as stands on released invoices."""
    to_invoice: Amount
    """Charged and not invoiced."""
    invoice_total: Amount
    """Totals of the invoices that stand, as the ERP says them, tax included."""
    credited: Amount
    paid: Amount
    open_amount: Amount
    """What those invoices still ask for."""


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """What our rules hold for one reason; the reasons are in the manual of the processes."""

    reason: str
    items: int
    hours: Amount
    """Of time entries."""
    amount: Amount
    """What it would bill, in the contract's currency; holds that cannot know it count 0."""


class Backlog(msgspec.Struct, frozen=True, kw_only=True):
    """Contract value still to be earned, as the forecast said it last."""

    amount: Amount
    currency: Currency
    earned: Amount | None
    as_of: Instant


class ProjectInvoice(msgspec.Struct, frozen=True, kw_only=True):
    """An invoice that bills the project."""

    status: InvoiceStatus
    shared: bool
    """It bills other projects as well."""


class ProjectFinancials(msgspec.Struct, frozen=True, kw_only=True):
    """One project, up to ``position`` in the log."""

    project: Key
    name: str | None
    currency: Currency | None
    """Of its contract."""
    position: int
    amounts: list[Amounts]
    """By currency. A shared invoice counts whole in its total, credits, payments and open amount."""
    held: list[Held]
    unbilled: list[Unbilled]
    """Approved billable time that no ERP has as a charge, by age and cause."""
    backlog: Backlog | None
    invoices: list[ProjectInvoice]


async def project_financials(store: Store, project: str, now: datetime) -> ProjectFinancials | None:
    """Read a project's facts in short pages and sum them up; None when nobody told of the project."""
    upto = await store.read(event_log.head)
    told = await _thread(store, project, upto)
    if not told:
        return None
    charges = {event.charge for _, event in told.values() if isinstance(event, ChargeDetermined)}
    posted = {event.charge for _, event in told.values() if isinstance(event, ChargePosted)}
    bills = {event.invoice for _, event in told.values() if isinstance(event, InvoiceReleased)}
    # What an ERP tells need not name the project: an invoice then stands in the story of its contract or
    # customer, a posting in that of its charge, a payment in that of its invoice.
    for head in sorted(_heads(told.values())):
        others = [event for _, event in (await _thread(store, head, upto)).values()]
        bills |= {
            event.invoice
            for event in others
            if isinstance(event, InvoiceReleased) and charges & set(event.charges)
        }
    for key in sorted((charges - posted) | bills):
        told.update(await store.read(partial(_of_subject, key=key, upto=upto)))
    work_items = await store.read(unbilled.open_work_items)
    ordered = [told[seq] for seq in sorted(told)]
    return financials(project, ordered, upto, now, work_items)


def _heads(told: Iterable[Told]) -> set[str]:
    """Contracts and customers of the project."""
    names = ("contract", "customer")
    return {str(key) for _, event in told for name in names if (key := getattr(event, name, None))}


def financials(
    project: str,
    told: Sequence[Told],
    position: int,
    now: datetime,
    work_items: unbilled.WorkItems | None = None,
) -> ProjectFinancials:
    """Sum up.

    Args:
        told: Every fact that concerns the project, stale ones left out, in the order of the log.
        work_items: What waits for a person; it is a cause of unbilled time.
    """
    events = [event for _, event in told]
    ledger = unbilled.UnbilledLedger()
    ledger.apply(unbilled.Page(told=told, histories={}, upto=position))
    charges = {event.charge: event for event in events if isinstance(event, ChargeDetermined)}
    bills = [
        ProjectInvoice(status=status, shared=not charges.keys() >= set(status.charges))
        for status in invoices.standing(told).values()
        if status.project in (None, project) or charges.keys() & set(status.charges)
    ]
    forecast = next((event for event in reversed(events) if isinstance(event, ForecastRevised)), None)
    terms = [event for event in events if isinstance(event, ContractSigned | ContractAmended)]
    names = [event.name for event in events if isinstance(event, ProjectCreated)]
    return ProjectFinancials(
        project=project,
        name=names[-1] if names else None,
        currency=terms[-1].currency if terms else None,
        position=position,
        amounts=_amounts(events, charges, bills),
        held=_held(events),
        unbilled=list(ledger.rows(now, work_items)),
        backlog=None
        if forecast is None
        else Backlog(
            amount=forecast.backlog, currency=forecast.currency, earned=forecast.earned, as_of=forecast.as_of
        ),
        invoices=bills,
    )


def _amounts(
    events: Iterable[BusinessEvent], charges: Mapping[str, ChargeDetermined], bills: Sequence[ProjectInvoice]
) -> list[Amounts]:
    posted = {event.charge for event in events if isinstance(event, ChargePosted)}
    stand = [bill.status for bill in bills if bill.status.state != "voided"]
    invoiced = {charge for bill in stand for charge in bill.charges}
    currencies = {charge.currency for charge in charges.values()} | {bill.currency for bill in stand}
    found = []
    for currency in sorted(currencies):
        mine = [charge for charge in charges.values() if charge.currency == currency]
        asked = [bill for bill in stand if bill.currency == currency]
        charged = _sum(charge.amount for charge in mine)
        on_invoices = _sum(charge.amount for charge in mine if charge.charge in invoiced)
        found.append(
            Amounts(
                currency=currency,
                charged=charged,
                posted=_sum(charge.amount for charge in mine if charge.charge in posted),
                invoiced=on_invoices,
                to_invoice=charged - on_invoices,
                invoice_total=_sum(bill.total for bill in asked),
                credited=_sum(bill.credited for bill in asked),
                paid=_sum(bill.paid for bill in asked),
                open_amount=_sum(bill.open_amount for bill in asked),
            )
        )
    return found


def _held(events: Iterable[BusinessEvent]) -> list[Held]:
    """A new hold of a fact replaces the older; a release ends it."""
    open_holds: dict[str, ChargeHeld] = {}
    for event in events:
        match event:
            case ChargeHeld():
                open_holds[event.origin_key] = event
            case ChargeReleased():
                open_holds.pop(event.origin_key, None)
    by_reason: dict[str, list[ChargeHeld]] = {}
    for hold in open_holds.values():
        by_reason.setdefault(hold.reason, []).append(hold)
    return [
        Held(
            reason=reason,
            items=len(holds),
            hours=_sum(hold.quantity or ZERO for hold in holds if hold.origin == "time"),
            amount=_sum(hold.amount or ZERO for hold in holds),
        )
        for reason, holds in sorted(by_reason.items())
    ]


def _sum(values: Iterable[Decimal]) -> Decimal:
    return sum(values, ZERO)


async def _thread(store: Store, key: str, upto: int) -> dict[int, Told]:
    """Everything of one thread, in reads of one page each. The log only grows, so the pages fit together."""
    found: dict[int, Told] = {}
    after = 0
    while True:
        rows = await store.read(partial(event_log.by_thread, thread=key, after=after, limit=PAGE))
        if not rows:
            return found
        found.update(_told(rows, upto))
        after = rows[-1].seq


def _of_subject(tx: Tx, key: str, upto: int) -> dict[int, Told]:
    return _told(event_log.by_subject(tx, key), upto)


def _told(rows: Iterable[event_log.LogRow], upto: int) -> dict[int, Told]:
    return {row.seq: (row.seq, row.event()) for row in rows if row.seq <= upto and not row.stale}
