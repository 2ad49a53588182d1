"""What the planner is told: clients, projects, people, hours worked, budgets and outlooks.

Runn has no upsert and no idempotency key. What is created carries our key in its ``references`` and is
looked up before it is created (class B). Everything else is an absolute value (class A): writing it twice
leaves what writing it once leaves.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from isthmus.events import (
    BurnRevised,
    BusinessEvent,
    CustomerChanged,
    DemandRevised,
    ForecastRevised,
    ProjectCreated,
    ProjectStageChanged,
    ResourceChanged,
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
    Sink,
    Throttled,
    Unmet,
    Unsure,
)
from isthmus_runn import translate
from isthmus_runn.client import Client, number
from isthmus_runn.roles import Roles
from isthmus_runn.settings import RunnSettings

CREATES = {CustomerChanged: "customer", ProjectCreated: "project", ResourceChanged: "resource"}


class Planner(Sink):
    """Takes facts into one Runn account."""

    accepts = frozenset(
        {
            "customer.changed",
            "project.created",
            "project.stage_changed",
            "demand.revised",
            "resource.changed",
            "burn.revised",
            "forecast.revised",
        }
    )
    batch_max = 20
    """Actuals go up to so many in one call; Runn takes 100, the lane's timeout is for the whole batch."""

    def __init__(self, client: Client, settings: RunnSettings, ctx: Context) -> None:
        self._client = client
        self._ctx = ctx
        self._reference = settings.reference_name
        self._settings = settings
        self._field_ids: dict[str, int] = {}
        self._roles = Roles(client, ctx, default_role=settings.default_role)
        self.worst_commit_s = settings.worst_commit_s

    def delivery_class(self, event: BusinessEvent) -> DeliveryClass:
        return DeliveryClass.B if type(event) in CREATES else DeliveryClass.A

    async def deliver(self, delivery: Delivery) -> Receipt:
        match delivery.event:
            case CustomerChanged() as event:
                return await self._customer(event)
            case ProjectCreated() as event:
                return await self._project_created(event)
            case ProjectStageChanged() as event:
                return await self._change_project(event.project, translate.state_of(event))
            case DemandRevised() as event:
                return await self._demand(event)
            case ResourceChanged() as event:
                return await self._resource(event)
            case BurnRevised() as event:
                return await self._burn(*await self._actual(event))
            case ForecastRevised() as event:
                return await self._outlook(event)
        raise Rejected(f"Runn takes no {delivery.event.kind}; take it out of the route", reason="mapping")

    async def deliver_many(self, deliveries: Sequence[Delivery]) -> list[Receipt | ConnectorError]:
        """Actuals in one call, all or none; when Runn refuses the lot, one by one to find the culprit."""
        outcomes: dict[int, Receipt | ConnectorError] = {}
        bodies: dict[int, tuple[dict[str, Any], list[Link]]] = {}
        stop: ConnectorError | None = None
        for at, delivery in enumerate(deliveries):
            try:
                if stop is not None:
                    outcomes[at] = stop
                elif isinstance(delivery.event, BurnRevised):
                    bodies[at] = await self._actual(delivery.event)
                else:
                    outcomes[at] = await self.deliver(delivery)
            except ConnectorError as error:
                outcomes[at] = error
                stop = error if isinstance(error, Throttled | Fatal) else None
        # Runn's bulk call refuses totals of zero, its single call does not.
        worked = {at: body for at, body in bodies.items() if _minutes(body[0]) > 0}
        if len(worked) > 1 and stop is None:
            outcomes |= await self._bulk(worked)
        for at in sorted(bodies.keys() - outcomes.keys()):
            try:
                outcomes[at] = stop or await self._burn(*bodies[at])
            except ConnectorError as error:
                outcomes[at] = error
                stop = error if isinstance(error, Throttled | Fatal) else None
        return [outcomes[at] for at in range(len(deliveries))]

    async def _burn(self, body: dict[str, Any], links: list[Link]) -> Receipt:
        return _burned(await self._client.post("actuals", body), body, links)

    async def _bulk(
        self, bodies: dict[int, tuple[dict[str, Any], list[Link]]]
    ) -> dict[int, Receipt | ConnectorError]:
        """One outcome per body; empty when Runn refused them together."""
        try:
            answer = await self._client.post(
                "actuals/bulk", {"actuals": [body for body, _ in bodies.values()]}
            )
        except Rejected:
            return {}
        except ConnectorError as error:
            return dict.fromkeys(bodies, error)
        rows = {_row(row): row for row in answer if isinstance(row, dict)} if isinstance(answer, list) else {}
        outcomes: dict[int, Receipt | ConnectorError] = {}
        for at, (body, links) in bodies.items():
            try:
                outcomes[at] = _burned(rows.get(_row(body)), body, links)
            except Unsure as error:
                outcomes[at] = error
        return outcomes

    async def find(self, delivery: Delivery) -> Receipt | None:
        match delivery.event:
            case CustomerChanged(customer=key):
                found = await self._client_of(key)
            case ProjectCreated(project=key):
                found = await self._project_of(key)
            case ResourceChanged(resource=key):
                found = await self._person_of(key)
            case _:
                return None
        return None if found is None else _receipt(CREATES[type(delivery.event)], key, found)

    async def _customer(self, event: CustomerChanged) -> Receipt:
        known = await self._ctx.crosswalk.remote_id("customer", event.customer)
        body: dict[str, Any] = {"name": event.name, "isArchived": event.status == "inactive"}
        if known is None:
            found = await self._client_of(event.customer) or await self._namesake(event.name)
            if found is None:
                references = translate.with_reference(None, self._reference, event.customer)
                made = await self._client.post("clients", {"name": event.name, "references": references})
                return _receipt("customer", event.customer, _made(made, name=event.name))
            await self._claim("customer", event.customer, found)
            known = str(found["id"])
            body["references"] = translate.with_reference(
                found.get("references"), self._reference, event.customer
            )
        changed = await self._client.patch(f"clients/{known}", body)
        return _receipt("customer", event.customer, _same(changed, known))

    async def _client_of(self, key: str) -> dict[str, Any] | None:
        """The client that carries our key. Runn cannot filter clients by it, so all are read."""
        return self._one(key, [row async for row in self._client.every("clients", {})])

    async def _namesake(self, name: str) -> dict[str, Any] | None:
        """A client that people entered before isthmus: same name, no key of ours, and the only one."""
        wanted = name.strip().casefold()
        rows = [
            row
            async for row in self._client.every("clients", {"name": name.strip()})
            if str(row.get("name")).strip().casefold() == wanted
            and translate.reference_key(row.get("references"), self._reference) is None
        ]
        return rows[0] if len(rows) == 1 else None

    async def _project_created(self, event: ProjectCreated) -> Receipt:
        client_id = int(await self._known("customer", event.customer))
        known = await self._ctx.crosswalk.remote_id("project", event.project)
        if known is None:
            found = await self._project_of(event.project)
            if found is None:
                body = translate.new_project(event, client_id=client_id, reference_name=self._reference)
                made = _made(await self._client.post("projects", body), name=event.name, clientId=client_id)
                return _receipt("project", event.project, made)
            if found.get("clientId") != client_id:
                raise Rejected(
                    f"project {found['id']} carries the key {event.project} but belongs to another client; "
                    f"take the reference off it, then retry",
                    reason="duplicate",
                )
            await self._claim("project", event.project, found)
            known = str(found["id"])
        if event.revision > 1:
            return await self._change_project(
                event.project, translate.changed_project(event, client_id=client_id), known
            )
        # Written before: the budget and state it has since may be newer than this first revision.
        return _receipt("project", event.project, {"id": int(known)})

    async def _project_of(self, key: str) -> dict[str, Any] | None:
        rows = self._client.every("projects", {"externalId": key, "includeArchived": "true"})
        return self._one(key, [row async for row in rows])

    async def _change_project(self, key: str, body: dict[str, Any], known: str | None = None) -> Receipt:
        """Set properties of a project, and see in the answer that they are set."""
        project_id = known or await self._known("project", key)
        answer = _same(await self._client.patch(f"projects/{project_id}", body), project_id)
        for name, value in body.items():
            told = number(answer.get(name)) if name == "budget" else answer.get(name)
            if told != value:
                raise Unsure(f"project {project_id} was answered with {name} {told}, not {value}")
        return _receipt("project", key, answer)

    async def _resource(self, event: ResourceChanged) -> Receipt:
        known = await self._ctx.crosswalk.remote_id("resource", event.resource)
        body = translate.changed_person(event)
        if known is None:
            found = await self._person_of(event.resource) or await self._same_email(event.email)
            if found is None:
                role_id = await self._roles.of_name(event.role)
                new = translate.new_person(event, role_id=role_id, reference_name=self._reference)
                made = _made(await self._client.post("people", new), lastName=new["lastName"])
                return _receipt("resource", event.resource, made)
            await self._claim("resource", event.resource, found)
            known = str(found["id"])
            body["references"] = translate.with_reference(
                found.get("references"), self._reference, event.resource
            )
        changed = await self._client.patch(f"people/{known}", body)
        return _receipt("resource", event.resource, _same(changed, known))

    async def _person_of(self, key: str) -> dict[str, Any] | None:
        return self._one(key, [row async for row in self._client.every("people", {"externalId": key})])

    async def _same_email(self, email: str | None) -> dict[str, Any] | None:
        """A person entered before isthmus: same address, no key of ours."""
        if not email:
            return None
        async for row in self._client.every("people", {"email": email}):
            if (
                str(row.get("email")).casefold() == email.casefold()
                and translate.reference_key(row.get("references"), self._reference) is None
            ):
                return row
        return None

    async def _actual(self, event: BurnRevised) -> tuple[dict[str, Any], list[Link]]:
        project_id = await self._known("project", event.project)
        person_id = await self._known("resource", event.resource)
        role_id, links = await self._roles.on_project(event.project, event.resource, project_id, person_id)
        body = translate.actual(event, project_id=int(project_id), person_id=int(person_id), role_id=role_id)
        return body, links

    async def _outlook(self, event: ForecastRevised) -> Receipt:
        budget, text = translate.outlook_budget(event), translate.outlook_text(event)
        return await self._budget_and_text(event.project, budget, "forecast_field", text)

    async def _demand(self, event: DemandRevised) -> Receipt:
        text = translate.demand_text(event)
        return await self._budget_and_text(event.project, event.budget, "demand_field", text)

    async def _budget_and_text(
        self, project: str, budget: Decimal | None, setting: str, text: str
    ) -> Receipt:
        """Set the budget where one is known, and the text where ``setting`` names a field for it."""
        project_id = await self._known("project", project)
        receipt = _receipt("project", project, {"id": int(project_id)})
        if budget is not None:
            receipt = await self._change_project(project, {"budget": budget}, project_id)
        if (name := getattr(self._settings, setting)) is not None:
            field = await self._field_id(setting, name)
            answer = await self._client.patch(
                f"projects/{project_id}/custom-fields/text", {"id": field, "value": text}
            )
            if answer.get("id") != field or answer.get("value") != text:
                raise Unsure(f"custom field {field} of project {project_id} was answered with another text")
        return receipt

    async def _field_id(self, setting: str, name: str) -> int:
        if setting not in self._field_ids:
            async for field in self._client.every("custom-fields/text", {"model": "PROJECT"}):
                if field.get("name") == name:
                    self._field_ids[setting] = int(field["id"])
                    break
            else:
                raise Rejected(
                    f"there is no text field {name!r} on projects; create it in Settings > Custom Fields "
                    f"or take {setting} out of the settings",
                    reason="mapping",
                )
        return self._field_ids[setting]

    async def _known(self, kind: str, key: str) -> str:
        remote_id = await self._ctx.crosswalk.remote_id(kind, key)
        if remote_id is None:
            raise Unmet(f"{kind} {key} is not in Runn yet")
        return remote_id

    async def _claim(self, kind: str, key: str, found: dict[str, Any]) -> None:
        """Refuse a record that is linked to another key already."""
        owner = await self._ctx.crosswalk.key_of(kind, str(found["id"]))
        if owner not in (None, key):
            raise Rejected(
                f"{kind} {key} matches record {found['id']}, which is {owner}; "
                f"merge the two where they are mastered",
                reason="duplicate",
            )

    def _one(self, key: str, rows: list[dict[str, Any]]) -> dict[str, Any] | None:
        """The record that carries our key; two of them are a doubling that a person has to mend."""
        ours = [row for row in rows if translate.reference_key(row.get("references"), self._reference) == key]
        if len(ours) > 1:
            ids = ", ".join(str(row["id"]) for row in ours)
            raise Rejected(f"records {ids} all carry the key {key}; keep one", reason="duplicate")
        return ours[0] if ours else None


def _receipt(kind: str, key: str, record: dict[str, Any]) -> Receipt:
    remote_id = str(record["id"])
    return Receipt(remote_id=remote_id, links=[Link(kind=kind, key=key, remote_id=remote_id)])


def _made(answer: Any, **expected: Any) -> dict[str, Any]:
    """The record just created, which must be the one we asked for."""
    if not isinstance(answer, dict) or not isinstance(answer.get("id"), int):
        raise Unsure("the answer to a create names no record")
    for name, value in expected.items():
        if answer.get(name) != value:
            raise Unsure(
                f"asked for {name} {value!r}, answered with record {answer['id']}: {answer.get(name)!r}"
            )
    return answer


def _same(answer: dict[str, Any], remote_id: str) -> dict[str, Any]:
    """The record just changed, which must be the one we named."""
    if str(answer.get("id")) != remote_id:
        raise Unsure(f"changed record {remote_id}, answered with {answer.get('id')}")
    return answer


def _row(actual: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(actual.get(name) for name in ("projectId", "personId", "roleId", "date"))


def _minutes(actual: dict[str, Any]) -> int:
    return int(actual["billableMinutes"]) + int(actual["nonbillableMinutes"])


def _burned(answer: Any, sent: dict[str, Any], links: list[Link]) -> Receipt:
    """The receipt of an actual whose row and minutes are the ones sent."""
    made = _made(answer, **sent)
    return Receipt(remote_id=str(made["id"]), links=links)
