"""Facts into NetSuite: customers, projects, charges, each under our key."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import trio

from isthmus.events import (
    BusinessEvent,
    ChargeDetermined,
    ChargePosted,
    CustomerChanged,
    ProjectCreated,
    ScheduleRevised,
)
from isthmus.sdk import (
    Candidate,
    ConnectorError,
    Context,
    Delivery,
    DeliveryClass,
    Link,
    Receipt,
    Rejected,
    Sink,
    Unmet,
)
from isthmus_netsuite import translate
from isthmus_netsuite.batch import Batches
from isthmus_netsuite.client import Client
from isthmus_netsuite.directory import Directory, quoted
from isthmus_netsuite.jobs import Jobs
from isthmus_netsuite.matching import Matching
from isthmus_netsuite.records import KEY_FIELD, Records, RecordType
from isthmus_netsuite.settings import NetSuiteSettings
from isthmus_netsuite.translate import APPROVED, Refs


class NetSuiteSink(Sink):
    """Writes records and reads them back: a receipt means NetSuite holds that amount under that id."""

    accepts = frozenset({"customer.changed", "project.created", "schedule.revised", "charge.determined"})

    def __init__(
        self, client: Client, directory: Directory, settings: NetSuiteSettings, ctx: Context
    ) -> None:
        self._client = client
        self._directory = directory
        self._settings = settings
        self._ctx = ctx
        self.concurrency = settings.concurrency
        self.worst_commit_s = settings.worst_commit_s
        self._schedules = trio.Lock()
        jobs = Jobs(client, patience_s=settings.job_patience_s)
        self._records = Records(client, jobs if settings.writes == "async" else None, settings)
        self._batches = None
        if settings.writes == "batch":
            self.batch_max = settings.batch_max
            self._batches = Batches(
                client, jobs, self._records, prepare=self._body, settle=self._proven, alone=self.deliver
            )

    def delivery_class(self, event: BusinessEvent) -> DeliveryClass:
        """A by external id, of which NetSuite keeps one record; B by custom field, which it does not guard.

        A schedule is written into a job that is there: again, it is the same text.
        """
        if self._records.by_field and not isinstance(event, ScheduleRevised):
            return DeliveryClass.B
        return DeliveryClass.A

    async def deliver_many(self, deliveries: Sequence[Delivery]) -> list[Receipt | ConnectorError]:
        if self._batches is None:
            return await super().deliver_many(deliveries)
        return await self._batches.deliver(deliveries)

    async def find(self, delivery: Delivery) -> Receipt | None:
        """The record that bears the key of this fact and holds what it says; None when there is none such.

        Master data of an earlier revision is not this fact, so it is told as none, and written again.

        Raises:
            Rejected: the record bears another amount, or several bear the key.
        """
        match delivery.event:
            case ChargeDetermined() as event:
                type = translate.record_type(event)
                record = await self._records.find(type, event.charge)
                return None if record is None else self._proven(event, type, record)
            case CustomerChanged() as event:
                return await self._held(
                    "customer", "customer", event.customer, await self._customer_body(event)
                )
            case ProjectCreated() as event:
                return await self._held("job", "project", event.project, await self._job_body(event))
            case _:
                return None

    async def match(self, events: Sequence[BusinessEvent]) -> Sequence[Candidate]:
        """Records another integration may have written for these facts; see `isthmus_netsuite.matching`."""
        matching = Matching(
            self._client,
            self._directory,
            self._records,
            self._ctx,
            posted=self._posted,
            linked=self._linked,
        )
        return await matching.match(events)

    async def _held(self, type: RecordType, kind: str, key: str, body: dict[str, Any]) -> Receipt | None:
        known = await self._ctx.crosswalk.remote_id(kind, key)
        if known is None:
            record = await self._records.find(type, key)
        else:
            record = await self._client.read(type, id=known)
        if record is None or not translate.holds(record, body):
            return None
        return self._linked(type, kind, key, str(record["id"]))

    async def deliver(self, delivery: Delivery) -> Receipt:
        match delivery.event:
            case CustomerChanged() as event:
                return await self._customer(event, delivery.key)
            case ProjectCreated() as event:
                return await self._project(event, delivery.key)
            case ScheduleRevised() as event:
                return await self._schedule(event)
            case ChargeDetermined() as event:
                return await self._charge(event, delivery.key)
            case other:
                raise Rejected(f"NetSuite takes no {other.kind}", reason="mapping")

    async def _customer(self, event: CustomerChanged, once: str) -> Receipt:
        body = await self._customer_body(event)
        known = await self._ctx.crosswalk.remote_id("customer", event.customer)
        if known is None and self._settings.match_customers == "tax_id" and event.tax_id:
            known = await self._same_tax_id(event)
            if known is not None:
                body |= self._records.marked("customer", event.customer)
        return await self._master("customer", "customer", event.customer, known, body, once)

    async def _customer_body(self, event: CustomerChanged) -> dict[str, Any]:
        return translate.customer(
            event,
            currency=await self._directory.currency_id(event.currency),
            subsidiary=self._settings.subsidiary(event.entity),
        )

    async def _same_tax_id(self, event: CustomerChanged) -> str | None:
        """The one customer with this tax number, which isthmus adopts; None when there is none.

        Raises:
            Rejected: several have it, or another key is on it.
        """
        field = KEY_FIELD if self._records.by_field else "externalid"
        rows = await self._client.query(
            f"SELECT id, {field} AS ours FROM customer "  # noqa: S608
            f"WHERE vatregnumber = {quoted(event.tax_id or '')} ORDER BY id"
        )
        ours = self._records.name(event.customer)
        if any(row.get("ours") == ours for row in rows):
            return None
        if len(rows) > 1 or any("ours" in row for row in rows):
            raise Rejected(
                f"customers {', '.join(row['id'] for row in rows)} have the tax number of {event.customer}; "
                f"merge them, or clear their {field}, then retry",
                reason="duplicate",
            )
        return rows[0]["id"] if rows else None

    async def _project(self, event: ProjectCreated, once: str) -> Receipt:
        body = await self._job_body(event)
        known = await self._ctx.crosswalk.remote_id("project", event.project)
        return await self._master("job", "project", event.project, known, body, once)

    async def _job_body(self, event: ProjectCreated) -> dict[str, Any]:
        customer = await self._ctx.crosswalk.remote_id("customer", event.customer)
        if customer is None:
            raise Unmet(f"customer {event.customer} is not in NetSuite yet")
        return translate.job(
            event,
            customer=customer,
            currency=await self._directory.currency_id(event.currency) if event.currency else None,
            subsidiary=self._settings.subsidiary(event.entity),
        )

    async def _master(
        self, type: RecordType, kind: str, key: str, known: str | None, body: dict[str, Any], once: str
    ) -> Receipt:
        """Write master data: into the record the crosswalk names, else under our key."""
        if known is not None:
            id = await self._client.change(type, known, body)
        else:
            id = await self._records.put(type, key, body, once=once)
        return self._linked(type, kind, key, id)

    def _linked(self, type: RecordType, kind: str, key: str, id: str) -> Receipt:
        return Receipt(
            remote_id=f"{type}/{id}",
            detail=self._records.name(key),
            links=[Link(kind=kind, key=key, remote_id=id)],
        )

    async def _schedule(self, event: ScheduleRevised) -> Receipt:
        """Write the schedule into a text field of the job, beside those of the project's other contracts."""
        if event.project is None:
            raise Rejected(f"the schedule of {event.contract} names no project", reason="missing")
        job = await self._ctx.crosswalk.remote_id("project", event.project)
        if job is None:
            raise Unmet(f"project {event.project} is not in NetSuite yet")
        async with self._schedules:  # two contracts of one project must not overwrite each other
            record = await self._client.read("job", id=job)
            if record is None:
                raise Rejected(f"job {job} is no more; unlink {event.project}, then retry", reason="missing")
            text = translate.schedule(event, str(record.get(SCHEDULE) or ""))
            id = await self._client.change("job", job, {SCHEDULE: text})
        return Receipt(remote_id=f"job/{id}", detail=f"{event.contract}, schedule {event.revision}")

    async def _charge(self, event: ChargeDetermined, once: str) -> Receipt:
        """Look, write, read back; a record that is there already is adopted, never changed."""
        type = translate.record_type(event)
        record = await self._records.find(type, event.charge)
        if record is None:
            body = await self._body(event)
            replace = ("item", "apply") if "apply" in body else ("item",) if type in _DOCUMENTS else ()
            record = await self._records.write(type, event.charge, body, once=once, replace=replace)
        return self._proven(event, type, record)

    async def _body(self, event: ChargeDetermined) -> dict[str, Any]:
        """The record of a charge whose period is open.

        Raises:
            Rejected: the period is closed, or see `_refs`.
        """
        refs = await self._refs(event)
        await self._directory.require_open(event.posting_on)
        return translate.charge(event, refs)

    def _proven(self, event: ChargeDetermined, type: RecordType, record: dict[str, Any]) -> Receipt:
        """The receipt for a record that was read back.

        Raises:
            Rejected: it is not this charge, or not with this amount.
        """
        if (why := translate.difference(event, record)) is not None:
            raise Rejected(
                f"{type} {record['id']} bears {self._records.name(event.charge)} already, but {why}; correct "
                "or delete it in NetSuite, then retry",
                reason="duplicate",
                peer_words=f"{type} {record['id']}: {why}",
            )
        return self._posted(event, type, record)

    def _posted(self, event: ChargeDetermined, type: str, record: dict[str, Any]) -> Receipt:
        id = str(record["id"])
        # Time bills, charges and transactions are numbered apart: the type makes the id unique.
        remote_id = f"{type}/{id}"
        links = [Link(kind="charge", key=event.charge, remote_id=remote_id)]
        if type == "invoice":
            links.append(Link(kind="invoice", key=self._ctx.key(id), remote_id=id))
        posted = ChargePosted(
            source=self._ctx.instance,
            entity=event.entity,
            occurred_at=self._ctx.now(),
            correlation=event.correlation or event.id,
            causation=event.id,
            charge=event.charge,
            system=self._ctx.instance,
            remote_id=remote_id,
            posted_on=event.posting_on,
            amount=event.amount,
            currency=event.currency,
            project=event.project,
        )
        detail = str(record.get("tranId") or self._records.name(event.charge))
        return Receipt(remote_id=remote_id, detail=detail, links=links, facts=[posted])

    async def _refs(self, event: ChargeDetermined) -> Refs:
        """The internal ids a charge needs.

        Raises:
            Unmet: the project, or the charge it reverses, is not in NetSuite yet.
            Rejected: an item, employee or segment is not mapped in the settings.
        """
        job = await self._ctx.crosswalk.remote_id("project", event.project)
        if job is None:
            raise Unmet(f"project {event.project} is not in NetSuite yet")
        named = event.dimensions.get("item") or event.service or event.origin
        item = self._settings.items.get(named, self._settings.default_item)
        if item is None:
            raise Rejected(f"no item for {named!r}; add it to items", reason="mapping")
        employee = None
        if event.origin in translate.HOURS:
            employee = await self._employee(event.resource)
        return Refs(
            job=job,
            item=item,
            currency=await self._directory.currency_id(event.currency),
            subsidiary=self._settings.subsidiary(event.entity),
            employee=employee,
            segments=self._segments(event),
            apply_to=await self._settles(event),
        )

    async def _employee(self, resource: str | None) -> str:
        found = await self._ctx.crosswalk.remote_id("resource", resource) if resource else None
        if found is None and self._settings.default_employee is None:
            raise Rejected(
                f"resource {resource!r} has no employee; link it in the crosswalk or set default_employee",
                reason="mapping",
            )
        return found or str(self._settings.default_employee)

    def _segments(self, event: ChargeDetermined) -> dict[str, str]:
        segments: dict[str, str] = {}
        for name, ids in self._settings.dimensions.items():
            value = event.dimensions.get(name)
            if value is None:
                continue
            if value not in ids:
                raise Rejected(f"{name} {value!r} is not mapped; add it to dimensions", reason="mapping")
            segments[name] = ids[value]
        return segments

    async def _settles(self, event: ChargeDetermined) -> str | None:
        """The invoice a reversal is applied to: the one it takes back, if that is approved and unpaid.

        Raises:
            Unmet: the reversed charge is not posted yet.
        """
        if event.reverses is None:
            return None
        remote = await self._ctx.crosswalk.remote_id("charge", event.reverses)
        if remote is None:
            raise Unmet(f"charge {event.reverses}, which this reverses, is not in NetSuite yet")
        type, _, id = remote.partition("/")
        if type != "invoice" or translate.record_type(event) != "creditMemo":
            return None
        invoice = await self._client.read("invoice", id=id)
        if invoice is None:
            return None
        open_amount = translate.number(invoice.get("amountRemaining")) or Decimal(0)
        approved = (invoice.get("approvalStatus") or {}).get("id") == APPROVED
        return id if approved and open_amount >= -event.amount else None


SCHEDULE = "custentity_isth_schedule"
_DOCUMENTS = ("invoice", "creditMemo")
