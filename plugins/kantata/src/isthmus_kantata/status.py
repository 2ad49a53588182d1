"""Where an hour, an expense or an invoice stands, shown on its record in Kantata.

Each reference carries what people who never see isthmus need: ``status`` pending, successful or failed, one
word of state, and a sentence. ``without_external_reference_service_name=isthmus`` lists the entries that no
rule has looked at yet.
"""

from typing import NamedTuple

from isthmus.events import (
    ChargeDetermined,
    ChargeHeld,
    ChargePosted,
    ChargeReleased,
    ChargeWaived,
    InvoiceReleased,
    InvoiceVoided,
    PaymentReceived,
)
from isthmus.sdk import Context, Link, Receipt, Rejected, Unmet
from isthmus_kantata import outward
from isthmus_kantata.client import Row
from isthmus_kantata.references import References

Judged = ChargeDetermined | ChargeWaived | ChargeHeld | ChargeReleased
Invoiced = InvoiceReleased | InvoiceVoided | PaymentReceived
MODEL = "Charge"
_KIND = {"time": "time", "retainer_overage": "time", "expense": "expense", "milestone": "milestone"}
"""Crosswalk kind of what a charge comes from; everything else is shown on the project."""
_SUBJECT = {"time": "TimeEntry", "expense": "Expense", "milestone": "Story"}


class Place(NamedTuple):
    """The record a status is shown on, and the service name that is its place there."""

    subject_type: str
    subject: str
    service_name: str


class Statuses:
    """Writes the references. All of them are upserts (class A)."""

    def __init__(self, ctx: Context, references: References) -> None:
        self._ctx = ctx
        self._references = references

    # -- charges ----------------------------------------------------------------------------------------

    async def judged(self, event: Judged) -> Receipt:
        """What billing decided about a piece of work."""
        place = await self._place(event)
        line = outward.charge_line(event)
        ref = event.charge if isinstance(event, ChargeDetermined) else event.origin_key
        kept = await self._show(place, ref, line)
        links = []
        if isinstance(event, ChargeDetermined):
            # Charges of one entry share its record, and a record is linked to one key only.
            remote_id = f"{'/'.join(place)}#{event.charge}"
            links.append(Link(kind="charge", key=event.charge, remote_id=remote_id))
        return Receipt(remote_id=kept["id"], detail=f"{line.state}: {line.message}", links=links)

    async def posted(self, event: ChargePosted) -> Receipt:
        """An ERP has the charge in its books; what was decided since stays in view."""
        remote_id = await self._ctx.crosswalk.remote_id("charge", event.charge)
        if remote_id is None:
            raise Unmet(f"charge {event.charge} is not shown in Kantata yet")
        place = Place(*remote_id.removesuffix(f"#{event.charge}").split("/", 2))
        shown = await self._references.on(*place)
        if shown is not None and shown.get("service_model_ref") != event.charge:
            return Receipt(remote_id=shown["id"], detail="a newer decision is shown")
        line = outward.charge_line(event)
        kept = await self._show(place, event.charge, line)
        return Receipt(remote_id=kept["id"], detail=f"{line.state}: {line.message}")

    async def _place(self, event: Judged) -> Place:
        """The time entry, expense or milestone a charge comes from, or its project.

        Raises:
            Unmet: it is not in Kantata yet.
            Rejected: it is of another system.
        """
        name = self._references.service_name
        kind = _KIND.get(event.origin)
        if kind is not None:
            known = await self._ctx.crosswalk.remote_id(kind, event.origin_key)
            own = event.origin_key.removeprefix(f"{self._ctx.instance}:")
            if known is None and own != event.origin_key and own.isdigit():
                known = own
            if known is not None:
                # A milestone carries its own key under the plain name.
                return Place(
                    _SUBJECT[kind], known, name if kind != "milestone" else f"{name}:{event.origin_key}"
                )
            if kind != "milestone":
                raise Rejected(
                    f"{event.origin} {event.origin_key} is not of {self._ctx.instance}; route the charges of "
                    "each system to the lane of that system",
                    reason="mapping",
                )
        if event.project is None:
            raise Rejected(
                f"{event.origin} {event.origin_key} names no project to show it on", reason="mapping"
            )
        workspace = await self._references.workspace(event.project)
        return Place("Workspace", workspace, f"{name}:{event.origin_key}")

    async def _show(self, place: Place, ref: str, line: outward.Line) -> Row:
        fields = {
            "service_name": place.service_name,
            "service_model": MODEL,
            "service_model_ref": ref,
            "status": line.sync,
            "external_status": line.state,
            "external_message": line.message,
        }
        return await self._references.keep(place.subject_type, place.subject, fields)

    # -- invoices ---------------------------------------------------------------------------------------

    async def invoice(self, event: Invoiced, workspace: str | None) -> Receipt:
        """Write an invoice's state where the people of the project see it.

        Args:
            workspace: its project; None where the fact names none.
        """
        known = await self._references.to("Workspace", "Invoice", event.invoice)
        if workspace is None and known:
            workspace = str(known[0]["subject_id"])
        if workspace is None:
            if isinstance(event, InvoiceReleased):
                raise Rejected(
                    "the fact names no project; Kantata has no other place for it", reason="mapping"
                )
            raise Unmet(f"invoice {event.invoice} is not shown in Kantata yet")
        before = next((row for row in known if str(row["subject_id"]) == workspace), None)
        status, message = outward.invoice_line(event, before.get("external_message") if before else None)
        kept = await self._references.keep(
            "Workspace",
            workspace,
            {
                "service_name": f"{self._references.service_name}:{event.invoice}",
                "service_model": "Invoice",
                "service_model_ref": event.invoice,
                "status": "successful",
                "external_status": status,
                "external_message": message,
            },
        )
        link = Link(kind="invoice", key=event.invoice, remote_id=kept["id"])
        return Receipt(remote_id=kept["id"], detail=f"{status}: {message}", links=[link])
