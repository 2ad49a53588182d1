"""Canonical facts as Kantata's records, and in words for the people who read them there; pure functions."""

from decimal import ROUND_HALF_UP, Decimal
from typing import Any, NamedTuple

from isthmus.events import (
    ChargeDetermined,
    ChargeHeld,
    ChargePosted,
    ChargeReleased,
    ChargeWaived,
    InvoiceReleased,
    InvoiceVoided,
    MilestoneTerm,
    PaymentReceived,
    ProjectCreated,
)
from isthmus_kantata.settings import KantataSettings
from isthmus_kantata.translate import STATUS_KEYS

Invoiced = InvoiceReleased | InvoiceVoided | PaymentReceived
Judged = ChargeDetermined | ChargePosted | ChargeWaived | ChargeHeld | ChargeReleased


def workspace_of(event: ProjectCreated, settings: KantataSettings) -> dict[str, Any]:
    """The body that creates a project, its reference inside, so that one call makes both."""
    fields: dict[str, Any] = {
        "title": event.name,
        "description": f"Project {event.project} of customer {event.customer}",
        "creator_role": "consultant",
        "budgeted": event.currency is not None,
        "require_time_approvals": True,
        "require_expense_approvals": True,
        "status_key": status_key_of(settings, event.stage),
        "external_reference": {
            "service_name": settings.service_name,
            "service_model": "Project",
            "service_model_ref": event.project,
            "status": "successful",
        },
    }
    if event.currency is not None:
        fields["currency"] = event.currency
        fields["price"] = int((event.budget or Decimal(0)).quantize(Decimal(1), rounding=ROUND_HALF_UP))
    if event.starts_on is not None:
        fields["start_date"] = event.starts_on.isoformat()
    return {"workspace": fields}


def milestone_of(term: MilestoneTerm) -> dict[str, Any]:
    """What a contract says about a milestone: its title, and its day where it has one."""
    due = {"due_date": term.planned_on.isoformat()} if term.planned_on is not None else {}
    return {"title": term.title, **due}


def status_key_of(settings: KantataSettings, stage: str) -> int:
    return settings.status_keys.get(stage, STATUS_KEYS[stage])


def invoice_line(event: Invoiced, before: str | None) -> tuple[str, str]:
    """``external_status`` and ``external_message`` that show an invoice's state on its project.

    Args:
        before: the message shown so far; a payment knows neither number nor total and keeps them.
    """
    match event:
        case InvoiceReleased():
            head = f"Invoice {event.number}, total {event.total} {event.currency}"
            return "released", f"{head}, open {event.total} {event.currency}"
        case InvoiceVoided():
            head = f"Invoice {event.number}, total {event.amount} {event.currency}"
            return "voided", f"{head}, voided on {event.on}"
        case PaymentReceived():
            head = before.partition(", open ")[0] if before else f"Invoice {event.invoice}"
            status = "paid" if event.open_amount <= 0 else "partly_paid"
            return status, f"{head}, open {event.open_amount} {event.currency}"


class Line(NamedTuple):
    """What a reference says: ``sync`` is pending, successful or failed."""

    sync: str
    state: str
    message: str


def charge_line(event: Judged) -> Line:
    """Where a piece of work stands, in words for whoever booked it."""
    match event:
        case ChargeDetermined(reverses=None):
            priced = f"{event.quantity} x {event.unit_price} = {event.amount} {event.currency}"
            return Line("pending", "charged", f"{priced}, for {event.posting_on:%Y-%m}; not in the books yet")
        case ChargeDetermined():
            return Line(
                "pending", "reversed", f"{event.amount} {event.currency} taken back; not in the books yet"
            )
        case ChargePosted():
            booked = f"{event.amount} {event.currency}, in {event.system} as {event.remote_id}"
            return Line("successful", "posted", f"{booked}, {event.posted_on}")
        case ChargeWaived():
            return Line("successful", "not_billed", event.reason)
        case ChargeHeld():
            return Line("failed", "held", f"{event.reason}: {event.detail}")
        case ChargeReleased():
            return Line("pending", "released", f"no longer held for {event.reason}")
