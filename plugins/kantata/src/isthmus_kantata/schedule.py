"""The billing schedule of a contract as billing milestones of its project.

Each amount is one billing milestone with our key on it, and the reference says where the amount stands. The
newest schedule is the whole truth: what it no longer names is set to nothing, since Kantata deletes hard and
a project manager should see that it went.
"""

from decimal import Decimal

from isthmus.events import ScheduledInstallment, ScheduleRevised, minor_digits
from isthmus.sdk import Context, Link, Receipt, Rejected, Unsure
from isthmus_kantata.client import Client, Row
from isthmus_kantata.references import References, one_each

MODEL = "Installment"
SYNC = {"planned": "pending", "billed": "successful", "held": "failed", "paused": "pending"}
"""What the reference's status is for a state of an amount; what is cancelled or dropped is successful."""


class Schedules:
    """Writes billing milestones. Looked up before they are made (class B)."""

    def __init__(self, client: Client, ctx: Context, references: References) -> None:
        self._client = client
        self._ctx = ctx
        self._references = references

    async def show(self, event: ScheduleRevised, workspace: str) -> Receipt:
        """Make the billing milestones of a contract say what its schedule says."""
        kept, said = await self._of(event, workspace)
        ids: dict[str, str] = {}
        for entry in event.installments:
            row = kept.get(entry.key)
            body = await self._body(event, entry, workspace)
            word = self._word(event, entry.key, entry.state, entry.line)
            if row is None:
                ids[entry.key] = await self._create(body, word)
                continue
            if _differs(row, body):
                await self._change(row, {name: body[name] for name in _COMPARED})
            if said.get(entry.key) != entry.state:
                await self._references.keep("BillingMilestone", row["id"], word)
            ids[entry.key] = row["id"]
        for key in sorted(kept.keys() - ids.keys()):
            row = kept[key]
            if row.get("amount_in_cents") != 0:
                await self._change(row, {"amount_in_cents": 0})
            if said.get(key) != DROPPED:
                word = self._word(event, key, DROPPED)
                await self._references.keep("BillingMilestone", row["id"], word)
        return _receipt(workspace, ids, "shown")

    async def shown(self, event: ScheduleRevised, workspace: str) -> Receipt | None:
        """The receipt of `show`, if all of it is there as it should be."""
        kept, said = await self._of(event, workspace)
        states = {entry.key: entry.state for entry in event.installments}
        for entry in event.installments:
            row = kept.get(entry.key)
            if row is None or _differs(row, await self._body(event, entry, workspace)):
                return None
        for key, row in kept.items():
            dropped = key not in states
            if said.get(key) != states.get(key, DROPPED) or (dropped and row.get("amount_in_cents")):
                return None
        return _receipt(workspace, {key: kept[key]["id"] for key in states}, "found")

    async def _of(self, event: ScheduleRevised, workspace: str) -> tuple[dict[str, Row], dict[str, str]]:
        """The billing milestones of this contract by our key, and the state each shows."""
        named = {entry.key for entry in event.installments}
        found: dict[str, Row] = {}
        said: dict[str, str] = {}
        params = {"workspace_ids": workspace, "include": "external_references", "order": "created_at:asc"}
        async for listing in self._client.every("billing_milestones", params):
            for row in listing.rows:
                reference = self._references.of(listing, row, MODEL)
                if reference is None:
                    continue
                key = str(reference.get("service_model_ref"))
                if key in named or str(reference.get("external_message")).startswith(_about(event)):
                    one_each(found, key, row, "billing milestones")
                    said[key] = str(reference.get("external_status"))
        return found, said

    async def _body(self, event: ScheduleRevised, entry: ScheduledInstallment, workspace: str) -> Row:
        gone = entry.state == "cancelled"
        story = await self._ctx.crosswalk.remote_id("milestone", entry.key)
        body: Row = {
            "workspace_id": int(workspace),
            "title": f"{entry.line or event.contract} due {entry.due_on}",
            "amount_in_cents": 0 if gone else _subunits(entry.amount, event.currency),
            "date_to_invoice": entry.due_on.isoformat(),
            "billing_type": "fixed_date",
        }
        if story is not None:
            body["story_id"] = int(story)
        return body

    async def _create(self, body: Row, word: dict[str, str]) -> str:
        sent = {"billing_milestone": {**body, "external_reference": word}}
        row, listing = await self._client.write(
            "POST", "billing_milestones", "billing_milestones", sent, include="external_references"
        )
        _prove(row, body)
        if self._references.carried(listing, row, MODEL) != word["service_model_ref"]:
            await self._references.keep("BillingMilestone", row["id"], word)
        return str(row["id"])

    async def _change(self, row: Row, changes: Row) -> None:
        changed, _ = await self._client.write(
            "PUT", f"billing_milestones/{row['id']}", "billing_milestones", {"billing_milestone": changes}
        )
        if changed["id"] != row["id"]:
            raise Unsure(f"billing milestone {row['id']} was answered with {changed['id']}")
        _prove(changed, changes)

    def _word(self, event: ScheduleRevised, key: str, state: str, line: str | None = None) -> dict[str, str]:
        """The reference that says where an amount stands."""
        return self._references.new(
            MODEL,
            key,
            status=SYNC.get(state, "successful"),
            external_status=state,
            external_message=f"{_about(event)}{'line ' + line + ', ' if line else ''}{state}",
        )


DROPPED = "dropped"
_COMPARED = ("title", "amount_in_cents", "date_to_invoice")


def _differs(row: Row, body: Row) -> bool:
    return any(row.get(field) != body[field] for field in _COMPARED)


def _receipt(workspace: str, ids: dict[str, str], word: str) -> Receipt:
    """Named after the billing milestones; a schedule of nothing is held by the project alone."""
    links = [Link(kind="installment", key=key, remote_id=id) for key, id in ids.items()]
    return Receipt(
        remote_id=",".join(ids.values()) or workspace,
        detail=f"{len(ids)} billing milestones on project {workspace} {word}",
        links=links,
    )


def _about(event: ScheduleRevised) -> str:
    """How the message of a reference begins; by it the amounts of a contract are known."""
    return f"contract {event.contract}, "


def _subunits(amount: Decimal, currency: str | None) -> int:
    """An amount in the subunits Kantata counts.

    Raises:
        Rejected: the schedule names no currency, or the amount has more digits than it.
    """
    if currency is None:
        raise Rejected(
            "the schedule names no currency, so Kantata's subunits are not known", reason="missing"
        )
    subunits = amount.scaleb(minor_digits(currency))
    if subunits != subunits.to_integral_value():
        raise Rejected(f"{amount} has more digits than {currency}", reason="value")
    return int(subunits)


def _prove(row: Row, body: Row) -> None:
    for field in _COMPARED:
        if field in body and row.get(field) != body[field]:
            raise Unsure(
                f"billing milestone {row['id']} was to have {field} {body[field]!r}, "
                f"it has {row.get(field)!r}"
            )
