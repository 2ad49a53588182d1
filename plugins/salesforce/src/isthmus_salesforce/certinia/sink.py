"""What Certinia takes: projects, their stage and milestones, and what was invoiced.

Everything is an upsert by our key or sets a record to what it should be, so sending again is safe.
An invoice names charges. Which split, expense or milestone a charge came from is learned when the charge
itself passes: that writes nothing here, but leaves the link that the invoice needs.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from isthmus.events import (
    BusinessEvent,
    ChargeDetermined,
    ContractAmended,
    ContractSigned,
    InvoiceReleased,
    InvoiceVoided,
    Milestones,
    MilestoneTerm,
    ProjectCreated,
    ProjectStageChanged,
)
from isthmus.sdk import (
    ConnectorError,
    Context,
    Delivery,
    DeliveryClass,
    Fatal,
    Link,
    Receipt,
    Rejected,
    Retryable,
    Sink,
    Throttled,
    Unmet,
    Unsure,
)
from isthmus_salesforce.certinia import bodies
from isthmus_salesforce.client import Client, Upserted, check_key, one_of, portions, quoted, select
from isthmus_salesforce.fields import KEY
from isthmus_salesforce.locks import OneByOne
from isthmus_salesforce.schema import Schema
from isthmus_salesforce.settings import SalesforceSettings

PROJECT, MILESTONE = "pse__Proj__c", "pse__Milestone__c"
ORIGINS = {"time": "pse__Timecard__c", "expense": "pse__Expense__c", "milestone": MILESTONE}
"""Where the work behind a charge lives, by the charge's origin; its crosswalk kind has the same name."""
ROWS_MAX = 200
NOWHERE = "-"
WRITE_BACK = "write-back"


class Project(msgspec.Struct, frozen=True):
    """A project as it is held: ``keyed`` says whether it has our key yet."""

    id: str
    keyed: bool


class Engagements(Sink):
    """Certinia's picture of what was sold and billed; the work in it is its own."""

    accepts = frozenset(
        {
            "project.created",
            "project.stage_changed",
            "contract.signed",
            "contract.amended",
            "charge.determined",
            "invoice.released",
            "invoice.voided",
        }
    )
    concurrency = 4

    def __init__(self, client: Client, settings: SalesforceSettings, ctx: Context, schema: Schema) -> None:
        self._client = client
        self._settings = settings
        self._certinia = settings.certinia
        self._ctx = ctx
        self._schema = schema
        self._parents = OneByOne()

    def delivery_class(self, event: BusinessEvent) -> DeliveryClass:
        """A: projects and milestones go by our unique key, the rest sets fields of known records."""
        return DeliveryClass.A

    async def deliver(self, delivery: Delivery) -> Receipt:
        match delivery.event:
            case ChargeDetermined() as event:
                return await self._note_charge(event)
            case ProjectCreated() as event:
                return await self._create_project(event)
            case ProjectStageChanged() as event:
                return await self._move_project(event)
            case ContractSigned() | ContractAmended() as event:
                return await self._put_milestones(event)
            case InvoiceReleased() as event:
                return await self._mark_invoiced(event)
            case InvoiceVoided() as event:
                return await self._mark_open(event)
            case event:
                raise Rejected(f"Certinia takes no {event.kind}; correct the route", reason="mapping")

    # -- projects ---------------------------------------------------------------------------------------

    async def _create_project(self, event: ProjectCreated) -> Receipt:
        """A project that is there already stays as its people have it."""
        await self._schema.ensure(PROJECT)
        held = await self._project(event.project)
        if held is not None and held.keyed:
            return _project_receipt(event.project, held.id, "found")
        if held is not None:
            await self._write([(PROJECT, held.id, {KEY: event.project})])
            return _project_receipt(event.project, held.id, "adopted by its opportunity")
        account = await self._account(event.customer)
        deal = self._own_id(event.project, "006")
        body = bodies.project_body(event, self._certinia, account=account, deal=deal)
        id = await self._make_project(event.project, body, account)
        return _project_receipt(event.project, id, "new")

    async def _make_project(self, key: str, body: Mapping[str, Any], account: str) -> str:
        named = self._settings.named
        async with self._parents.on([account]):
            answer = await self._client.upsert(named(PROJECT), named(KEY), key, self._in_their_names(body))
        if answer.id is None or answer.created is False:
            raise Unsure(f"{key}: the answer names {answer.id}, but no project had our key a moment ago")
        return answer.id

    async def _move_project(self, event: ProjectStageChanged) -> Receipt:
        await self._schema.ensure(PROJECT)
        held = await self._need_project(event.project)
        body = bodies.stage_body(event.stage, self._certinia)
        await self._write([(PROJECT, held.id, body)])
        return Receipt(remote_id=held.id, detail=f"stage {body['pse__Stage__c']}")

    async def _project(self, key: str) -> Project | None:
        """The project that has our key, or else that of the same deal, where Certinia makes them.

        Raises:
            Rejected: several have it.
        """
        instance, _, own = key.partition(":")
        if instance == self._ctx.instance:
            return Project(own, keyed=True)
        named = self._settings.named
        field, deal_field = named(KEY), named("pse__Opportunity__c")
        condition = one_of(field, [key])
        deal = self._own_id(key, "006")
        if self._certinia.projects_by == "opportunity" and deal is not None:
            condition = f"({condition} OR ({field} = null AND {deal_field} = {quoted(deal)}))"
        found = await self._client.rows(select(["Id", field], named(PROJECT), where=[condition]))
        keyed = [record for record in found if record.get(field) == key]
        held = keyed or [record for record in found if record.get(field) is None]
        if len(held) > 1:
            ids = ", ".join(str(record["Id"]) for record in held)
            raise Rejected(f"{len(held)} projects stand for {key}: {ids}; keep one", reason="duplicate")
        return Project(str(held[0]["Id"]), bool(keyed)) if held else None

    async def _need_project(self, key: str) -> Project:
        held = await self._project(key)
        if held is None:
            raise Unmet(f"project {key} is not in Certinia yet")
        return held

    async def _account(self, customer: str) -> str:
        """
        Raises:
            Unmet: nobody told which Account that customer is.
        """
        known = await self._ctx.crosswalk.remote_id("customer", customer)
        if known is None:
            known = self._own_id(customer, "001")
        if known is None:
            raise Unmet(f"customer {customer} is no Account known here; set certinia.crm, or link it")
        return known

    def _own_id(self, key: str, prefix: str) -> str | None:
        """The id in a key of the CRM that is this same org, when it names an object with this prefix."""
        instance, _, id = key.partition(":")
        return id if instance == self._certinia.crm and id.startswith(prefix) else None

    # -- milestones -------------------------------------------------------------------------------------

    async def _put_milestones(self, event: ContractSigned | ContractAmended) -> Receipt:
        """One milestone per term; what a contract drops stays for the project manager to close."""
        await self._schema.ensure(PROJECT, MILESTONE)
        project = await self._need_project(event.project)
        terms = [t for line in event.lines if isinstance(line, Milestones) for t in line.milestones]
        for term in terms:
            check_key(term.milestone)
        held = await self._milestones(terms)
        ids: dict[str, str] = {}
        async with self._parents.on([project.id]):
            for part in _collections(terms):
                rows = [(term.milestone, self._milestone(term, event, held, project)) for term in part]
                named = self._settings.named
                outcomes = await self._client.upsert_many(named(MILESTONE), named(KEY), rows)
                _raise_worst(outcomes)
                for term, outcome in zip(part, outcomes, strict=True):
                    ids[term.milestone] = _proven(term.milestone, outcome, held.get(term.milestone))
        links = [Link(kind="milestone", key=key, remote_id=id) for key, id in ids.items()]
        detail = f"{len(ids)} milestones on project {project.id}"
        return Receipt(remote_id=",".join(ids.values()) or project.id, detail=detail, links=links)

    def _milestone(
        self,
        term: MilestoneTerm,
        event: ContractSigned | ContractAmended,
        held: Mapping[str, str],
        project: Project,
    ) -> dict[str, Any]:
        new_in = None if term.milestone in held else project.id
        return self._in_their_names(bodies.milestone_body(term, event, self._certinia, project=new_in))

    async def _milestones(self, terms: Sequence[MilestoneTerm]) -> dict[str, str]:
        """The ids of the milestones that have these keys already."""
        named = self._settings.named
        found: dict[str, str] = {}
        for keys in portions([term.milestone for term in terms]):
            query = select(["Id", named(KEY)], named(MILESTONE), where=[one_of(named(KEY), keys)])
            found |= {str(r[named(KEY)]): str(r["Id"]) for r in await self._client.rows(query)}
        return found

    # -- what was invoiced ------------------------------------------------------------------------------

    async def _note_charge(self, event: ChargeDetermined) -> Receipt:
        """Keep which record a charge came from. Reversals and scheduled amounts have none here."""
        item = ORIGINS.get(event.origin) if event.reverses is None else None
        record = None
        if item is not None:
            remote = await self._ctx.crosswalk.remote_id(event.origin, event.origin_key)
            if remote is None and event.origin_key.startswith(f"{self._ctx.instance}:"):
                raise Unmet(f"{event.origin} {event.origin_key} is not known here")
            record = remote.partition("/")[0] if remote is not None else None
        place = f"{item}/{record}" if record else NOWHERE
        detail = f"comes from {place}" if record else "comes from no record of Certinia"
        # A record may have many charges; a link's far end is unique, so it names the charge too.
        link = Link(kind="charge", key=event.charge, remote_id=f"{place}#{event.charge}")
        return Receipt(remote_id=record or "none", detail=f"{detail}; nothing is written", links=[link])

    async def _mark_invoiced(self, event: InvoiceReleased) -> Receipt:
        records = dict.fromkeys([await self._behind(charge) for charge in event.charges])
        body = bodies.invoiced_body(event)
        rows = [(item, id, body) for item, id in filter(None, records)]
        await self._write(rows)
        ids = ",".join(id for _, id, _ in rows)
        # Numbers that two ERPs use twice would meet here, and not in a record.
        link = Link(kind="invoice", key=event.invoice, remote_id=event.number)
        return Receipt(
            remote_id=ids or "none", detail=f"{len(rows)} records have {event.number}", links=[link]
        )

    async def _behind(self, charge: str) -> tuple[str, str] | None:
        """The object and id of the record behind a charge; None where Certinia has none.

        Raises:
            Unmet: the charge itself was not delivered yet.
        """
        known = await self._ctx.crosswalk.remote_id("charge", charge)
        if known is None:
            raise Unmet(f"charge {charge} was not delivered here yet")
        item, _, id = known.partition("#")[0].partition("/")
        return (item, id) if id else None

    async def _mark_open(self, event: InvoiceVoided) -> Receipt:
        """Take the invoice off the records that still show it."""
        if await self._ctx.crosswalk.remote_id("invoice", event.invoice) is None:
            return Receipt(remote_id="none", detail=f"{event.number} was never written here")
        named = self._settings.named
        shown = f"{named('pse__Invoice_Number__c')} = {quoted(event.number)}"
        rows: list[tuple[str, str, Mapping[str, Any]]] = []
        for item in ORIGINS.values():
            await self._schema.ensure(item)
            found = await self._client.rows(select(["Id"], named(item), where=[shown]))
            rows += [(item, str(record["Id"]), bodies.NOT_INVOICED) for record in found]
        await self._write(rows)
        ids = ",".join(id for _, id, _ in rows)
        return Receipt(remote_id=ids or "none", detail=f"{len(rows)} records are open again")

    async def _write(self, rows: Sequence[tuple[str, str, Mapping[str, Any]]]) -> None:
        """
        Raises:
            ConnectorError: the first trouble that waiting helps; what is refused is told in one piece.
        """
        await self._schema.ensure(*{item for item, _, _ in rows})
        for part in _collections(rows):
            outcomes = await self._update(part)
            _raise_worst(outcomes)
            for (_, id, _), outcome in zip(part, outcomes, strict=True):
                _proven(id, outcome, id)

    async def _update(
        self, rows: Sequence[tuple[str, str, Mapping[str, Any]]]
    ) -> list[Upserted | ConnectorError]:
        named = self._settings.named
        # Roll-ups lock projects and timecards that are not known here, so these calls go one by one.
        async with self._parents.on([WRITE_BACK]):
            return await self._client.update_many(
                [(named(item), id, self._in_their_names(body)) for item, id, body in rows]
            )

    def _in_their_names(self, body: Mapping[str, Any]) -> dict[str, Any]:
        skipped = {"CurrencyIsoCode"} if self._settings.currency else set()
        return {self._settings.named(name): value for name, value in body.items() if name not in skipped}


def _raise_worst(outcomes: Iterable[Upserted | ConnectorError]) -> None:
    """Raise what decides about all rows of a fact: first what parks, then what waiting helps, then refusals.

    The rows that were written stay written: the fact is sent again as a whole.
    """
    errors = [outcome for outcome in outcomes if isinstance(outcome, ConnectorError)]
    for kind in (Fatal, Throttled, Unsure, Retryable):
        for error in errors:
            if isinstance(error, kind):
                raise error
    if errors:
        first = errors[0]
        words = "; ".join(dict.fromkeys(error.peer_words or str(error) for error in errors))
        reason = first.reason if isinstance(first, Rejected) else "other"
        raise Rejected(f"refused records: {len(errors)}; the first: {first}", reason=reason, peer_words=words)


def _proven(key: str, outcome: Upserted | ConnectorError, held: str | None) -> str:
    """The id in an answer, when it is the record that was meant.

    Raises:
        Unsure: it is another one.
    """
    assert isinstance(outcome, Upserted) and outcome.id is not None, "refusals were raised before"
    if (held is not None and outcome.id != held) or (held is None and outcome.created is False):
        raise Unsure(f"{key}: the answer names {outcome.id}, the record is {held or 'none'}")
    return outcome.id


def _project_receipt(project: str, id: str, detail: str) -> Receipt:
    link = Link(kind="project", key=project, remote_id=id)
    return Receipt(remote_id=id, detail=detail, links=[link])


def _collections(rows: Sequence[Any]) -> list[Sequence[Any]]:
    """``rows`` in collections that Salesforce takes."""
    return [rows[start : start + ROWS_MAX] for start in range(0, len(rows), ROWS_MAX)]
