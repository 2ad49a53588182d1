"""Invoices and contracts: what their master says, beside what is shown of it elsewhere. Pure."""

from collections.abc import Set
from datetime import date

from isthmus.events.base import BusinessEvent
from isthmus.events.control import DemandRevised
from isthmus.events.finance import InvoiceReleased, InvoiceVoided, PaymentReceived
from isthmus.events.master import DealWon, ProjectCreated
from isthmus.events.planning import ForecastRevised
from isthmus.reconcile.compare import Expected, Figures
from isthmus.reconcile.facts import Known, Road, Told

__all__ = ["Contracts", "Invoices"]


class Invoices:
    """Invoices of an ERP on the left, what is shown of them on the right."""

    kinds = frozenset({"invoice.released", "invoice.voided", "payment.received"})

    def __init__(self, since: date, until: date, *, source: str) -> None:
        """
        Args:
            source: The instance whose invoices are meant.
        """
        self._since, self._until, self._source = since, until, source
        self._released: dict[str, Told] = {}
        self._status: dict[str, str] = {}
        self._newest: dict[str, Told] = {}

    def take(self, told: Told) -> None:
        event = told.event
        if event.source != self._source:
            return
        match event:
            case InvoiceReleased():
                self._released[event.invoice] = told
                self._status.setdefault(event.invoice, "released")
                self._newest[event.invoice] = told
            case InvoiceVoided():
                self._status[event.invoice] = "voided"
                self._newest[event.invoice] = told
            case PaymentReceived():
                self._status[event.invoice] = "paid" if event.open_amount <= 0 else "partly_paid"
                self._newest[event.invoice] = told

    def known(self, road: Road, shown: Set[str] = frozenset()) -> Known:
        left: dict[str, Expected] = {}
        right: dict[str, Expected] = {}
        for key, told in self._released.items():
            event = told.event
            assert isinstance(event, InvoiceReleased)
            if not self._since <= event.issued_on <= self._until and key not in shown:
                continue
            newest = self._newest[key]
            figures = Figures(amount=event.total, currency=event.currency, status=self._status[key])
            left[key] = Expected(
                key=key,
                figures=figures,
                changed_at=newest.recorded_at,
                words=event.id,
                other=figures,
                seq=told.seq,
            )
            # What is shown follows the newest word; an invoice that never arrived follows its release.
            landed, first = road(newest), road(told)
            if landed is not None and first is not None:
                stands = landed if landed.standing != "there" else first
                right[key] = Expected(
                    key=key,
                    figures=figures,
                    changed_at=newest.recorded_at,
                    standing=stands.standing,
                    words=stands.words,
                    origin=key,
                    other=figures,
                    seq=newest.seq,
                    lane=stands.lane,
                )
        return Known(left=left, right=right)


class Contracts:
    """What was sold on the left, the budget of its project on the right."""

    kinds = frozenset({"deal.won", "project.created", "demand.revised", "forecast.revised"})

    def __init__(self, since: date, until: date) -> None:
        self._since, self._until = since, until
        self._deals: dict[str, Told] = {}
        self._projects: dict[str, Told] = {}
        self._budgets: dict[str, Told] = {}
        self._outlooks: dict[str, Told] = {}

    def take(self, told: Told) -> None:
        match told.event:
            case DealWon() as event:
                self._deals[event.deal] = told
            case ProjectCreated() as event:
                self._projects[event.project] = told
            case DemandRevised() as event if event.budget is not None:
                self._budgets[event.project] = told
            case ForecastRevised() as event if event.earned is not None:
                self._outlooks[event.project] = told

    def known(self, road: Road, shown: Set[str] = frozenset()) -> Known:
        left: dict[str, Expected] = {}
        right: dict[str, Expected] = {}
        for key, told in self._deals.items():
            event = told.event
            assert isinstance(event, DealWon)
            if self._since <= event.closed_on <= self._until or key in shown:
                left[key] = Expected(
                    key=key,
                    figures=Figures(amount=event.amount, currency=event.currency, status="won"),
                    changed_at=told.recorded_at,
                    words=event.id,
                    seq=told.seq,
                )
        for key, first in self._projects.items():
            # What was earned and is still to be: a planner shows that as the project's budget.
            outlook = self._outlooks.get(key)
            shown_so = outlook is not None and road(outlook) is not None
            told = outlook if outlook is not None and shown_so else self._budgets.get(key, first)
            landed = road(told)
            if landed is None:
                continue
            deal = self._deals.get(key)
            right[key] = Expected(
                key=key,
                figures=_worth(told.event),
                changed_at=told.recorded_at,
                standing=landed.standing,
                words=landed.words,
                origin=key,
                other=None if deal is None else _worth(deal.event),
                seq=told.seq,
                lane=landed.lane,
            )
        return Known(left=left, right=right)


def _worth(event: BusinessEvent) -> Figures:
    """What a deal, a project, a change order or an outlook says a contract is worth."""
    match event:
        case DealWon():
            return Figures(amount=event.amount, currency=event.currency)
        case ForecastRevised() if event.earned is not None:
            return Figures(amount=event.earned + event.backlog, currency=event.currency)
        case ProjectCreated() | DemandRevised():
            return Figures(amount=event.budget, currency=event.currency)
    return Figures()
