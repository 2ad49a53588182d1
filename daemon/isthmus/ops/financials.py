"""Where the money of a project stands: charged, held, unbilled, invoiced, paid, and still to be earned.

Pure but for reading. Sums are over the same facts as elsewhere: charges and holds as `isthmus.ops.explain`
has them, unbilled time as `isthmus.ops.unbilled` counts it for `status` and the gauges, backlog as the
forecast said it last.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import TypeVar

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
from isthmus.events.work import TimeApproved, TimeUnapproved
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

E = TypeVar("E", bound=BusinessEvent)
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
    if not any(getattr(event, "project", None) == project for _, event in told.values()):
        return None
    # A fact may have come here from another project, or gone there: only all that was told of it says.
    origins = {key for _, event in told.values() if (key := _origin(event)) is not None}
    told.update(await _subjects(store, origins | _heads(told, "contract"), upto))
    charges = {event.charge for event in _of(told, ChargeDetermined) if event.project == project}
    bills = {event.invoice for event in _of(told, InvoiceReleased)}
    # What an ERP tells need not name the project: an invoice then stands in the story of its contract or
    # customer, a posting in that of its charge, a payment in that of its invoice.
    for head in sorted(_heads(told, "contract") | _heads(told, "customer")):
        found = _of(await _thread(store, head, upto), InvoiceReleased)
        bills |= {event.invoice for event in found if charges & set(event.charges)}
    posted = {event.charge for event in _of(told, ChargePosted)}
    told.update(await _subjects(store, (charges - posted) | bills, upto))
    work_items = await store.read(unbilled.open_work_items)
    return financials(project, [told[seq] for seq in sorted(told)], upto, now, work_items)


def _origin(event: BusinessEvent) -> str | None:
    """The work an event is about, where it may be of another project next time."""
    match event:
        case TimeApproved() | TimeUnapproved():
            return event.entry
        case ChargeDetermined() | ChargeHeld() | ChargeReleased():
            return event.origin_key
    return None


def _heads(told: Mapping[int, Told], name: str) -> set[str]:
    """Contracts or customers of the project."""
    return {str(key) for _, event in told.values() if (key := getattr(event, name, None))}


def _of(told: Mapping[int, Told], kind: type[E]) -> list[E]:
    return [event for _, event in told.values() if isinstance(event, kind)]


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
    ledger.apply(unbilled.Page(told=_time_of(project, told), histories={}, upto=position))
    charges = {
        event.charge: event
        for event in events
        if isinstance(event, ChargeDetermined) and event.project == project
    }
    bills = [
        ProjectInvoice(status=status, shared=not charges.keys() >= set(status.charges))
        for status in invoices.standing(told).values()
        if status.project in (None, project) or charges.keys() & set(status.charges)
    ]
    forecast = next((event for event in reversed(events) if isinstance(event, ForecastRevised)), None)
    terms = [
        event
        for event in events
        if isinstance(event, ContractSigned | ContractAmended) and event.project == project
    ]
    names = [event.name for event in events if isinstance(event, ProjectCreated)]
    return ProjectFinancials(
        project=project,
        name=names[-1] if names else None,
        currency=terms[-1].currency if terms else None,
        position=position,
        amounts=_amounts(events, charges, bills),
        held=_held(project, events),
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


def _time_of(project: str, told: Iterable[Told]) -> list[Told]:
    """Facts of the time entries whose newest word is of the project, and postings."""
    newest: dict[str, TimeApproved | TimeUnapproved] = {}
    told = list(told)
    for _, event in told:
        if isinstance(event, TimeApproved | TimeUnapproved):
            known = newest.get(event.entry)
            if known is None or event.revision > known.revision:
                newest[event.entry] = event
    return [
        (seq, event)
        for seq, event in told
        if isinstance(event, ChargePosted)
        or ((word := newest.get(unbilled.entry_of(event) or "")) is not None and word.project == project)
    ]


def _held(project: str, events: Iterable[BusinessEvent]) -> list[Held]:
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
        if hold.project not in (None, project):
            continue
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


async def _subjects(store: Store, keys: Collection[str], upto: int) -> dict[int, Told]:
    """The whole history of each key, in reads of some keys each."""
    found: dict[int, Told] = {}
    ordered = sorted(keys)
    for start in range(0, len(ordered), PAGE):
        found.update(await store.read(partial(_histories, keys=ordered[start : start + PAGE], upto=upto)))
    return found


def _histories(tx: Tx, keys: Iterable[str], upto: int) -> dict[int, Told]:
    found: dict[int, Told] = {}
    for key in keys:
        found.update(_told(event_log.by_subject(tx, key), upto))
    return found


def _told(rows: Iterable[event_log.LogRow], upto: int) -> dict[int, Told]:
    return {row.seq: (row.seq, row.event()) for row in rows if row.seq <= upto and not row.stale}
